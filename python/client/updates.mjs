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

import {Feed} from "./feed.mjs";
import {channelsOf} from "./ids.mjs";
import {userOf} from "./tokens.mjs";

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
