// Chase: the requests of names that catch up; never knows what they have missed.

import {askOnce} from "./requests.mjs";
import {Pause, Watch} from "./waiting.mjs";

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
