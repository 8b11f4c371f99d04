/** An update whose `type` chooses its processors. */
export interface Update {
    type: string;
    [key: string]: unknown;
}

/** "waiting": pausing after an error. */
export type State = "connecting" | "open" | "waiting" | "closed";

export type Transport = "eventsource" | "poll";

export interface UpdatesOptions {
    /** Whether requests carry cookies, as of `fetch`; by default they do. */
    credentials?: RequestCredentials;
    /** By default `["eventsource", "poll"]`: streams, and polls where those fail. */
    transports?: Transport[];
    /** Whether all tabs of the browser share one connection; by default they do. */
    shared?: boolean;
    /** The `query` setting of the locations, "channel" by default; null: none has it (nginx). */
    query?: string | null;
}

export interface SubscribeOptions {
    /**
     * Called where the token of a name's URL has expired, once: a new URL, or none if there is none.
     * A name without it, or whose new URL is refused, too, is closed.
     */
    renew?: (name: string) => Renewed | Promise<Renewed>;
}

export type Renewed = string | null | undefined;

export interface UpdatesEvents {
    message: CustomEvent<{name: string; data: unknown}>;
    state: CustomEvent<{
        name: string;
        state: State;
        transport?: Transport;
        error?: Error;
        retryMs?: number;
    }>;
    gap: CustomEvent<{name: string; missed: number | null}>;
}

export class Updates extends EventTarget {
    constructor(options?: UpdatesOptions);

    /** Follows channels: URLs by a name of your own. A name that is subscribed already stays. */
    subscribe(channels: Record<string, string>, options?: SubscribeOptions): void;

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
