// Tokens of signed URLs, as far as a page has to read them; verified by the server alone.

/** What a token says of itself: {user, signed, end}, seconds; of one that cannot be read nothing. */
function saidBy(token) {
    try {
        const [payload, time] = decodeURIComponent(token).split(":");
        const {u, e} = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/")));
        const signed = [...time].reduce((sum, digit) => sum * 62 + valueOf(digit), 0);
        return {user: u, signed, end: signed + e};
    } catch {
        return {};
    }
}

/** The value of a digit in base 62, as Django writes numbers. */
function valueOf(digit) {
    return "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".indexOf(digit);
}

/** Whose tokens these are, as text: the server takes only those of one user together. */
export function userOf(tokens) {
    const users = tokens.map((token) => saidBy(token).user);
    return tokens.length > 0 ? ` ${JSON.stringify(users)}` : "";
}

/** When the last of these was signed. */
export function signedAt(tokens) {
    return Math.max(0, ...tokens.map((token) => saidBy(token).signed ?? 0));
}

/** When the first of these ends, by the server's clock. */
export function endOf(tokens) {
    return Math.min(...tokens.map((token) => saidBy(token).end ?? Infinity));
}

/** Channels with their tokens, as text. */
export function keyOf({ids, tokens}) {
    return `${ids} ${tokens}`;
}
