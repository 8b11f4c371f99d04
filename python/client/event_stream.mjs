// EventStreamParser: the bytes that complete no line yet; never knows where they come from.

/** Reads text/event-stream (WHATWG HTML 9.2.6), wherever its bytes are cut. */
export class EventStreamParser {
    #decoder = new TextDecoder(); // takes a byte order mark off
    #line = "";
    #isAfterCr = false;
    #event = {};

    /** What these bytes complete: {comment}, {retryMs} or {event, id, data}, as far as given. */
    read(bytes) {
        let text = this.#decoder.decode(bytes, {stream: true});
        if (text === "") {
            return [];
        }
        if (this.#isAfterCr && text[0] === "\n") {
            text = text.slice(1);
        }
        this.#isAfterCr = text === "" ? false : text.endsWith("\r");
        const lines = text.split(/\r\n|\n|\r/);
        lines[0] = this.#line + lines[0];
        this.#line = lines.pop();
        return lines.map((line) => this.#read(line)).filter((item) => item !== undefined);
    }

    #read(line) {
        if (line === "") {
            const event = this.#event;
            this.#event = {};
            return event.id === undefined && event.data === undefined ? undefined : event;
        }
        const [, field, value = ""] = /^([^:]*)(?:: ?([^]*))?$/.exec(line);
        if (field === "" && line[0] === ":") {
            return {comment: value};
        }
        if (field === "retry" && /^\d+$/.test(value)) {
            return {retryMs: Number(value)};
        }
        if (field === "data") {
            const {data} = this.#event;
            this.#event.data = data === undefined ? value : `${data}\n${value}`;
        } else if (field === "event" || (field === "id" && !value.includes("\0"))) {
            this.#event[field] = value;
        }
        return undefined;
    }
}
