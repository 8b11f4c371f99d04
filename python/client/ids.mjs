// Ids of messages and of channels, as text; never sent from here.

export const UNKNOWN = "unknown"; // a gap

/**
 * Negative, 0 or positive where the first id is before, at or after the second; NaN: not known.
 * An id is TIME:TAG, and facts behind a semicolon; null is before all.
 */
export function order(first, second) {
    const [a, b] = [first, second].map((id) => (id === null ? "-1:0" : id.split(";")[0]));
    const [[time, tag], [otherTime, otherTag]] = [a, b].map((id) =>
        /^-?\d+:\d+$/.test(id) ? id.split(":").map(Number) : [NaN, NaN],
    );
    return a === b ? 0 : time - otherTime || tag - otherTag;
}

export function later(first, second) {
    return order(first, second) < 0 ? second : first;
}

/** The first of two beginnings; of URLs without any, undefined. */
export function earlier(first, second) {
    return first === undefined || order(first, second) <= 0 ? first : second;
}

/** What an id tells beside the place: {gap, channel}. */
export function factsOf(id) {
    const facts = id.split(";").slice(1).map((fact) => fact.split("="));
    const {gap, channel} = Object.fromEntries(facts);
    return {gap: gapOf(gap), channel};
}

export function gapOf(text) {
    if (text === undefined) {
        return undefined;
    }
    return /^\d+$/.test(text) ? Number(text) : UNKNOWN;
}

/** What a URL names in its query, {ids, tokens, since}, and the URL without it, `base`. */
export function channelsOf(url, query, from) {
    const {origin, pathname, search} = new URL(url, from);
    const parameters = search.slice(1).split("&");
    const ids = [];
    const tokens = [];
    let since;
    const others = parameters.filter((parameter) => {
        const [name, value] = parameter.split(/=([^]*)/);
        if (value && decodedName(name) === "token") {
            tokens.push(value);
            return false;
        }
        const [, time, tag = 0] = /^(\d+)(?:(?::|%3a)(\d+))?$/i.exec(value) ?? [];
        if (time && decodedName(name) === "since") {
            since ??= `${time}:${tag}`; // of several the first counts
            return false; // what is none, the server is to refuse for this URL alone
        }
        if (query === null || !value || decodedName(name) !== query) {
            return parameter !== "";
        }
        ids.push(spelled(value.replaceAll("+", "%20")));
        return false;
    });
    const base = origin + pathname + (others.length > 0 ? `?${others.join("&")}` : "");
    return {base, ids: [...new Set(ids)].sort(), tokens, since};
}

function decodedName(text) {
    return [...new URLSearchParams(`${text}=`).keys()][0];
}

/** A percent-encoded id as the server spells it, so that the same ids are the same text. */
function spelled(encoded) {
    return encoded.replace(/%[\da-f]{2}|[^\w.~-]/gi, (piece) => {
        const byte = piece.length === 3 ? parseInt(piece.slice(1), 16) : piece.charCodeAt(0);
        const character = String.fromCharCode(byte);
        const code = byte.toString(16).toUpperCase().padStart(2, "0");
        return /[\w.~-]/.test(character) ? character : `%${code}`;
    });
}
