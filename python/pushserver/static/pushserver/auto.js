/**
 * Updates from a push server by event streams, or by long polling where those fail; needs no other
 * script.
 *
 *     import updates from "{% static 'pushserver/updates.module.js' %}";
 *     updates.registerProcessor("main", "answer", (data) => { ... });
 *     updates.subscribe({main: "http://127.0.0.1:8001/updates/some_channel"});
 *
 * What the server refuses (401, 403, 404) is not asked for again. Where the token of a URL has
 * expired, `subscribe(channels, {renew})` asks the page's `renew(name)` once for another URL.
 *
 * Each update is processed once, in order, whatever happens to the connection: every request names
 * the last update that arrived. It does so in its query, so that browsers send no CORS preflight.
 * The exception are updates that the server no longer has; a `gap` event tells of them. Where a name
 * begins that has none yet, its URL may say (`since`); names that share a request ask for the first
 * of their beginnings, and each is given what came after its own.
 *
 * Events, each with the channel's name in `detail.name`:
 *   message  detail.data      an update, whether or not it has a `type` and a processor
 *   state    detail.state     "connecting"; "open"; "waiting" (detail.error, detail.retryMs);
 *                             "closed" (detail.error where the server refused or ended it)
 *            detail.transport "eventsource" or "poll"
 *   gap      detail.missed    how many updates were lost before the next one; null: not known
 *
 * A browser opens six connections to a host at most, over all its tabs: so the tabs share one. The
 * parts, from the page down to the network:
 *   Updates     the names, processors and events of a page
 *   Feed        one URL in one tab: from which of its updates on each name has all
 *   Name        one name of the page: which update it has seen, and which is its next
 *   Chase       the requests of names that have missed some
 *   Tabs        the tabs that follow one URL: they elect the holder and exchange messages
 *   Holder      which tab wants which channels; only in the tab that holds the connection
 *   Connection  requests one after the other, by event stream or by poll
 */

export class Updates extends EventTarget {
    #feeds = new Map(); // by URL
    #homes = new Map(); // name: its feed
    #processors = new Map();
    #options;

    constructor({
        credentials = "include",
        transports = ["eventsource", "poll"],
        shared = true,
        query = "channel",
    } = {}) {
        super();
        const unknown = transports.filter((name) => name !== "eventsource" && name !== "poll");
        if (unknown.length > 0 || transports.length === 0) {
            const found = unknown.join() || "none";
            throw new TypeError(`transports are "eventsource" and "poll", not ${found}`);
        }
        this.#options = {credentials, transports, shared, query};
        const each = (act) => () => this.#feeds.forEach(act);
        const stop = each((feed) => feed.stop());
        const start = each((feed) => feed.start());
        // A request of a page that is gone would be held for nobody, and a page that stands still
        // would hold the connection of all tabs. The page may come back, too.
        addEventListener("pagehide", stop);
        addEventListener("pageshow", (event) => event.persisted && start());
        addEventListener("online", each((feed) => feed.wake()));
        globalThis.document?.addEventListener("freeze", stop);
        globalThis.document?.addEventListener("resume", start);
        globalThis.document?.addEventListener("visibilitychange", each((feed) => feed.check()));
    }

    subscribe(channels, {renew} = {}) {
        for (const [name, url] of Object.entries(channels)) {
            if (url && !this.#homes.has(name)) {
                this.#add(name, this.#place(url), {renew});
            }
        }
    }

    unsubscribe(...names) {
        for (const name of names) {
            this.#homes.get(name)?.remove(name, {state: "closed"});
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
        return this.#homes.get(name)?.state(name) ?? "closed";
    }

    #place(url, renewed) {
        const {query} = this.#options;
        const place = channelsOf(url, query, globalThis.document?.baseURI);
        if (renewed) {
            // A new URL is to begin where it was made; the name began before that.
            place.since = renewed.since;
        }
        // Channels in the query are one feed, however many they are, and the tokens of one user.
        // URLs without `since` begin where the location says, which may be before or after others.
        const user = userOf(place.tokens);
        const begin = place.since === undefined ? "" : " since";
        const key = `${place.ids.length > 0 ? query : ""} ${place.base}${user}${begin}`;
        return {...place, key};
    }

    #add(name, place, options) {
        const feed = this.#feeds.get(place.key) ?? this.#feed(place.key, place.base);
        this.#homes.set(name, feed);
        feed.add(name, place, options);
    }

    #feed(key, base) {
        const feed = new Feed({...this.#options, base, key}, {
            message: (name, data) => this.#process(name, data),
            state: (name, detail) => this.#tell("state", {name, ...detail}),
            gap: (name, missed) => this.#tell("gap", {name, missed}),
            renewed: ({name, renew, seen, since}, url) => {
                const place = this.#place(url, {since});
                if (place.key === key) {
                    feed.renewed(name, place);
                } else {
                    feed.remove(name);
                    this.#add(name, place, {renew, seen, isRenewed: true});
                }
            },
            removed: (name, isLast) => {
                this.#homes.delete(name);
                if (isLast) {
                    feed.stop();
                    this.#feeds.delete(key);
                }
            },
        });
        this.#feeds.set(key, feed);
        feed.start();
        return feed;
    }

    #process(name, data) {
        this.#tell("message", {name, data});
        const key = JSON.stringify([name, String(data?.type)]);
        for (const processor of this.#processors.get(key) ?? []) {
            try {
                processor(data);
            } catch (error) {
                reportError(error); // one processor's fault is not the others', nor the request's
            }
        }
    }

    #tell(type, detail) {
        this.dispatchEvent(new CustomEvent(type, {detail}));
    }
}

