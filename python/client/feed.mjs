// Feed: the names of one tab at one URL; has no connection of its own but to catch up.

import {Chase, HELD} from "./chase.mjs";
import {Holder} from "./holder.mjs";
import {Name} from "./name.mjs";
import {Tabs} from "./tabs.mjs";
import {later, order} from "./ids.mjs";
import {keyOf} from "./tokens.mjs";
import {FIRST_BYTE_MS, LOST_MS, RETRY_MS, pauseMs} from "./waiting.mjs";

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
