// Auto: what `{% pushserver_script %}` makes of a page; never decides what becomes of an update.

import updates from "./updates.mjs";

const BLOCKS = "script[type='application/json'][data-pushserver]";
const STARTED = Symbol.for("pushserver auto"); // whatever URLs load this script, it runs once

/**
 * Subscribes to the channels of the page's data blocks, {name: URL}, and makes an event of each
 * update: `pushserver`, of the document, with {name, data} as its `detail`.
 *
 * Blocks that are put into the page later are not looked at: a page that changes itself calls
 * `updates.subscribe`.
 */
function start() {
    if (globalThis[STARTED]) {
        return;
    }
    globalThis[STARTED] = true;
    const channels = channelsIn(document);
    updates.addEventListener("message", ({detail: {name, data}}) => {
        if (Object.hasOwn(channels, name)) {
            document.dispatchEvent(new CustomEvent("pushserver", {detail: {name, data}}));
        }
    });
    updates.addEventListener("state", ({detail: {name, state, error}}) => {
        if (Object.hasOwn(channels, name) && state === "closed" && error) {
            console.warn(`pushserver: no more updates of ${name}: ${error.message}`);
        }
    });
    updates.subscribe(channels, {renew});
}

function channelsIn(page) {
    const channels = Object.create(null); // a name such as "constructor" is one as others are
    for (const {textContent} of page.querySelectorAll(BLOCKS)) {
        for (const [name, url] of Object.entries(JSON.parse(textContent))) {
            if (Object.hasOwn(channels, name) && placeOf(url) !== placeOf(channels[name])) {
                const why = `the name ${name} is given to two channels, and stays with the first`;
                console.warn(`pushserver: ${why}: give each its own in {% pushserver_script %}`);
            }
            channels[name] ??= url;
        }
    }
    return channels;
}

/** A URL without what each rendering makes anew. */
function placeOf(url) {
    const place = new URL(url, document.baseURI);
    ["since", "token"].forEach((name) => place.searchParams.delete(name));
    return place.href;
}

let asked = null; // the page again, while it is on its way

/** The token of a URL has expired: the page has another one when it is asked for again. */
async function renew(name) {
    asked ??= channelsOfThisPage().finally(() => {
        asked = null;
    });
    return (await asked)[name];
}

async function channelsOfThisPage() {
    const response = await fetch(location.href, {cache: "no-store"});
    return channelsIn(new DOMParser().parseFromString(await response.text(), "text/html"));
}

// When all scripts have run that wait for the page, so that none is too late for the first event.
// A script that is put into the page later may run after that, and before everything is loaded.
if (document.readyState === "complete") {
    start();
} else {
    document.addEventListener("DOMContentLoaded", start);
    addEventListener("load", start);
}