// One object for the page, whatever URLs load this module: its old name (updates.mjs), auto.js, or a
// name with a hash beside the plain one.
const updates = (globalThis[Symbol.for("pushserver")] ??= new Updates());
export default updates;

// Feed: the names of one tab at one URL; has no connection of its own but to catch up.

const VERSION = 2; // of the messages between tabs: pages with another one share nothing with these
const ANSWER_MS = 5000; // a holder that does not answer for so long has stopped
const GREETING_MS = 60000; // how often a tab checks that the holder still answers
const ASK_MS = 1000; // a poll that is held longer has nothing to bring, or has not arrived
const LATE_MAX = 1000; // messages that a tab keeps while it catches up

/**
 * The names that one tab follows at one URL.
 *
 * Each name has `seen`, the id of the last message that it has, or null. A message of the holder
 * comes with the id of the one before it, `prev`, so each tab sees by itself whether it missed one:
 *
 *     id <= seen             the name has it: after a change of holders some come again
 *     prev <= seen < id      the next one: processed
 *     seen < prev            the name has missed some, or is new here: it catches up
 *
 * This is worth something only once the holder's request has the name's channels: the holder says
 * from which id on (`joined`), and that is the name's `from`. No other name takes its messages.
 */
export class Feed {
    #names = new Map();
    #options;
    #tell;
    #tabs;
    #running = false;
    #holder = null; // the tab whose messages count; null: not known
    #mine = null; // the Holder, if that is this tab
    #wanted = new Map(); // tab: what it last wanted, for the day when this tab is the holder
    #turn = 0; // number of the last hello; an answer to an earlier one does not know all names
    #greeting = false;
    #answerTimer = null;
    #checkTimer = null;
    #place = null; // id of the holder's last message
    #mark = null; // and its channel
    #late = []; // the holder's messages since the first of the names fell behind
    #detail = {}; // the holder's state
    #tokens = []; // and the tokens of its request

    constructor(options, tell) {
        this.#options = options;
        this.#tell = tell;
    }

    /** `seen`: behind which id it goes on; `isRenewed`: with a URL that has not been taken yet. */
    add(name, place, options) {
        const entry = new Name(name, place, options, this.#options.base, this.#tell);
        this.#names.set(name, entry);
        if (this.#running) {
            entry.enter({state: "connecting"});
            this.#greet();
        }
    }

    remove(name, detail) {
        const entry = this.#names.get(name);
        this.#names.delete(name);
        entry.isGone = true;
        entry.chase?.abort();
        entry.chase = null;
        if (this.#names.size > 0) {
            this.#greet();
        }
        this.#tell.removed(name, this.#names.size === 0);
        if (detail) {
            this.#tell.state(name, detail);
        }
    }

    /** Goes on with another URL of this feed, behind what the name has seen. */
    renewed(name, {ids, tokens}) {
        Object.assign(this.#names.get(name), {ids, tokens, isRenewing: false, isRenewed: true});
        this.#greet();
    }

    state(name) {
        return this.#names.get(name).state;
    }

    start() {
        if (this.#running) {
            return;
        }
        this.#running = true;
        this.#names.forEach((entry) => entry.enter({state: "connecting"}));
        const {base, key, credentials, shared} = this.#options;
        this.#tabs = new Tabs(`pushserver ${VERSION} ${credentials} ${key}`, shared, {
            hear: (message) => this.#hear(message),
            ready: () => this.#greet(),
            elected: () => this.#hold(),
            deposed: () => this.#yield(),
        });
        const tabs = this.#tabs;
        this.#checkTimer = setInterval(() => this.check(), GREETING_MS);
        // What is subscribed in one go is one request.
        queueMicrotask(() => tabs.open());
    }

    stop() {
        if (!this.#running) {
            return;
        }
        this.#tabs.post({type: "bye"});
        this.#running = false;
        this.#yield();
        this.#tabs.close();
        clearInterval(this.#checkTimer);
        clearTimeout(this.#answerTimer);
        this.#leave(null);
        this.#wanted.clear();
        this.#names.forEach((entry) => {
            entry.state = "closed";
        });
    }

    wake() {
        this.#mine?.wake();
        this.#names.forEach(({chase}) => chase?.wake());
    }

    /** Makes sure that the holder still answers. */
    check() {
        const isVisible = globalThis.document?.visibilityState !== "hidden";
        if (this.#running && this.#mine === null && isVisible) {
            this.#greet();
        }
    }

