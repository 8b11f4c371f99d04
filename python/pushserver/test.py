"""Help for testing projects that send updates.

``capture_updates`` is for most tests: it needs no push server. ``PushServer`` and
``PushServerMixin`` run the real one, for tests with a browser. For pytest there are the fixtures
``captured_updates`` and ``push_server``.
"""

from __future__ import annotations

import io
import json
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from email.message import Message
from typing import Any, NamedTuple
from unittest import mock
from urllib.parse import urlsplit
from urllib.request import Request
from urllib.response import addinfourl

from asgiref.sync import sync_to_async
from django.test import override_settings

from pushserver import conf, handover, hosts, status, tokens
from pushserver.binary import find_binary
from pushserver.daemon import Daemon
from pushserver.utils import pool, updates


class Update(NamedTuple):
    """An update as a browser would have got it."""

    channel_id: str
    data: Any


@contextmanager
def capture_updates() -> Iterator[list[Update]]:
    """Collects the updates that would be sent, in order, and sends none; in all threads.

    Those with ``on_commit`` come when the transaction ends: in a ``TestCase`` put
    ``self.captureOnCommitCallbacks(execute=True)`` inside.
    """
    captured: list[Update] = []

    def deliver(channel_id: str, request: Request, timeout: float) -> addinfourl:
        assert isinstance(request.data, bytes), "send_update makes bytes of it"
        try:
            data = json.loads(request.data)
        except ValueError as error:
            raise AssertionError(
                f"the update for channel {channel_id!r} is not JSON: {error}"
            ) from error
        captured.append(Update(channel_id, data))
        return addinfourl(io.BytesIO(), Message(), request.full_url, 202)

    with mock.patch.object(updates, "deliver", deliver):
        yield captured


class PushServer:
    """A context manager: the real push server on a free port, and the settings that lead to it.

    It has the project's ``PUSH_SERVER``, with ``overrides`` over it. ``url`` is where it listens.
    Whatever ``allow`` of the project's settings says, this machine may publish.

    ``live_server_url``: the test's live server, if it has one. Then the push server has the same
    host, so that browsers send it the cookies of the pages; the pages may subscribe; and a
    ``passthrough`` leads to the live server.
    """

    def __init__(self, live_server_url: str = "", **overrides: Any) -> None:
        self.live_server_url = live_server_url
        self.overrides = overrides
        self.url = ""
        self._stack = ExitStack()

    def __enter__(self) -> PushServer:
        push_server = conf.push_server() | {"address": "127.0.0.1", "port": 0}
        name = urlsplit(self.live_server_url).hostname or ""
        if name:
            push_server["address"] = socket.gethostbyname(name)
            push_server["hosts"] = [*(push_server.get("hosts") or ()), name]
        push_server["locations"] = [
            _for_this_machine(str(push_server["address"]), place)
            for place in push_server["locations"]
        ]
        push_server |= self.overrides
        if name:
            push_server["locations"] = [
                _for_pages_of(self.live_server_url, place) for place in push_server["locations"]
            ]
        # The output of a test does not need the daemon's start and end.
        env = {"RUST_LOG": "warn"} | os.environ
        given = handover.with_keys(handover.with_status(push_server))
        secure = {key: _is_secure(push_server, key) for key in hosts.HOSTS}
        if any(secure.values()):
            given.setdefault("certificate", "development")
        daemon = self._stack.enter_context(Daemon(find_binary(), given, env=env))
        self.url = daemon.url
        host = re.sub("^https?://", "", daemon.url)
        is_https = daemon.url.startswith("https:")
        for key in hosts.HOSTS:
            push_server[key] = {"location": host, "secure": is_https or secure[key]}
        if name and not host.startswith("unix:"):
            push_server["subscriber_host"]["location"] = f"{name}:{host.rpartition(':')[2]}"
        self._stack.callback(pool.shared.close)  # or a test would leave connections behind
        self._stack.enter_context(override_settings(PUSH_SERVER=push_server))
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.close()

    def wait_until_subscribed(self, channel_id: object, n: int = 1, timeout: float = 30.0) -> None:
        """Returns when so many requests wait for the channel's updates, or more.

        A page that has been opened is there then; tabs that share a connection are one request.
        Raises ``AssertionError`` if that takes longer than ``timeout`` seconds, and
        ``updates.StatusError``.
        """
        deadline = time.monotonic() + timeout
        while (count := _subscribers(str(channel_id))) < n:
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"{count} of {n} requests wait for the updates of channel {channel_id!r} after "
                    f"{timeout} seconds. See whether the page subscribes at all, and to this id"
                )
            time.sleep(0.01)

    async def await_until_subscribed(
        self, channel_id: object, n: int = 1, timeout: float = 30.0
    ) -> None:
        """``wait_until_subscribed`` for asynchronous tests; waits in a thread."""
        wait = sync_to_async(self.wait_until_subscribed, thread_sensitive=False)
        await wait(channel_id, n, timeout)


class PushServerMixin:
    """For a ``LiveServerTestCase``: a push server for the class, as ``cls.push_server``.

    Needs a live server: see ``PushServer``.
    """

    push_server: PushServer
    live_server_url: str

    @classmethod
    def setUpClass(cls) -> None:
        if not isinstance(getattr(cls, "live_server_url", ""), str):
            # As with Channels, whose live server is another process.
            raise TypeError(
                f"{cls.__qualname__}: PushServerMixin goes with a live server in this process, "
                "as LiveServerTestCase has it; another process does not see its settings"
            )
        super().setUpClass()  # type: ignore[misc]
        cls.push_server = PushServer(live_server_url=cls.live_server_url)
        cls.push_server.__enter__()
        cls.addClassCleanup(cls.push_server.__exit__)  # type: ignore[attr-defined]


def _subscribers(channel_id: str) -> int:
    """How many requests wait for the updates of a channel, as pages find it."""
    group, store = tokens.scope(conf.location("subscriber"))

    def count(channel: Any) -> int:
        # An id that is no text has no `id`.
        found = channel.get("id"), channel["group"], channel["store"]
        return int(channel["subscribers"]) if found == (channel_id, group, store) else 0

    fields = {"prefix": channel_id}
    counts = status.ask_all(
        status.StatusError, "channels", fields, "channels", count, None, status.TIMEOUT_S
    )
    return sum(counts)


def _is_secure(push_server: Mapping[str, Any], key: str) -> bool:
    """Whether the project's push server speaks HTTPS itself there, without a server in front."""
    host, secure = hosts.host_of(push_server, key)
    return secure and (not host or hosts.is_loopback(host.rpartition(":")[0]))


def _for_this_machine(address: str, location: Mapping[str, Any]) -> Mapping[str, Any]:
    """A location of the project; tests, which come from ``address``, may publish, too."""
    if not conf.is_of("publisher", location) or not location.get("allow"):
        return location
    return {**location, "allow": [*location["allow"], address]}


def _for_pages_of(origin: str, location: Mapping[str, Any]) -> dict[str, Any]:
    """A location of the project, for the pages of a live server."""
    place = dict(location)
    if not conf.is_of("subscriber", place):
        return place
    parts = urlsplit(origin)
    # A page opened under the other name of this machine may subscribe, too.
    names = {parts.hostname, "localhost", "127.0.0.1"}
    origins = {f"{parts.scheme}://{name}:{parts.port}" for name in names}
    place |= {"allow_origin": sorted(origins), "allow_credentials": True}
    if place.get("passthrough"):
        path = urlsplit(str(place["passthrough"])).path
        place["passthrough"] = f"{origin}{path}"
    return place
