// Name: which update a name has seen, and whether the next is its own; never asks for any.

import {UNKNOWN, later, order} from "./ids.mjs";

const CLOCKS_S = 5;

/** One name that a page has given, with the channels that it follows. */
export class Name {
    name;
    ids;
    tokens;
    since; // where it begins, if its URL says so
    seen; // id of the last message that it has; null: none yet
    from; // id from which on the holder's request has its channels; undefined: not known
    chase = null; // its requests while it catches up
    state = "closed";
    renew; // the page's, which gives another URL
    isRenewing = false;
    isRenewed; // its URL is another, which has not been taken yet
    isKnown = false; // to the holder
    isGone = false; // the page follows it no more
    #transport;
    #base;
    #tell;

    constructor(name, {ids, tokens, since}, {renew, seen = null, isRenewed = false}, base, tell) {
        Object.assign(this, {name, ids, tokens, since, renew, seen, isRenewed});
        this.#base = base;
        this.#tell = tell;
    }

    /** Processes a message of the holder if it is the next. */
    take(message) {
        // Ids that cannot be compared are taken as they come.
        if (order(message.id, this.seen) <= 0 || order(message.prev, this.seen) > 0) {
            return;
        }
        // The count is right only for a name that had everything up to there, and nothing after.
        const isExact = order(message.prev, this.seen) === 0;
        this.#process(isExact ? message : {...message, gap: message.gap && UNKNOWN});
    }

    /**
     * Whether a place is before this name's beginning, even if the clocks of the server that wrote
     * its URL and of the push server differ: who misses nothing may get some seconds of old ones.
     */
    isBefore(place) {
        const [time, tag] = this.since?.split(":") ?? [];
        return time !== undefined && order(place, `${time - CLOCKS_S}:${tag}`) <= 0;
    }

    /**
     * Processes an answer to its own request, and before it what the holder alone got: no store has
     * it, or the answer begins with what is published from now on.
     */
    merge(late, answer) {
        for (const message of late) {
            const place = order(message.id, answer.id);
            const isBefore = answer.text === undefined ? place <= 0 : place < 0;
            if (isBefore && order(message.id, later(this.seen, this.from)) > 0) {
                this.#process({...message, gap: message.gap && UNKNOWN});
            }
        }
        this.#process(answer);
    }

    #process({id, gap, channel, text, begin}) {
        this.seen = id;
        if (begin !== this.since && this.isBefore(id)) {
            return; // it came only since another name has a part in the request
        }
        if (gap !== undefined) {
            this.#tell.gap(this.name, gap === UNKNOWN ? null : gap);
        }
        const isIts = this.ids.length === 0 || this.ids.includes(channel);
        // Without text it is a place alone.
        if (!isIts || text === undefined || this.isGone) {
            return;
        }
        let data;
        try {
            data = JSON.parse(text);
        } catch (error) {
            // And never will be: go on with the next.
            console.warn(`${this.#base}: an update is not JSON: ${error.message}`);
            return;
        }
        this.#tell.message(this.name, data);
    }

    enter(detail) {
        // A processor may have unsubscribed; each pause is news of its own.
        const isNews = this.state !== detail.state || detail.state === "waiting";
        const isOther = detail.transport !== undefined && this.#transport !== detail.transport;
        if (!this.isGone && detail.state && (isNews || isOther)) {
            this.state = detail.state;
            this.#transport = detail.transport ?? this.#transport;
            this.#tell.state(this.name, detail);
        }
    }
}