    #greet() {
        if (!this.#greeting) {
            this.#greeting = true;
            queueMicrotask(() => {
                this.#greeting = false;
                this.#hello();
            });
        }
    }

    #hello() {
        if (!this.#running || !this.#tabs.isReady) {
            return;
        }
        this.#turn += 1;
        const entries = [...this.#names.values()].filter(({isRenewing}) => !isRenewing);
        const wants = entries.map(({ids, tokens, since}) => ({ids, tokens, since}));
        entries.forEach((entry) => {
            entry.isKnown = true;
        });
        this.#tabs.post({type: "hello", turn: this.#turn, wants});
        clearTimeout(this.#answerTimer);
        if (this.#mine === null) {
            this.#answerTimer = setTimeout(() => this.#tabs.steal(), ANSWER_MS);
        }
    }

    #hold() {
        clearTimeout(this.#answerTimer);
        const seen = [...this.#names.values()].map((entry) => entry.seen);
        // The last that this tab has seen. Names that have not seen it catch up.
        const cursor = seen.reduce(later, this.#place);
        this.#mine = new Holder(this.#options, cursor, this.#wanted, this.#tabs);
        this.#tabs.post({type: "who"});
    }

    #yield() {
        this.#mine?.stop();
        this.#mine = null;
    }

    #hear(message) {
        if (message.type === "hello") {
            this.#wanted.set(message.tab, message);
        } else if (message.type === "bye") {
            this.#wanted.delete(message.tab);
        }
        this.#mine?.hear(message);
        if (message.type === "who") {
            this.#leave(message.tab);
            this.#hello();
        } else if (message.type === "state" && this.#holder === null) {
            this.#leave(message.tab); // its `who` was before this tab was there
        }
        if (message.tab !== this.#holder) {
            return;
        }
        if (message.type === "state") {
            clearTimeout(this.#answerTimer);
            this.#detail = message.detail;
            const names = [...this.#names.values()].filter(({isRenewing}) => !isRenewing);
            names.forEach((entry) => entry.enter(message.detail));
        } else if (message.type === "joined" && message.to === this.#tabs.tab) {
            this.#join(message);
        } else if (message.type === "accepted" && message.to === this.#tabs.tab) {
            this.#accepted(message);
        } else if (message.type === "tokens") {
            this.#tokens = message.tokens;
        } else if (message.type === "message") {
            this.#receive(message);
        } else if (message.type === "refused") {
            this.#refused(message);
        }
    }

    /** From here on the messages of this holder count, once it has let the names join. */
    #leave(holder) {
        this.#holder = holder;
        this.#late = [];
        this.#names.forEach((entry) => {
            entry.from = undefined;
            entry.chase?.abort();
            entry.chase = null;
        });
    }

    #join({turn, place, mark, tokens}) {
        this.#tokens = tokens;
        if (turn !== this.#turn) {
            return;
        }
        this.#place = place;
        this.#mark = mark;
        const known = [...this.#names.values()].filter(({isKnown}) => isKnown);
        known.forEach((entry) => {
            entry.from ??= place;
            if (entry.seen === null && place !== null && entry.isBefore(place)) {
                entry.seen = place; // the holder's request brings all from there on
            }
            entry.enter(this.#detail);
        });
        this.#chase((entry) => order(entry.seen, entry.from) < 0);
    }

    #receive(message) {
        this.#place = message.id;
        this.#mark = message.channel;
        const entries = [...this.#names.values()].filter(({from}) => from !== undefined);
        const behind = entries.filter(({chase}) => chase !== null);
        if (behind.length > 0) {
            this.#late.push(message);
            this.#late.splice(0, this.#late.length - LATE_MAX);
        }
        entries.filter(({chase}) => chase === null).forEach((entry) => entry.take(message));
        this.#chase((entry) => order(entry.seen, message.prev) < 0);
    }

    #accepted({turn}) {
        if (turn === this.#turn) {
            this.#names.forEach((entry) => {
                entry.isRenewed &&= entry.isRenewing;
            });
        }
    }

    #refused({want, error, isExpired}) {
        this.#names.forEach((entry) => {
            if (entry.from === undefined || keyOf(entry) !== keyOf(want)) {
                return;
            }
            if (isExpired && entry.renew && !entry.isRenewed) {
                this.#renew(entry, error);
            } else {
                this.remove(entry.name, {state: "closed", error});
            }
        });
    }

    /** Asks the page once for another URL; until then the holder's messages do not count. */
    async #renew(entry, refusal) {
        const {name} = entry;
        entry.chase?.abort();
        Object.assign(entry, {isRenewing: true, isKnown: false, from: undefined, chase: null});
        entry.enter({state: "connecting"});
        try {
            const url = await entry.renew(name);
            if (!url) {
                throw refusal;
            }
            if (!entry.isGone) {
                this.#tell.renewed(entry, url);
            }
        } catch (error) {
            if (!entry.isGone) {
                this.remove(name, {state: "closed", error});
            }
        }
    }

    /** Lets the names for which this is true catch up, those that have seen the same together. */
    #chase(isBehind) {
        const groups = new Map();
        for (const entry of this.#names.values()) {
            if (entry.from !== undefined && entry.chase === null && isBehind(entry)) {
                const place = entry.seen ?? `since ${entry.since}`;
                groups.set(place, [...(groups.get(place) ?? []), entry]);
            }
        }
        groups.forEach((entries) => {
            const chase = new Chase();
            entries.forEach((entry) => {
                entry.chase = chase;
            });
            this.#catchUp(chase, entries);
        });
    }

    /**
     * Asks alone for what the names have missed, until they have reached the holder's place.
     *
     * Each request also names the channel of the holder's last message, so that it is answered even
     * if there is nothing else to come. If the server has that message no more (or begins with what
     * is published from now on) a poll is held. Or it has not arrived: time does not tell which. So
     * the next request is an event stream, which ends when the server says that there is nothing;
     * where the shared connection polls it is a poll that waits for its answer.
     */
    async #catchUp(chase, entries) {
        let cursor = entries[0].seen;
        let holds = 0;
        let failures = 0;
        for (;;) {
            entries = entries.filter((entry) => entry.chase === chase);
            if (entries.length === 0) {
                return;
            }
            const begin = this.#late[0]?.prev ?? this.#place;
            const target = entries.map(({from}) => from).reduce(later, begin);
            if (!(order(cursor, target) < 0)) {
                break;
            }
            const ids = new Set(entries.flatMap((entry) => entry.ids));
            if (ids.size > 0 && this.#mark && failures === 0) {
                ids.add(this.#mark);
            }
            const asked = {ids: [...ids], cursor, since: entries[0].since};
            try {
                const answer = await this.#askAlone(chase, asked, holds > 0);
                failures = 0;
                holds = answer === HELD ? holds + 1 : 0;
                if (answer === HELD) {
                    await (holds > 1 && chase.pause(pauseMs(holds, RETRY_MS)));
                } else if (answer.id === undefined) {
                    cursor = target; // what the holder has brought since is in #late
                } else {
                    cursor = answer.id;
                    const still = entries.filter((entry) => entry.chase === chase);
                    const own = {...answer, begin: asked.since};
                    still.forEach((entry) => entry.merge(this.#late, own));
                }
            } catch (error) {
                failures += 1;
                await chase.pause(pauseMs(failures, RETRY_MS));
            }
        }
        for (const entry of entries) {
            entry.seen = later(entry.seen, cursor);
            entry.chase = null;
        }
        const late = this.#late;
        if ([...this.#names.values()].every((entry) => entry.chase === null)) {
            this.#late = [];
        }
        late.forEach((message) => {
            entries.forEach((entry) => entry.chase === null && entry.take(message));
        });
    }

    #askAlone(chase, asked, wasHeld) {
        const request = {...this.#options, ...asked, tokens: this.#tokens};
        if (!wasHeld) {
            return chase.ask(request, false, ASK_MS);
        }
        const hasStreams = this.#options.transports.includes("eventsource");
        return hasStreams && this.#detail.transport !== "poll"
            ? chase.ask(request, true, FIRST_BYTE_MS)
            : chase.ask(request, false, LOST_MS);
    }
}

// Name: which update a name has seen, and whether the next is its own; never asks for any.

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

// Chase: the requests of names that catch up; never knows what they have missed.

export const HELD = {}; // instead of an answer

/** What names that catch up wait for: an answer, or the end of a pause. */
export class Chase {
    #abort = new AbortController();
    #pause = new Pause();

    abort() {
        this.#abort.abort();
        this.wake();
    }

    wake() {
        this.#pause.end();
    }

    /** Until `wake` at most. */
    pause(ms) {
        return this.#abort.signal.aborted ? undefined : this.#pause.begin(ms);
    }

    /** The next message, or one without text if there is none; HELD if nothing comes in time. */
    async ask(request, byStream, ms) {
        const watch = new Watch();
        const stop = () => watch.abort();
        this.#abort.signal.addEventListener("abort", stop);
        watch.start(ms);
        try {
            return await askOnce(request, watch, byStream);
        } catch (error) {
            if (watch.isExpired) {
                return HELD;
            }
            throw error;
        } finally {
            this.#abort.signal.removeEventListener("abort", stop);
            watch.stop();
        }
    }
}

// Tabs: the locks and the channel among tabs; never reads what the messages say.

/**
 * The tabs of an origin that follow the same URL.
 *
 * One holds the lock of this name, the others stand in line for it, longest first; each tab also
 * holds a lock of its own, which others get when it is gone. The browser takes the locks of a tab
 * that is closed or crashes. Without locks or channels of the browser the tab is for itself.
 */
export class Tabs {
    tab = Math.random().toString(36).slice(2);
    isReady = false;
    #name;
    #does;
    #channel = null;
    #closing = new AbortController();
    #line = null; // aborts the place in line

    constructor(name, shared, does) {
        this.#name = name;
        this.#does = does;
        if (shared && globalThis.navigator?.locks && globalThis.BroadcastChannel) {
            this.#channel = new BroadcastChannel(name);
            this.#channel.onmessage = ({data}) => this.#closing.signal.aborted || does.hear(data);
        }
    }

    open() {
        if (this.#closing.signal.aborted) {
            return;
        }
        if (this.#channel === null) {
            this.isReady = true;
            this.#does.elected();
            return;
        }
        // First its own lock, so that who hears of this tab can watch it.
        this.#lock(this.#nameOf(this.tab), {signal: this.#closing.signal}, () => {
            this.isReady = true;
            this.#does.ready();
            this.#standInLine({});
        });
    }

    close() {
        this.#closing.abort();
        this.#line?.abort();
        this.#channel?.close();
    }

    /** Takes the lock from a holder that does not answer. */
    steal() {
        if (this.#channel !== null && !this.#closing.signal.aborted) {
            this.#line?.abort();
            this.#standInLine({steal: true});
        }
    }

    /** To all tabs, this one included. */
    post(message) {
        if (!this.#closing.signal.aborted) {
            const signed = {...message, tab: this.tab};
            this.#channel?.postMessage(signed);
            this.#does.hear(signed);
        }
    }

    /** Calls back when a tab is gone, unless the signal comes first. */
    watch(tab, signal, gone) {
        if (this.#channel !== null && tab !== this.tab) {
            navigator.locks.request(this.#nameOf(tab), {signal}, gone).catch(() => {});
        }
    }

    #nameOf(tab) {
        return `${this.#name} tab ${tab}`;
    }

    async #standInLine(options) {
        const line = (this.#line = new AbortController());
        // A lock is either stolen or waited for.
        await this.#lock(this.#name, options.steal ? options : {signal: line.signal}, () => {
            this.#does.elected();
        });
        if (this.#line === line && !this.#closing.signal.aborted) {
            this.#does.deposed(); // another tab has stolen the lock
            this.#standInLine({});
        }
    }

    /** Holds a lock until this is closed; returns when it is not held any more. */
    async #lock(name, options, granted) {
        const {signal} = this.#closing;
        try {
            await navigator.locks.request(name, options, () => {
                if (!signal.aborted && !options.signal?.aborted) {
                    granted();
                    return new Promise((resolve) => signal.addEventListener("abort", resolve));
                }
            });
        } catch (error) {
            if (error.name !== "AbortError") {
                throw error;
            }
        }
    }
}

