"""Clients that others have written, all with the same face.

Each subscribes again when its connection ends, with the id of its last message.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
from httpx_sse import connect_sse
from websockets.exceptions import WebSocketException
from websockets.frames import Opcode
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.faults import Cutter

PAUSE_S = 0.05


class Got(NamedTuple):
    id: str
    body: str | bytes


class Subscriber(ABC):
    """``got``: its messages; ``failures``: how many of its connections have ended."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.got: list[Got] = []
        self.opened = 0
        self.failures = 0
        self.pings = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Makes this end the last connection."""
        self._stopped.set()

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()

    @abstractmethod
    def connect(self) -> None:
        """One connection, until its end."""

    def resuming(self) -> str:
        """The URL, with the last id in its query."""
        if not self.got:
            return self.url
        return f"{self.url}{'&' if '?' in self.url else '?'}last_event_id={quote(self.got[-1].id)}"

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.connect()
            self.failures += 1
            self._stopped.wait(PAUSE_S)


class Websockets(Subscriber):
    """websockets, of Python."""

    _socket: ClientConnection

    def connect(self) -> None:
        subscriber = self

        class Counting(ClientConnection):
            def process_event(self, event: Any) -> None:
                subscriber.pings += getattr(event, "opcode", None) is Opcode.PING
                super().process_event(event)

        url = self.resuming().replace("http:", "ws:")
        with (
            contextlib.suppress(OSError, WebSocketException),
            connect(
                url,
                subprotocols=[Subprotocol("ws+meta.nchan")],
                proxy=None,
                max_size=None,
                create_connection=Counting,
            ) as self._socket,
        ):
            self.opened += 1
            for message in self._socket:
                self.got.append(_with_its_head(message))

    def send(self, message: str | bytes) -> None:
        """Text in fragments of a character each."""
        self._socket.send(iter(message) if isinstance(message, str) else message)


class HttpxSse(Subscriber):
    """httpx-sse, of Python; resumes with the header."""

    def connect(self) -> None:
        headers = {"Last-Event-ID": self.got[-1].id} if self.got else {}
        with (
            contextlib.suppress(httpx.TransportError),
            httpx.Client(timeout=httpx.Timeout(30, read=None), trust_env=False) as client,
            connect_sse(client, "GET", self.url, headers=headers) as source,
        ):
            self.opened += 1
            for event in source.iter_sse():
                # It hands on what is none: the stream's beginning with no id, pings with the last.
                if event.id not in ("", *(got.id for got in self.got[-1:])):
                    self.got.append(Got(event.id, event.data))


class Curl(Subscriber):
    """curl -N."""

    def connect(self) -> None:
        accept = "Accept: text/event-stream"
        command = ["curl", "-sN", "--noproxy", "*", "-H", accept, self.resuming()]
        event: dict[str, list[str]] = {}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, encoding="utf-8", errors="replace"
        ) as process:
            assert process.stdout
            for line in process.stdout:
                field, _, value = line.rstrip("\n").partition(": ")
                if field in ("id", "data"):
                    event.setdefault(field, []).append(value)
                elif field == "retry":
                    self.opened += 1
                elif field == ":":
                    self.pings += 1
                elif not field and event:
                    self.got.append(Got(event["id"][0], "\n".join(event["data"])))
                    event = {}


class Node(Subscriber):
    """An npm package, which comes again by itself."""

    package: str
    _process: subprocess.Popen[str] | None = None

    def connect(self) -> None:
        program = Path(__file__).with_name("client.mjs")
        modules = os.environ["PUSHSERVER_TEST_NODE_MODULES"]  # python/tests/run installs them
        command = ["node", str(program), self.package, modules, self.url]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as self._process:
            assert self._process.stdout
            for line in self._process.stdout:
                said = json.loads(line)
                self.opened += "open" in said
                self.failures += "failed" in said
                self.pings += "ping" in said
                if "text" in said or "bytes" in said:
                    body = bytes(said["bytes"]) if "bytes" in said else said["text"]
                    self.got.append(Got(said["id"], body))

    def send(self, message: str | bytes) -> None:
        """Text in fragments of a character each."""
        assert self._process
        assert self._process.stdin
        words = {"text": message} if isinstance(message, str) else {"bytes": list(message)}
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        super().stop()
        if self._process:
            self._process.terminate()


class Ws(Node):
    package = "ws"


class EventSource(Node):
    package = "eventsource"


WEB_SOCKETS = {"websockets": Websockets, "ws": Ws}
EVENT_STREAMS = {"httpx-sse": HttpxSse, "eventsource": EventSource, "curl": Curl}
EVERY: dict[str, type[Subscriber]] = {**WEB_SOCKETS, **EVENT_STREAMS}


@contextlib.contextmanager
def subscribed(cutter: Cutter, path: str) -> Iterator[dict[str, Any]]:
    """One of each, through a network that fails."""
    url = f"http://{cutter.host}{path}"
    subscribers = {name: kind(url) for name, kind in EVERY.items()}
    try:
        yield subscribers
    finally:
        for subscriber in subscribers.values():
            subscriber.stop()
        cutter.refuse()
        cutter.cut()
        for subscriber in subscribers.values():
            subscriber.join()


def _with_its_head(message: str | bytes) -> Got:
    if isinstance(message, str):
        head, _, text = message.partition("\n\n")
        return Got(head.split("\n")[0].removeprefix("id: "), text)
    binary, _, body = message.partition(b"\n\n")
    return Got(binary.split(b"\n")[0].decode().removeprefix("id: "), body)
