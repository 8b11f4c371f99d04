"""Clients that others have written, in a browser: none lost, repeated or reordered.

NchanSubscriber.js as npm has it, by each of its transports, and the browser's own EventSource and
WebSocket.
"""

from __future__ import annotations

import pytest

from tests.faults import Cutter
from tests.relaying import COUNT, publish_through_faults, running_relay

NCHAN = ["websocket", "eventsource", "longpoll"]
EVERY = [*NCHAN, "EventSource", "WebSocket"]
# Keeps what each client gets, and counts its connections that fail.
SCRIPT = """
    const [url, kinds] = arguments;
    window.got = {};
    window.failed = {};
    const started = {
        EventSource() {
            const source = new EventSource(url);
            source.onopen = () => { window.opened = true; };
            source.onerror = () => failed.EventSource++;
            source.onmessage = ({data}) => got.EventSource.push(data);
        },
        WebSocket(id) {
            const query = id ? `?last_event_id=${encodeURIComponent(id)}` : "";
            const socket = new WebSocket(url.replace("http", "ws") + query, "ws+meta.nchan");
            socket.binaryType = "arraybuffer";
            socket.onmessage = ({data}) => {
                const isText = typeof data === "string";
                const text = isText ? data : String.fromCharCode(...new Uint8Array(data));
                const head = text.match(/^id: (.*)\\n(?:content-type: .*\\n)?\\n/);
                id = head[1];
                const body = text.slice(head[0].length);
                got.WebSocket.push(isText ? body : [...body].map((byte) => byte.charCodeAt(0)));
            };
            socket.onclose = () => {
                failed.WebSocket++;
                setTimeout(started.WebSocket, 100, id);
            };
        },
    };
    const failure = {websocket: "close", eventsource: "error", longpoll: "error"};
    for (const kind of kinds) {
        got[kind] = [];
        failed[kind] = 0;
        if (started[kind]) {
            started[kind]();
            continue;
        }
        const subscriber = new NchanSubscriber(url, {subscriber: kind, reconnectTimeout: 100});
        subscriber.on("message", async (message) => {
            got[kind].push(message instanceof Blob ? [...await message.bytes()] : message);
        });
        subscriber.on("transportNativeCreated", (connection) => {
            connection.addEventListener(failure[kind], () => failed[kind]++);
        });
        subscriber.start();
    }
"""


@pytest.fixture
def relay():
    with running_relay() as relay:
        yield relay


@pytest.fixture
def clients(browser, live_server, settings):
    """Opens a page with these clients of a URL."""
    settings.ROOT_URLCONF = "tests.browser.urls"

    def clients(url, *kinds):
        browser.open(f"{live_server.url}/nchan")
        browser.run(SCRIPT, url, kinds)
        return browser

    yield clients
    browser.open("about:blank")
    browser.log()


def got(browser):
    return browser.run("return window.got")


def test_200_messages_through_connections_that_break(clients, relay):
    with Cutter(relay.host) as cutter:
        browser = clients(f"http://{cutter.host}/updates/a", *EVERY)
        publish_through_faults(
            lambda value: relay.publish("a", str(value)),
            cutter,
            lambda: [browser.run("return window.failed")[kind] for kind in EVERY],
            lambda: [len(got(browser)[kind]) for kind in EVERY],
        )
        assert got(browser) == {kind: [str(value) for value in range(COUNT)] for kind in EVERY}


def test_nothing_is_lost_before_the_first_message(clients, relay, wait_for):
    browser = clients(f"http://{relay.host}/newest/a", "EventSource")
    wait_for(lambda: browser.run("return window.opened"))
    relay.delete("a")  # ends the stream, behind what it began with
    relay.publish("a", "in between")
    wait_for(lambda: got(browser) == {"EventSource": ["in between"]})


def test_text_and_bytes_of_several_channels(clients, relay, wait_for):
    # As long as NchanSubscriber.js takes a binary message's id: it looks at its first 255 bytes.
    other = "x" * 170
    browser = clients(f"http://{relay.host}/list/a,{other}", "websocket")
    relay.publish("a", "ž\r\nž")
    wait_for(lambda: got(browser) == {"websocket": ["ž\r\nž"]})
    relay.publish(other, bytes([0, 255, 10, 13]), "application/octet-stream")
    wait_for(lambda: got(browser)["websocket"][1:] == [[0, 255, 10, 13]])
    assert browser.log() == []


def test_what_a_page_sends_comes_to_everybody(clients, relay, wait_for):
    browser = clients(f"http://{relay.host}/both/a", *EVERY)
    # The bytes last: text overtakes bytes in NchanSubscriber.js, which reads those later.
    browser.run(
        """
        const socket = new WebSocket(arguments[0]);
        socket.onopen = () => ["one", "two", new TextEncoder().encode("bytes")].map(
            (message) => socket.send(message)
        );
        """,
        f"ws://{relay.host}/both/a",
    )
    # Bytes that are UTF-8 are bytes all the same.
    expected = {kind: ["one", "two", "bytes"] for kind in EVERY}
    expected["websocket"] = expected["WebSocket"] = ["one", "two", [*b"bytes"]]
    wait_for(lambda: all(len(messages) == 3 for messages in got(browser).values()))
    assert got(browser) == expected