// Holder: which tab wants which channels, and who has been told; never sees a message's text.

/** The part of the tab that has the connection: who wants what, and who has been told. */
export class Holder {
    #members = new Map(); // tab: {turn, wants, isTold, isAccepted, watch}
    #options;
    #tabs;
    #connection;
    #mark; // channel of the last message
    #isSorting = false;
    #shown = []; // the tokens that the tabs know

    constructor(options, cursor, wanted, tabs) {
        this.#options = options;
        this.#tabs = tabs;
        this.#connection = new Connection(options, cursor, {
            begun: () => this.#answer(),
            accepted: () => this.#accept(),
            message: (message) => {
                this.#mark = message.channel;
                tabs.post({type: "message", ...message});
            },
            state: (detail) => tabs.post({type: "state", detail}),
            refused: (error) => this.#sort(error),
        });
        wanted.forEach((hello) => this.#enroll(hello));
    }

    stop() {
        this.#connection.stop();
        this.#members.forEach(({watch}) => watch.abort());
        this.#members.clear();
    }

    wake() {
        this.#connection.wake();
    }

    hear(message) {
        if (message.type === "hello") {
            this.#enroll(message);
            this.#tabs.post({type: "state", detail: this.#connection.detail});
            this.#settle();
        } else if (message.type === "bye") {
            this.#dismiss(message.tab);
        }
    }

    #enroll({tab, turn, wants}) {
        const watch = this.#members.get(tab)?.watch ?? new AbortController();
        if (!this.#members.has(tab)) {
            this.#tabs.watch(tab, watch.signal, () => this.#dismiss(tab));
            this.#connection.endPause(); // a new page does not wait for an old error's sake
        }
        this.#members.set(tab, {turn, wants, isTold: false, isAccepted: false, watch});
    }

    #dismiss(tab) {
        this.#members.get(tab)?.watch.abort();
        this.#members.delete(tab);
        this.#settle();
    }

    #wants() {
        return [...this.#members.values()].flatMap(({wants}) => wants);
    }

    /** What all want, with the tokens that were signed last. */
    #used() {
        const newest = new Map();
        for (const want of this.#wants()) {
            const other = newest.get(String(want.ids));
            if (!other || signedAt(want.tokens) > signedAt(other.tokens)) {
                newest.set(String(want.ids), want);
            }
        }
        return [...newest.values()];
    }

    /** Follows what all want together. */
    #settle() {
        const used = this.#used();
        if (used.length === 0) {
            this.#connection.stop(); // those that are here wait for other URLs
        } else if (!this.#isSorting) {
            const [ids, tokens] = ["ids", "tokens"].map((key) => used.flatMap((want) => want[key]));
            const since = beginOf(this.#wants());
            this.#connection.follow([...new Set(ids)].sort(), [...new Set(tokens)], since);
            this.#answer();
        }
    }

    /** Tells those whose channels are all in the request from which id on. */
    #answer() {
        const {followed, shown} = this.#connection;
        if (String(shown) !== String(this.#shown)) {
            this.#shown = shown;
            this.#tabs.post({type: "tokens", tokens: shown});
        }
        this.#members.forEach((member, tab) => {
            const ids = member.wants.flatMap((want) => want.ids);
            const isFollowed = ids.every((id) => followed?.has(id));
            const hasAll = isFollowed && this.#connection.hasAll(beginOf(member.wants));
            if (followed !== null && hasAll && !member.isTold) {
                member.isTold = true;
                const place = this.#connection.cursor;
                const {turn} = member;
                const mark = this.#mark;
                this.#tabs.post({type: "joined", to: tab, turn, place, mark, tokens: shown});
            }
        });
    }

    /** Tells those whose channels are all in the request that the server has let them in. */
    #accept() {
        this.#members.forEach((member, tab) => {
            if (member.isTold && !member.isAccepted) {
                member.isAccepted = true;
                this.#tabs.post({type: "accepted", to: tab, turn: member.turn});
            }
        });
    }

    /** One of several was refused: each asks once alone, the others go on together. */
    async #sort(error) {
        this.#isSorting = true;
        const used = this.#used();
        // Tokens are good together until the first of them ends.
        const ends = error.isExpired ? used.map(({tokens}) => endOf(tokens)) : [];
        const end = Math.min(...ends);
        const refused = [];
        for (const want of used) {
            const isSure = used.length === 1 || (end < Infinity && endOf(want.tokens) === end);
            if (isSure || end === Infinity) {
                const found = isSure ? error : await this.#connection.refusal(want);
                refused.push(...(found ? [{want, error: found}] : []));
            }
        }
        this.#isSorting = false;
        if (this.#members.size === 0) {
            return; // the holder no more
        }
        const told = new Map();
        for (const want of this.#wants()) {
            const reason = refused.find((one) => isAlike(want, one.want, one.error));
            if (reason) {
                const {error, error: {isExpired}} = reason;
                told.set(keyOf(want), {want, error, isExpired});
            }
        }
        this.#members.forEach((member) => {
            member.wants = member.wants.filter((want) => !told.has(keyOf(want)));
        });
        told.forEach((one) => this.#tabs.post({type: "refused", ...one}));
        if (this.#wants().length > 0) {
            this.#connection.resume(told.size > 0 ? null : error);
            this.#settle();
        }
    }
}

