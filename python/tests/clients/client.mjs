// A subscriber with an npm package: `node client.mjs ws|eventsource NODE_MODULES URL`.
// Writes what it gets as lines of JSON; sends the messages that its standard input has in lines.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [kind, modules, url] = process.argv.slice(2);
const load = createRequire(`${modules}/`);
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
const SHORT_PAUSE_MS = 50;

let socket;

const subscribe = {
    eventsource() {
        const { EventSource } = load("eventsource");
        const source = new EventSource(url);
        source.onopen = () => say({ open: true });
        source.onmessage = ({ lastEventId, data }) => say({ id: lastEventId, text: data });
        source.onerror = () => say({ failed: true });
    },

    ws(id) {
        const { WebSocket } = load("ws");
        const resume = id ? `${url.includes("?") ? "&" : "?"}last_event_id=${encodeURIComponent(id)}` : "";
        socket = new WebSocket(url.replace("http:", "ws:") + resume, "ws+meta.nchan");
        socket.on("open", () => say({ open: true }));
        socket.on("message", (data, isBinary) => {
            const end = data.indexOf("\n\n");
            id = data.toString("utf8", 0, end).match(/^id: (.*)$/m)[1];
            const body = data.subarray(end + 2);
            say(isBinary ? { id, bytes: [...body] } : { id, text: body.toString() });
        });
        socket.on("ping", () => say({ ping: true }));
        socket.on("error", () => {}); // followed by "close"
        socket.on("close", () => {
            say({ failed: true });
            setTimeout(subscribe.ws, SHORT_PAUSE_MS, id);
        });
    },
};

subscribe[kind]();

for await (const line of createInterface({ input: process.stdin })) {
    const { text, bytes } = JSON.parse(line);
    if (bytes) {
        socket.send(Uint8Array.from(bytes));
    } else {
        // In fragments of a character each.
        const last = text.length - 1;
        [...text].forEach((character, index) => socket.send(character, { fin: index === last }));
    }
}
process.exit();
