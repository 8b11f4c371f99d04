"""The real push server with a location of each kind, and 200 messages through faults."""

from __future__ import annotations

import contextlib
import functools
import http.client
import itertools
import random
import time
from collections.abc import Callable, Iterator
from urllib.parse import quote

from pushserver.test import PushServer
from tests.conftest import wait_until
from tests.faults import Cutter

# A client whose Pong takes longer counts as gone, however slow the machine is.
SUBSCRIBER = {"type": "subscriber", "create_on_get": True, "ping_interval": 2}
LOCATIONS = [
    SUBSCRIBER | {"url": "/updates/([^/]+)"},
    SUBSCRIBER | {"url": "/newest/([^/]+)", "first_message": "newest"},
    SUBSCRIBER | {"url": "/list/([^/]+)", "delimiter": ","},
    SUBSCRIBER | {"url": "/query", "query": "channel"},
    {"type": "publisher", "url": "/publish/([^/]+)"},
    {"type": "pubsub", "url": "/both/([^/]+)", "create_on_get": True, "allow_origin": "*"},
]
COUNT = 200


class Relay:
    """What publishes to the push server at ``host``."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._connection = http.client.HTTPConnection(host, timeout=30)

    def publish(self, channel: str, body: str | bytes, content_type: str = "text/plain") -> None:
        data = body.encode() if isinstance(body, str) else body
        self._request("POST", channel, {201, 202}, data, {"Content-Type": content_type})

    def delete(self, channel: str) -> None:
        self._request("DELETE", channel, {200}, b"", {})

    def _request(
        self, method: str, channel: str, statuses: set[int], data: bytes, headers: dict[str, str]
    ) -> None:
        self._connection.request(method, f"/publish/{quote(channel, safe='')}", data, headers)
        with self._connection.getresponse() as answer:
            text = answer.read()
            assert answer.status in statuses, text

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def running_relay() -> Iterator[Relay]:
    """The push server with `LOCATIONS`."""
    store = {"type": "memory", "max_messages": 2 * COUNT}
    with (
        PushServer(locations=LOCATIONS, store=store) as server,
        contextlib.closing(Relay(server.url.removeprefix("http://"))) as relay,
    ):
        yield relay


def publish_through_faults(
    publish: Callable[[int], None],
    cutter: Cutter,
    failures: Callable[[], list[int]],
    received: Callable[[], list[int]],
) -> None:
    """Publishes the numbers below `COUNT`; meanwhile connections are reset, ended, and refused.

    ``failures``: of each client, how many connections have failed. ``received``: how many messages
    it has; each has all before the next fault, so every fault hits clients that listen.
    """
    randomness = random.Random(14)
    faults = ("reset", "ended", "refused", "none")
    values = iter(range(COUNT))

    def publish_some(count: int) -> None:
        for value in itertools.islice(values, count):
            publish(value)
            if randomness.random() < 0.5:
                time.sleep(randomness.uniform(0, 0.02))

    half = COUNT // len(faults) // 2
    for number, fault in enumerate(faults, start=1):
        publish_some(half)
        before = failures()
        if fault == "refused":
            cutter.refuse()
        if fault != "none":
            cutter.cut(reset=fault != "ended")
        publish_some(half)
        if fault == "refused":
            # The cut is one failure of each client, and an attempt to come again the next.
            _wait_until_each("failures", failures, [count + 2 for count in before])
            cutter.accept()
        _wait_until_each("messages", received, [number * 2 * half] * len(before))


def _wait_until_each(what: str, counts: Callable[[], list[int]], least: list[int]) -> None:
    """Waits until each client has as many; says how many each has if none gets any further.

    So a slow machine may take its time, and a client that is stuck fails.
    """

    def reached() -> list[int]:
        return list(map(min, counts(), least))

    while (before := reached()) != least:
        try:
            wait_until(functools.partial(_is_other, reached, before))
        except AssertionError:
            raise AssertionError(f"{what}: {counts()} of {least}") from None


def _is_other(current: Callable[[], list[int]], before: list[int]) -> bool:
    return current() != before