/** Where the first of these begins. */
function beginOf(wants) {
    return wants.map(({since}) => since).reduce(earlier, wants[0]?.since);
}

/** Whether the server would answer this one as it has answered the other. */
function isAlike(want, other, {isExpired}) {
    const isOf = String(want.ids) === String(other.ids);
    const isOlder = isOf && signedAt(want.tokens) <= signedAt(other.tokens);
    return isOlder || (isExpired && endOf(want.tokens) <= endOf(other.tokens));
}

// Connection: the request under way and its cursor; never knows for whom it asks.

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

// Requests and their answers, one at a time; never remembers anything.

export const EVENT_STREAM = "text/event-stream";
const PING_INTERVALS = 2.5; // of silence: the connection is dead
// A number as caches and compressors leave it: bare, quoted, weak, the opening quote lost, the
// names of codings added. src/relay/request/cursor.rs has the same rule.
const TAG = /^(?:W\/)?(?!"[^"]*$)"?(\d{1,10})(?:[-;]+[a-z][a-z\d]*)*(?:"(?:[-;]+[a-z][a-z\d]*)*)?$/i;

/** `since` is where the request begins that has no cursor yet. */
export function ask({base, query, credentials, ids, tokens, cursor, since}, {signal}, init = {}) {
    const parameters = ids.map((id) => `${encodeURIComponent(query)}=${id}`);
    parameters.push(...tokens.map((token) => `token=${token}`));
    if (cursor !== null) {
        parameters.push(`last_event_id=${encodeURIComponent(cursor).replaceAll("%3A", ":")}`);
    } else if (since !== undefined) {
        parameters.push(`since=${since}`);
    }
    const separator = base.includes("?") ? "&" : "?";
    const url = parameters.length > 0 ? base + separator + parameters.join("&") : base;
    // A cache would add validators of its own, which the server would take for a cursor.
    return fetch(url, {credentials, cache: "no-store", signal, ...init});
}

