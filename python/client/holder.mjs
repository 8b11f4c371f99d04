// Holder: which tab wants which channels, and who has been told; never sees a message's text.

import {Connection} from "./connection.mjs";

/** The part of the tab that has the connection: who wants what, and who has been told. */
export class Holder {
    #members = new Map(); // tab: {turn, wants, isTold, watch}
    #options;
    #tabs;
    #connection;
    #mark; // channel of the last message
    #isSorting = false;

    constructor(options, cursor, wanted, tabs) {
        this.#options = options;
        this.#tabs = tabs;
        this.#connection = new Connection(options, cursor, {
            begun: () => this.#answer(),
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
        this.#members.set(tab, {turn, wants, isTold: false, watch});
    }

    #dismiss(tab) {
        this.#members.get(tab)?.watch.abort();
        this.#members.delete(tab);
        this.#settle();
    }

    #wants() {
        return [...this.#members.values()].flatMap(({wants}) => wants);
    }

    /** Follows what all want together. */
    #settle() {
        if (!this.#isSorting && this.#members.size > 0) {
            this.#connection.follow([...new Set(this.#wants().flat())].sort());
            this.#answer();
        }
    }

    /** Tells those whose channels are all in the request from which id on. */
    #answer() {
        const followed = this.#connection.followed;
        this.#members.forEach((member, tab) => {
            const isFollowed = member.wants.flat().every((id) => followed?.has(id));
            if (followed !== null && isFollowed && !member.isTold) {
                member.isTold = true;
                const place = this.#connection.cursor;
                const {turn} = member;
                this.#tabs.post({type: "joined", to: tab, turn, place, mark: this.#mark});
            }
        });
    }

    /** One of several was refused: each asks once alone, the others go on together. */
    async #sort(error) {
        this.#isSorting = true;
        const wants = [...new Map(this.#wants().map((ids) => [String(ids), ids])).values()];
        const refused = [];
        for (const ids of wants) {
            const found = wants.length === 1 ? error : await this.#connection.refusal(ids);
            if (found) {
                refused.push({want: ids, error: found});
            }
        }
        this.#isSorting = false;
        if (this.#members.size === 0) {
            return; // the holder no more
        }
        const isRefused = (ids) => refused.some(({want}) => String(want) === String(ids));
        this.#members.forEach((member) => {
            member.wants = member.wants.filter((ids) => !isRefused(ids));
        });
        refused.forEach((one) => this.#tabs.post({type: "refused", ...one}));
        if (this.#wants().length > 0) {
            this.#connection.resume(refused.length > 0 ? null : error);
            this.#settle();
        }
    }
}
