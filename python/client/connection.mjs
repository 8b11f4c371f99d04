// Connection: the request under way and its cursor; never knows for whom it asks.

import {earlier, factsOf, order} from "./ids.mjs";
import {EVENT_STREAM, ask, isEventStream, isRefusal} from "./requests.mjs";
import {itemsOf, pollAnswer, refusalOf} from "./requests.mjs";
import {FIRST_BYTE_MS, HELD_MS, LOST_MS, RETRY_MS} from "./waiting.mjs";
import {Pause, Watch, pauseMs} from "./waiting.mjs";

const INTERVAL_MS = 1000; // least time between two polls that bring nothing
const STREAMS_AGAIN_MS = 300000; // after a fall back to polls

/** Requests for one set of channels, one after the other, by event stream or by poll. */
export class Connection {
    cursor; // id of the last message; null: from where the location begins
    detail = {state: "connecting"};
    followed = null; // the channels of the request under way
    shown = []; // its tokens
    begin; // and where it begins, as long as there is no cursor
    #options;
    #tell;
    #ids = null; // the channels to follow
    #tokens = []; // for the next request
    #since; // for the next request without a cursor
    #run = null; // identity of the loop that may go on
    #watch = null; // of the request under way
    #pause = new Pause();
    #awaitsHead = false;
    #failures = 0;
    #retryMs = RETRY_MS;
    #isGone = false; // the channel was deleted; whether it is for good the next answer says
    #breaks = 0; // of streams before their first byte
    #pollsUntil = 0;

    constructor(options, cursor, tell) {
        this.#options = options;
        this.cursor = cursor;
        this.#tell = tell;
    }

    /** Goes on with these channels, at the same cursor. A request under way keeps its tokens. */
    follow(ids, tokens, since) {
        this.#tokens = tokens;
        this.#since = since;
        if (String(ids) === String(this.#ids) && this.#run !== null && this.hasAll(since)) {
            return;
        }
        this.#ids = ids;
        if (this.#run === null) {
            this.#run = {};
            this.#follow(this.#run);
        } else if (!this.#awaitsHead) {
            this.#watch?.abort(); // else when its head is there: many changes at once are one
        }
    }

    /** Whether the request under way brings all from there on, or its cursor says what it lacks. */
    hasAll(since) {
        return this.cursor !== null || earlier(this.begin, since) === this.begin;
    }

    stop() {
        this.#run = null;
        this.#watch?.abort();
        this.#pause.end();
    }

    /** Ends a pause, and tries streams again. */
    wake() {
        this.#pollsUntil = 0;
        this.endPause();
    }

    endPause() {
        this.#pause.end();
    }

    /** After a refusal; with an error only after a pause. */
    resume(error) {
        this.#ids = null;
        if (error) {
            this.#run = {};
            this.#pauseThenFollow(this.#run, this.#fail(error));
        }
    }

    /** Asks for some channels alone; returns why they are refused, or null. */
    async refusal({ids, tokens, since}) {
        const watch = new Watch();
        watch.start(HELD_MS);
        const init = {headers: this.#transport() === "poll" ? {} : {Accept: EVENT_STREAM}};
        try {
            const request = {...this.#options, ids, tokens, cursor: this.cursor, since};
            const response = await ask(request, watch, init);
            return isRefusal(response.status) ? await refusalOf(request.base, response) : null;
        } catch {
            return null; // held, or of no matter here
        } finally {
            watch.abort();
        }
    }

    async #pauseThenFollow(run, ms) {
        await this.#pause.begin(ms);
        await this.#follow(run);
    }

    async #follow(run) {
        if (this.#run === run && this.detail.state !== "waiting") {
            this.#enter({state: "connecting"});
        }
        while (this.#run === run) {
            const ms = await this.#request(run);
            if (this.#run === run && ms > 0) {
                await this.#pause.begin(ms);
            }
        }
    }

    /** One request, from its beginning to its end; returns the milliseconds to pause. */
    async #request(run) {
        const watch = (this.#watch = new Watch());
        const ids = this.#ids;
        const tokens = this.#tokens;
        const since = this.#since;
        this.followed = new Set(ids);
        this.shown = tokens;
        this.begin = this.cursor === null ? since : this.begin;
        this.#tell.begun();
        const transport = this.#transport();
        this.#awaitsHead = transport === "eventsource";
        const request = {...this.#options, ids, tokens, cursor: this.cursor, since};
        try {
            const begin = transport === "poll" ? this.#poll : this.#stream;
            return await begin.call(this, request, watch);
        } catch (error) {
            if (this.#run !== run || watch.isAborted) {
                return 0; // stopped, other channels, or a dead connection
            }
            if (isRefusal(error.status) && String(tokens) !== String(this.#tokens)) {
                return 0; // other tokens have come meanwhile
            }
            if (isRefusal(error.status) || (error.status === 410 && this.#isGone)) {
                this.#run = null;
                this.detail = {state: "connecting"}; // for whoever asks again
                this.#tell.refused(error);
                return 0;
            }
            this.#isGone ||= error.status === 410;
            return this.#fail(error);
        } finally {
            this.#awaitsHead = false;
            watch.abort();
        }
    }

    async #poll(request, watch) {
        const started = performance.now();
        const open = () => this.#enter({state: "open", transport: "poll"}, watch);
        const held = setTimeout(open, HELD_MS);
        watch.start(LOST_MS);
        try {
            const response = await ask(request, watch);
            return await this.#receive(request, response, watch, started);
        } finally {
            clearTimeout(held);
        }
    }

    /** Takes the answer to a poll in. */
    async #receive(request, response, watch, started) {
        const answer = await pollAnswer(request, response);
        if (watch.isAborted) {
            return 0;
        }
        this.#take(request, answer);
        this.#succeed("poll", watch);
        const isEmpty = answer.text === undefined;
        return isEmpty ? INTERVAL_MS - (performance.now() - started) : 0;
    }

    async #stream(request, watch) {
        const started = performance.now();
        let hasHead = false;
        let hasByte = false;
        try {
            watch.start(FIRST_BYTE_MS);
            const response = await ask(request, watch, {headers: {Accept: EVENT_STREAM}});
            this.#awaitsHead = false;
            if (this.#ids !== request.ids) {
                return 0;
            }
            if (!isEventStream(response) && this.#fallsBack(response)) {
                if (response.status === 406) {
                    return 0;
                }
                // A server that does not look at Accept took the request for a poll.
                watch.start(LOST_MS);
                return await this.#receive(request, response, watch, started);
            }
            if (!isEventStream(response)) {
                throw await refusalOf(request.base, response);
            }
            hasHead = true;
            watch.start(FIRST_BYTE_MS);
            this.#retryMs = RETRY_MS;
            for await (const item of itemsOf(response, watch)) {
                if (watch.isAborted) {
                    return 0; // what has come already comes again
                }
                if (!hasByte) {
                    hasByte = true;
                    this.#breaks = 0;
                    this.#succeed("eventsource", watch);
                }
                this.#takeItem(request, item);
            }
            throw new Error(`${request.base} ended the stream`);
        } catch (error) {
            if (hasByte || (watch.isAborted && !watch.isExpired) || error.status !== undefined) {
                throw error;
            }
            const isBuffered = hasHead && watch.isExpired;
            this.#breaks += hasHead || watch.isExpired ? 1 : 0;
            if (isBuffered || this.#breaks >= 2) {
                this.#fallBack();
                return 0;
            }
            throw error;
        }
    }

    #takeItem(request, {comment, retryMs, event, id, data}) {
        if (retryMs !== undefined) {
            this.#retryMs = retryMs;
        } else if (comment !== undefined || (id === undefined && !data)) {
            return;
        } else if (id === undefined && event === "push:end") {
            const status = Number(data.slice(0, 3));
            this.#isGone = status === 410;
            if (isRefusal(status)) {
                const error = new Error(`${request.base} ended the stream: ${data}`);
                throw Object.assign(error, {status, isExpired: status === 401});
            }
        } else if (id === undefined) {
            throw new Error(`${request.base} sent an event without an id: is it a push server?`);
        } else {
            this.#take(request, {id, ...factsOf(id), text: data});
        }
    }