/**
 * The next message, or one without text where there is none, with an id if the server says where to
 * go on: by a poll, or by the beginning of a stream, of which the server has at least one.
 */
export async function askOnce(request, watch, byStream) {
    for (const accept of byStream ? [EVENT_STREAM, "*/*"] : ["*/*", EVENT_STREAM]) {
        const response = await ask(request, watch, {headers: {Accept: accept}});
        if (isEventStream(response)) {
            return firstItem(request, response, watch);
        }
        if (response.status !== 406) {
            return pollAnswer(request, response);
        }
    }
    throw new Error(`${request.base} has neither event streams nor polls`);
}

/**
 * A stream begins with all that there is, perhaps behind the id that it goes on from. That there is
 * nothing, the server says with a ping, which it sends when it has nothing to send. Silence says
 * nothing.
 */
async function firstItem({base, cursor}, response, watch) {
    let comments = 0;
    try {
        for await (const {comment, id, data} of itemsOf(response, watch)) {
            if (id !== undefined && (data !== undefined || order(cursor, id) < 0)) {
                return {id, ...factsOf(id), text: data};
            }
            // A server may begin with a comment; Nchan's pings are events without data.
            comments += comment === undefined ? 0 : 1;
            if (comments > 1 || (id === undefined && data === "")) {
                return {};
            }
        }
    } finally {
        watch.abort();
    }
    throw new Error(`${base} ended the stream`);
}

/** The message that an answer brings, {id, gap, channel, text}; without text if it brings none. */
export async function pollAnswer({base, cursor}, response) {
    const {status, headers} = response;
    // nginx ends a held poll with 408.
    if (status === 304 || status === 408) {
        // To a request without a cursor it says where the next one goes on.
        return cursor === null ? {id: cursorOf(headers)} : {};
    }
    if (status !== 200) {
        throw await refusalOf(base, response);
    }
    const text = await response.text();
    const id = cursorOf(headers);
    if (id === undefined) {
        const why = "answered without a readable Last-Modified or Etag: is it a push server?";
        throw new Error(`${base} ${why}`);
    }
    const gap = gapOf(headers.get("X-Push-Gap") ?? undefined);
    return {id, gap, channel: headers.get("X-Push-Channel") ?? undefined, text};
}

/** Without the URL's query, which has tokens. */
export async function refusalOf(base, response) {
    const text = isEventStream(response) ? "" : await response.text();
    const {status, headers} = response;
    const error = new Error(`${base} answered ${status}: ${text.slice(0, 200).trim()}`);
    const challenge = headers.get("WWW-Authenticate") ?? "";
    const isExpired = status === 401 && /error_description="?expired/i.test(challenge);
    return Object.assign(error, {status, isExpired});
}

