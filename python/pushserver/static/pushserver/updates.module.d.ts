/** An update whose `type` chooses its processors. */
export interface Update {
    type: string;
    [key: string]: unknown;
}

/** "waiting": pausing after an error. */
export type State = "connecting" | "open" | "waiting" | "closed";

export interface UpdatesEvents {
    message: CustomEvent<{name: string; data: unknown}>;
    state: CustomEvent<{name: string; state: State; error?: Error; retryMs?: number}>;
    gap: CustomEvent<{name: string; missed: number | null}>;
}

export class Updates extends EventTarget {
    /** `credentials`: whether polls carry cookies, as of `fetch`; by default they do. */
    constructor(options?: {credentials?: RequestCredentials});

    /** Follows channels: URLs by a name of your own. A name that is subscribed already stays. */
    subscribe(channels: Record<string, string>): void;

    /** Ends following; nothing of these channels is processed from here on. */
    unsubscribe(...names: string[]): void;

    /** Calls `processor` for each update of this channel and type; returns what takes it back. */
    registerProcessor<T = any>(name: string, type: string, processor: (data: T) => void): () => void;

    state(name: string): State;

    addEventListener<K extends keyof UpdatesEvents>(
        type: K,
        listener: (event: UpdatesEvents[K]) => void,
        options?: boolean | AddEventListenerOptions,
    ): void;
    addEventListener(
        type: string,
        listener: EventListenerOrEventListenerObject | null,
        options?: boolean | AddEventListenerOptions,
    ): void;
    removeEventListener<K extends keyof UpdatesEvents>(
        type: K,
        listener: (event: UpdatesEvents[K]) => void,
        options?: boolean | EventListenerOptions,
    ): void;
    removeEventListener(
        type: string,
        listener: EventListenerOrEventListenerObject | null,
        options?: boolean | EventListenerOptions,
    ): void;
}

declare const updates: Updates;
export default updates;
