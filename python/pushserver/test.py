"""Help for testing projects that send updates.

``capture_updates`` is for most tests: it needs no push server. ``PushServer`` and
``PushServerMixin`` run the real one, for tests with a browser.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from email.message import Message
from typing import Any, NamedTuple
from unittest import mock
from urllib.request import Request
from urllib.response import addinfourl

from django.test import override_settings

from pushserver import conf
from pushserver.binary import find_binary
from pushserver.daemon import Daemon
from pushserver.utils import updates


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
    """

    def __init__(self, **overrides: Any) -> None:
        self.overrides = overrides
        self.url = ""
        self._stack = ExitStack()

    def __enter__(self) -> PushServer:
        listening = {"address": "127.0.0.1", "port": 0}
        push_server = conf.push_server() | listening | self.overrides
        daemon = self._stack.enter_context(Daemon(find_binary(), push_server))
        self.url = daemon.url
        host = daemon.url.removeprefix("http://")
        push_server |= {"publisher_host": host, "subscriber_host": host}
        self._stack.enter_context(override_settings(PUSH_SERVER=push_server))
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.close()


class PushServerMixin:
    """For a ``LiveServerTestCase``: a push server for the class, as ``cls.push_server``.

    Pages of the live server may subscribe, and a ``passthrough`` leads to it.
    """

    push_server: PushServer
    live_server_url: str

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()  # type: ignore[misc]
        cls.push_server = PushServer(locations=_for_pages_of(cls.live_server_url))
        cls.push_server.__enter__()
        cls.addClassCleanup(cls.push_server.__exit__)  # type: ignore[attr-defined]


def _for_pages_of(origin: str) -> list[dict[str, Any]]:
    locations = [dict(place) for place in conf.push_server()["locations"]]
    for place in locations:
        if place["type"] == "subscriber":
            place |= {"allow_origin": origin}
            if place.get("passthrough"):
                path = "/" + str(place["passthrough"]).split("/", 3)[-1]
                place |= {"passthrough": origin + path}
    return locations