/** Whether asking again would be answered alike. */
export function isRefusal(status) {
    return status === 401 || status === 403 || status === 404;
}

export function isEventStream({status, headers}) {
    const type = headers.get("Content-Type") ?? "";
    return status === 200 && type.split(";")[0].trim().toLowerCase() === EVENT_STREAM;
}

/** What an event stream brings. Expires where it is silent longer than its pings allow. */
export async function* itemsOf(response, watch) {
    const parser = new EventStreamParser();
    const reader = response.body.getReader();
    let silenceMs = LOST_MS;
    for (let piece; !(piece = await reader.read()).done; ) {
        const items = parser.read(piece.value);
        const intervals = items.map(({comment}) => /^ ?ping (\d+)$/.exec(comment ?? "")?.[1]);
        const intervalS = Number(intervals.find((found) => found !== undefined));
        silenceMs = intervalS > 0 ? intervalS * 1000 * PING_INTERVALS : silenceMs;
        watch.start(silenceMs);
        // Bytes that end no line are a sign of life too.
        yield* items.length > 0 ? items : [{}];
    }
}

/** TIME:TAG, the place of a message in its channel; undefined where it cannot be read. */
function cursorOf(headers) {
    const time = Date.parse(headers.get("Last-Modified")) / 1000;
    // Not every server lets scripts of other origins read Etag, and not every cache leaves it as it
    // was; Cache-Control all scripts may read.
    const told = /(?:^|[\s,])etag=([^\s,]+)/i.exec(headers.get("Cache-Control"));
    const tag = tagOf(headers.get("Etag")) ?? tagOf(told?.[1]);
    return Number.isNaN(time) || tag === undefined ? undefined : `${time}:${tag}`;
}

/** The number of a tag; undefined where it cannot be read. */
function tagOf(text) {
    return TAG.exec(text ?? "")?.[1];
}

// Waiting: for a server that is silent, and between two attempts.

export const RETRY_MS = 1000; // pause after a first error; doubles with each further one
const RETRY_MS_MAX = 30000;
export const HELD_MS = 2000; // a poll this old has reached the server, or else had failed
export const FIRST_BYTE_MS = 10000; // a stream with no byte for so long is in a proxy's buffer
// The server answers held polls sooner than that; a sleeping machine's connection dies.
export const LOST_MS = 120000;

/** A request's end if nothing comes for too long. */
export class Watch {
    isExpired = false;
    #abort = new AbortController();
    #timer = null;

    get signal() {
        return this.#abort.signal;
    }

    get isAborted() {
        return this.#abort.signal.aborted;
    }

    start(ms) {
        this.stop();
        this.#timer = setTimeout(() => {
            this.isExpired = !this.isAborted;
            this.abort();
        }, ms);
    }

    stop() {
        clearTimeout(this.#timer);
    }

    abort() {
        this.stop();
        this.#abort.abort();
    }
}

export class Pause {
    #end = null;

    begin(ms) {
        return new Promise((resolve) => {
            const timer = setTimeout(resolve, ms);
            this.#end = () => {
                clearTimeout(timer);
                resolve();
            };
        });
    }

    end() {
        this.#end?.();
    }
}

/** Milliseconds; with jitter: pages that lost the server together must not come back together. */
export function pauseMs(failures, retryMs) {
    const mostMs = Math.max(retryMs, Math.min(RETRY_MS_MAX, retryMs * 2 ** (failures - 1)));
    return mostMs * (0.5 + Math.random() / 2);
}

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

// Tokens of signed URLs, as far as a page has to read them; verified by the server alone.

/** What a token says of itself: {user, signed, end}, seconds; of one that cannot be read nothing. */
function saidBy(token) {
    try {
        const [payload, time] = decodeURIComponent(token).split(":");
        const {u, e} = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/")));
        const signed = [...time].reduce((sum, digit) => sum * 62 + valueOf(digit), 0);
        return {user: u, signed, end: signed + e};
    } catch {
        return {};
    }
}

/** The value of a digit in base 62, as Django writes numbers. */
function valueOf(digit) {
    return "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".indexOf(digit);
}

/** Whose tokens these are, as text: the server takes only those of one user together. */
export function userOf(tokens) {
    const users = tokens.map((token) => saidBy(token).user);
    return tokens.length > 0 ? ` ${JSON.stringify(users)}` : "";
}

/** When the last of these was signed. */
export function signedAt(tokens) {
    return Math.max(0, ...tokens.map((token) => saidBy(token).signed ?? 0));
}

/** When the first of these ends, by the server's clock. */
export function endOf(tokens) {
    return Math.min(...tokens.map((token) => saidBy(token).end ?? Infinity));
}

/** Channels with their tokens, as text. */
export function keyOf({ids, tokens}) {
    return `${ids} ${tokens}`;
}

// Ids of messages and of channels, as text; never sent from here.

export const UNKNOWN = "unknown"; // a gap

/**
 * Negative, 0 or positive where the first id is before, at or after the second; NaN: not known.
 * An id is TIME:TAG, and facts behind a semicolon; null is before all.
 */
