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
