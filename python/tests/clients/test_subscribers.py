"""Clients that others have written: none lost, repeated or reordered, and each kind of message."""

from __future__ import annotations

import pytest

from tests.clients.subscribers import EVERY, WEB_SOCKETS, subscribed
from tests.faults import Cutter
from tests.front_servers import front_server
from tests.relaying import COUNT, publish_through_faults, running_relay


@pytest.fixture(scope="module")
def relay():
    with running_relay() as relay:
        yield relay


@pytest.fixture
def cutter(relay):
    with Cutter(relay.host) as cutter:
        yield cutter


def bodies(subscribers):
    return {name: [body for _, body in one.got] for name, one in subscribers.items()}


def all_have(subscribers, count):
    return all(len(one.got) >= count for one in subscribers.values())


def follow_200_messages(relay, cutter, path, channels):
    """Each client gets them through connections that break."""
    with subscribed(cutter, path) as subscribers:
        publish_through_faults(
            lambda value: relay.publish(channels[value % len(channels)], str(value)),
            cutter,
            lambda: [one.failures for one in subscribers.values()],
            lambda: [len(one.got) for one in subscribers.values()],
        )
        expected = [str(value) for value in range(COUNT)]
        assert bodies(subscribers) == dict.fromkeys(EVERY, expected)
        ids = [[id for id, _ in one.got] for one in subscribers.values()]
    assert len(set(ids[0])) == COUNT
    assert all(each == ids[0] for each in ids)


@pytest.mark.parametrize(
    ("path", "channels"),
    [
        ("/updates/faults", ["faults"]),
        ("/list/a,b%2C%C5%BE", ["a", "b,ž"]),
        ("/query?channel=c&channel=d+d", ["c", "d d"]),
    ],
)
def test_200_messages_through_connections_that_break(relay, cutter, path, channels):
    follow_200_messages(relay, cutter, path, channels)


@pytest.mark.parametrize("name", ["nginx", "haproxy", "caddy"])
def test_200_messages_through_a_front_server(relay, tmp_path, name):
    with (
        front_server(name, tmp_path, f"http://{relay.host}") as port,
        Cutter(f"127.0.0.1:{port}") as cutter,
    ):
        follow_200_messages(relay, cutter, f"/updates/{name}", [name])


def test_pings_keep_connections(relay, cutter, wait_for):
    with subscribed(cutter, "/updates/pings") as subscribers:
        counted = [one for name, one in subscribers.items() if name in {*WEB_SOCKETS, "curl"}]
        # Without a Pong to the first the daemon would close at the second.
        wait_for(lambda: all(one.pings >= 3 for one in counted))
        relay.publish("pings", "after them")
        wait_for(lambda: all_have(subscribers, 1))
        assert {(one.opened, one.failures) for one in subscribers.values()} == {(1, 0)}


LONG = bytes(range(256)) * 300  # the longest of the three forms of a length


def test_text_and_bytes(relay, cutter, wait_for):
    with subscribed(cutter, "/list/text%2C,bytes") as subscribers:
        relay.publish("text,", "ž\r\n\rž\n")
        relay.publish("bytes", b"bytes", "application/octet-stream")
        relay.publish("bytes", LONG[:300], "text/plain")
        relay.publish("bytes", LONG, "text/plain")
        relay.publish("text,", "")
        wait_for(lambda: all_have(subscribers, 5))
        got = bodies(subscribers)
        for name in WEB_SOCKETS:
            assert got[name] == ["ž\r\n\rž\n", b"bytes", LONG[:300], LONG, ""]
        for name in ("httpx-sse", "eventsource"):
            text, ascii_bytes, *others, empty = got[name]
            assert (text, ascii_bytes, empty) == ("ž\n\nž\n", "bytes", "")
            # What is no UTF-8 belongs into a WebSocket.
            assert all("\N{REPLACEMENT CHARACTER}" in other for other in others)
        channels = ["text%2C", "bytes", "bytes", "bytes", "text%2C"]
        for one in subscribers.values():
            assert [got.id.partition(";channel=")[2] for got in one.got] == channels


@pytest.mark.parametrize("name", WEB_SOCKETS)
def test_what_a_client_sends_comes_to_everybody(relay, cutter, wait_for, name):
    with subscribed(cutter, f"/both/{name}") as subscribers:
        wait_for(lambda: all(one.opened for one in subscribers.values()))
        sender = subscribers[name]
        sender.send("in fragments, ž")
        sender.send(LONG)
        sender.send("last")
        wait_for(lambda: all_have(subscribers, 3))
        for other in WEB_SOCKETS:
            assert bodies(subscribers)[other] == ["in fragments, ž", LONG, "last"]
        for other in ("httpx-sse", "eventsource"):
            assert bodies(subscribers)[other][::2] == ["in fragments, ž", "last"]
        assert {one.failures for one in subscribers.values()} == {0}