export function order(first, second) {
    const [a, b] = [first, second].map((id) => (id === null ? "-1:0" : id.split(";")[0]));
    const [[time, tag], [otherTime, otherTag]] = [a, b].map((id) =>
        /^-?\d+:\d+$/.test(id) ? id.split(":").map(Number) : [NaN, NaN],
    );
    return a === b ? 0 : time - otherTime || tag - otherTag;
}

export function later(first, second) {
    return order(first, second) < 0 ? second : first;
}

/** The first of two beginnings; of URLs without any, undefined. */
export function earlier(first, second) {
    return first === undefined || order(first, second) <= 0 ? first : second;
}

/** What an id tells beside the place: {gap, channel}. */
export function factsOf(id) {
    const facts = id.split(";").slice(1).map((fact) => fact.split("="));
    const {gap, channel} = Object.fromEntries(facts);
    return {gap: gapOf(gap), channel};
}

export function gapOf(text) {
    if (text === undefined) {
        return undefined;
    }
    return /^\d+$/.test(text) ? Number(text) : UNKNOWN;
}

/** What a URL names in its query, {ids, tokens, since}, and the URL without it, `base`. */
export function channelsOf(url, query, from) {
    const {origin, pathname, search} = new URL(url, from);
    const parameters = search.slice(1).split("&");
    const ids = [];
    const tokens = [];
    let since;
    const others = parameters.filter((parameter) => {
        const [name, value] = parameter.split(/=([^]*)/);
        if (value && decodedName(name) === "token") {
            tokens.push(value);
            return false;
        }
        const [, time, tag = 0] = /^(\d+)(?:(?::|%3a)(\d+))?$/i.exec(value) ?? [];
        if (time && decodedName(name) === "since") {
            since ??= `${time}:${tag}`; // of several the first counts
            return false; // what is none, the server is to refuse for this URL alone
        }
        if (query === null || !value || decodedName(name) !== query) {
            return parameter !== "";
        }
        ids.push(spelled(value.replaceAll("+", "%20")));
        return false;
    });
    const base = origin + pathname + (others.length > 0 ? `?${others.join("&")}` : "");
    return {base, ids: [...new Set(ids)].sort(), tokens, since};
}

function decodedName(text) {
    return [...new URLSearchParams(`${text}=`).keys()][0];
}

/** A percent-encoded id as the server spells it, so that the same ids are the same text. */
function spelled(encoded) {
    return encoded.replace(/%[\da-f]{2}|[^\w.~-]/gi, (piece) => {
        const byte = piece.length === 3 ? parseInt(piece.slice(1), 16) : piece.charCodeAt(0);
        const character = String.fromCharCode(byte);
        const code = byte.toString(16).toUpperCase().padStart(2, "0");
        return /[\w.~-]/.test(character) ? character : `%${code}`;
    });
}

// Auto: what `{% pushserver_script %}` makes of a page; never decides what becomes of an update.

const BLOCKS = "script[type='application/json'][data-pushserver]";
const STARTED = Symbol.for("pushserver auto"); // whatever URLs load this script, it runs once

/**
 * Subscribes to the channels of the page's data blocks, {name: URL}, and makes an event of each
 * update: `pushserver`, of the document, with {name, data} as its `detail`.
 *
 * Blocks that are put into the page later are not looked at: a page that changes itself calls
 * `updates.subscribe`.
 */
function start() {
    if (globalThis[STARTED]) {
        return;
    }
    globalThis[STARTED] = true;
    const channels = channelsIn(document);
    updates.addEventListener("message", ({detail: {name, data}}) => {
        if (Object.hasOwn(channels, name)) {
            document.dispatchEvent(new CustomEvent("pushserver", {detail: {name, data}}));
        }
    });
    updates.addEventListener("state", ({detail: {name, state, error}}) => {
        if (Object.hasOwn(channels, name) && state === "closed" && error) {
            console.warn(`pushserver: no more updates of ${name}: ${error.message}`);
        }
    });
    updates.subscribe(channels, {renew});
}

function channelsIn(page) {
    const channels = Object.create(null); // a name such as "constructor" is one as others are
    for (const {textContent} of page.querySelectorAll(BLOCKS)) {
        for (const [name, url] of Object.entries(JSON.parse(textContent))) {
            if (Object.hasOwn(channels, name) && placeOf(url) !== placeOf(channels[name])) {
                const why = `the name ${name} is given to two channels, and stays with the first`;
                console.warn(`pushserver: ${why}: give each its own in {% pushserver_script %}`);
            }
            channels[name] ??= url;
        }
    }
    return channels;
}

/** A URL without what each rendering makes anew. */
function placeOf(url) {
    const place = new URL(url, document.baseURI);
    ["since", "token"].forEach((name) => place.searchParams.delete(name));
    return place.href;
}

let asked = null; // the page again, while it is on its way

/** The token of a URL has expired: the page has another one when it is asked for again. */
async function renew(name) {
    asked ??= channelsOfThisPage().finally(() => {
        asked = null;
    });
    return (await asked)[name];
}

async function channelsOfThisPage() {
    const response = await fetch(location.href, {cache: "no-store"});
    return channelsIn(new DOMParser().parseFromString(await response.text(), "text/html"));
}

// When all scripts have run that wait for the page, so that none is too late for the first event.
// A script that is put into the page later may run after that, and before everything is loaded.
if (document.readyState === "complete") {
    start();
} else {
    document.addEventListener("DOMContentLoaded", start);
    addEventListener("load", start);
}