    #take(request, {id, gap, channel, text}) {
        if (id === undefined || (text === undefined && order(id, this.cursor) === 0)) {
            return; // a stream may begin with the cursor that it was asked for
        }
        if (text !== undefined && channel === undefined && request.ids.length > 1) {
            const why = 'tells no channel: is "query" the setting of its location?';
            throw new Error(`${request.base} ${why}`);
        }
        const prev = this.cursor;
        this.cursor = id;
        const {begin} = this;
        this.#tell.message({prev, id, gap, channel: channel ?? request.ids[0], text, begin});
    }

    #transport() {
        const [first] = this.#options.transports;
        return performance.now() < this.#pollsUntil ? "poll" : first;
    }

    #fallsBack({status}) {
        const isAnswer = [200, 304, 406, 408].includes(status);
        return isAnswer && this.#fallBack();
    }

    #fallBack() {
        this.#breaks = 0;
        const canPoll = this.#options.transports.includes("poll");
        this.#pollsUntil = canPoll ? performance.now() + STREAMS_AGAIN_MS : 0;
        return canPoll;
    }

    #succeed(transport, watch) {
        this.#failures = 0;
        this.#isGone = false;
        this.#enter({state: "open", transport}, watch);
        this.#tell.accepted();
    }

    #fail(error) {
        this.#failures += 1;
        const retryMs = pauseMs(this.#failures, this.#retryMs);
        this.#enter({state: "waiting", error, retryMs, transport: this.#transport()});
        return retryMs;
    }

    #enter(detail, watch = this.#watch) {
        if (this.#run && watch === this.#watch) {
            const {state, transport} = this.detail;
            this.detail = detail;
            const isOther = state !== detail.state || transport !== detail.transport;
            if (isOther || detail.state === "waiting") {
                this.#tell.state(detail);
            }
        }
    }
}
