// Requests and their answers, one at a time; never remembers anything.

import {EventStreamParser} from "./event_stream.mjs";
import {factsOf, gapOf, order} from "./ids.mjs";
import {LOST_MS} from "./waiting.mjs";

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
