/**
 * Updates from a push server by long polling; needs no other script.
 *
 *     import updates from "{% static 'pushserver/updates.module.js' %}";
 *     updates.registerProcessor("main", "answer", (data) => { ... });
 *     updates.subscribe({main: "http://127.0.0.1:8001/updates/some_channel"});
 *
 * Each update is processed once, in order, whatever happens to the connection: every poll names the
 * last update that arrived, in its query, so that no browser asks the server's leave first (CORS
 * preflight). The exception are updates that the server no longer has; a `gap` event tells of them.
 *
 * Events, each with the channel's name in `detail.name`:
 *   message  detail.data      an update, whether or not it has a `type` and a processor
 *   state    detail.state     "connecting", "open", "waiting" (detail.error, detail.retryMs), "closed"
 *   gap      detail.missed    how many updates were lost before the next one; null: not known
 */

const RETRY_MS = 1000; // pause after a first error; doubles with each further one
const RETRY_MS_MAX = 30000;
const INTERVAL_MS = 1000; // least time between two polls that bring nothing
const HELD_MS = 2000; // a poll this old has reached the server, or else had failed
const LOST_MS = 120000; // the server answers held polls sooner; a sleeping machine's connection dies
// A number as caches and compressors leave it: bare, quoted, weak, the opening quote lost, the names
// of codings added. src/relay/request/cursor.rs has the same rule.
const TAG = /^(?:W\/)?(?!"[^"]*$)"?(\d{1,10})(?:[-;]+[a-z][a-z\d]*)*(?:"(?:[-;]+[a-z][a-z\d]*)*)?$/i;

export class Updates extends EventTarget {
    #channels = new Map();
    #processors = new Map();
    #credentials;

    constructor({credentials = "include"} = {}) {
        super();
        this.#credentials = credentials;
        // A poll of a page that is gone would be held for nobody. The page may come back, too.
        addEventListener("pagehide", () => this.#channels.forEach((channel) => channel.stop()));
        addEventListener("pageshow", (event) => {
            if (event.persisted) {
                this.#channels.forEach((channel) => channel.start());
            }
        });
        addEventListener("online", () => this.#channels.forEach((channel) => channel.wake()));
    }

    subscribe(channels) {
        for (const [name, url] of Object.entries(channels)) {
            if (url && !this.#channels.has(name)) {
                const channel = new Channel(url, this.#credentials, {
                    message: (data) => this.#process(name, data),
                    state: (detail) => this.#tell("state", {name, ...detail}),
                    gap: (missed) => this.#tell("gap", {name, missed}),
                });
                this.#channels.set(name, channel);
                channel.start();
            }
        }
    }

    unsubscribe(...names) {
        for (const name of names) {
            const channel = this.#channels.get(name);
            if (channel) {
                this.#channels.delete(name);
                channel.stop();
                this.#tell("state", {name, state: "closed"});
            }
        }
    }

    registerProcessor(name, type, processor) {
        const key = JSON.stringify([name, type]);
        const registered = this.#processors.get(key) ?? [];
        this.#processors.set(key, [...registered, processor]);
        return () => {
            const left = this.#processors.get(key).filter((other) => other !== processor);
            this.#processors.set(key, left);
        };
    }

    state(name) {
        return this.#channels.get(name)?.state ?? "closed";
    }

    #process(name, data) {
        this.#tell("message", {name, data});
        const key = JSON.stringify([name, String(data?.type)]);
        for (const processor of this.#processors.get(key) ?? []) {
            try {
                processor(data);
            } catch (error) {
                reportError(error); // one processor's fault is not the others', nor the poll's
            }
        }
    }

    #tell(type, detail) {
        this.dispatchEvent(new CustomEvent(type, {detail}));
    }
}

/** One channel's polls, one after the other. */
class Channel {
    state = "closed";
    #url;
    #credentials;
    #tell;
    #cursor = null;
    #failures = 0;
    #run = null; // identity of the loop that may go on
    #poll = null; // aborts the request under way
    #wake = null; // ends the pause under way

    constructor(url, credentials, tell) {
        this.#url = url;
        this.#credentials = credentials;
        this.#tell = tell;
    }

    start() {
        if (!this.#run) {
            this.#run = {};
            this.#follow(this.#run);
        }
    }

