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
