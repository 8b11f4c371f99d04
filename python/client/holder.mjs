// Holder: which tab wants which channels, and who has been told; never sees a message's text.

import {Connection} from "./connection.mjs";
import {earlier} from "./ids.mjs";
import {endOf, keyOf, signedAt} from "./tokens.mjs";

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