    stop() {
        this.#run = null;
        this.state = "closed";
        this.#poll?.abort();
        this.wake();
    }

    wake() {
        this.#wake?.();
    }

    async #follow(run) {
        this.#enter({state: "connecting"});
        while (this.#run === run) {
            const pauseMs = await this.#once(run);
            if (this.#run === run && pauseMs > 0) {
                await this.#pause(pauseMs);
            }
        }
    }

    /** Polls once; returns how many milliseconds to pause before the next time. */
    async #once(run) {
        const started = performance.now();
        const poll = (this.#poll = new AbortController());
        let lost = false;
        const held = setTimeout(() => this.#enter({state: "open"}), HELD_MS);
        const deadline = setTimeout(() => {
            lost = true;
            poll.abort();
        }, LOST_MS);
        try {
            const response = await fetch(this.#pollUrl(), {
                credentials: this.#credentials,
                // A cache would add validators of its own, which the server would take for a cursor.
                cache: "no-store",
                signal: poll.signal,
            });
            const text = await response.text();
            if (this.#run !== run) {
                return 0;
            }
            const empty = this.#receive(response, text);
            this.#failures = 0;
            this.#enter({state: "open"});
            return empty ? INTERVAL_MS - (performance.now() - started) : 0;
        } catch (error) {
            return lost || this.#run !== run ? 0 : this.#fail(error);
        } finally {
            clearTimeout(held);
            clearTimeout(deadline);
        }
    }

    #pollUrl() {
        if (this.#cursor === null) {
            return this.#url;
        }
        return `${this.#url}${this.#url.includes("?") ? "&" : "?"}last_event_id=${this.#cursor}`;
    }

    /** Takes an answer in; returns whether it brought nothing. Throws where it makes no sense. */
    #receive(response, text) {
        // nginx ends a held poll with 408.
        if (response.status === 304 || response.status === 408) {
            return true;
        }
        if (response.status !== 200) {
            throw new Error(`${this.#url} answered ${response.status}: ${text.slice(0, 200).trim()}`);
        }
        this.#cursor = cursorOf(response.headers, this.#url);
        const gap = response.headers.get("X-Push-Gap");
        if (gap !== null) {
            this.#tell.gap(/^\d+$/.test(gap) ? Number(gap) : null);
        }
        let data;
        try {
            data = JSON.parse(text);
        } catch (error) {
            console.warn(`${this.#url}: an update is not JSON: ${error.message}`);
            return false; // and never will be: go on with the next
        }
        this.#tell.message(data);
        return false;
    }

    #fail(error) {
        this.#failures += 1;
        const mostMs = Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** (this.#failures - 1));
        // Jitter: pages that lost the server together must not come back together.
        const retryMs = mostMs * (0.5 + Math.random() / 2);
        this.#enter({state: "waiting", error, retryMs});
        return retryMs;
    }

    #pause(ms) {
        return new Promise((resolve) => {
            const timer = setTimeout(resolve, ms);
            this.#wake = () => {
                clearTimeout(timer);
                resolve();
            };
        });
    }

    #enter(detail) {
        // A processor may have unsubscribed; each pause is news of its own.
        if (this.#run && (this.state !== detail.state || detail.state === "waiting")) {
            this.state = detail.state;
            this.#tell.state(detail);
        }
    }
}

/** TIME:TAG, the place of a message in its channel. */
function cursorOf(headers, url) {
    const time = Date.parse(headers.get("Last-Modified")) / 1000;
    // Not every server lets scripts of other origins read Etag, and not every cache leaves it as it
    // was; Cache-Control all scripts may read.
    const told = /(?:^|[\s,])etag=([^\s,]+)/i.exec(headers.get("Cache-Control"));
    const tag = tagOf(headers.get("Etag")) ?? tagOf(told?.[1]);
    if (Number.isNaN(time) || tag === undefined) {
        throw new Error(`${url} answered without a readable Last-Modified or Etag: is it a push server?`);
    }
    return `${time}:${tag}`;
}

/** The number of a tag; undefined where it cannot be read. */
function tagOf(text) {
    return TAG.exec(text ?? "")?.[1];
}

// One object for the page, whatever URLs load this module: its old name (updates.mjs), or a name
// with a hash beside the plain one.
export default (globalThis[Symbol.for("pushserver")] ??= new Updates());
