"""A push server of event streams and polls over real sockets, which fails as a test says.

It has one location, `/updates` with the channels in its query, and one store, as pushserver has.
It is no example of a server: a thread for each connection, and a lock around all.
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

from tests.faults import RESET

EXPIRED = 'Bearer error="invalid_token", error_description="expired"'


class Message(NamedTuple):
    second: int
    number: int
    channel: str
    text: str
    gap: str | None

    @property
    def place(self) -> tuple[int, int]:
        return self.second, self.number

    def event(self) -> str:
        gap = f";gap={self.gap}" if self.gap else ""
        channel = f";channel={quote(self.channel, safe='-._~')}"
        data = "".join(f"data: {line}\n" for line in self.text.split("\n"))
        return f"id: {self.second}:{self.number}{gap}{channel}\n{data}\n"


class Asked(NamedTuple):
    """One request."""

    channels: list[str]
    cursor: str | None
    stream: bool
    tokens: list[str]
    since: list[str]
    path: str


class StreamServer:
    """A context manager; ``fault`` is called for each request, and may answer it instead."""

    def __init__(self, origin: str) -> None:
        self.asked: list[Asked] = []
        self.fault: Callable[[Asked, Client], bool] = lambda asked, client: False
        self.stalls: Callable[[Asked], bool] = lambda asked: False
        """Requests that get nothing but a stream's head, as long as this says so."""
        self.refused: set[str] = set()
        self.expired: set[str] = set()
        """Tokens that are good no more; all others are."""
        self.ping_s = 25
        self.retry_ms = 1000
        self.clock: Callable[[], float] = time.time
        self.last = False
        """Whether polls and streams without a cursor begin with what is published from now on."""
        self._origin = origin
        self._messages: list[Message] = []
        self._place = (0, 0)  # of the last message, expired or not
        self._changed = threading.Condition()
        self._clients: set[Client] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def url(self, *channels: str, token: str = "", since: object = None) -> str:
        query = [f"channel={quote(channel, safe='')}" for channel in channels]
        query += [] if since is None else [f"since={since}"]
        query += [f"token={token}"] if token else []
        return f"http://{self.host}/updates?{'&'.join(query)}"

    def publish(self, channel: str, value: Any, gap: str | None = None) -> None:
        """What processors of "answer" get as ``value``."""
        self.publish_text(channel, json.dumps({"type": "answer", "value": value}), gap)

    def publish_text(self, channel: str, text: str, gap: str | None = None) -> None:
        with self._changed:
            second, number = self._place
            now = int(self.clock())
            self._place = (now, 0) if now > second else (second, number + 1)
            self._messages.append(Message(*self._place, channel, text, gap))
            self._changed.notify_all()

    def go_on_from(self, other: StreamServer) -> None:
        """Ids are later than those of the other, as those of one store are."""
        self._place = other._place

    def forget(self) -> None:
        """All messages have expired."""
        with self._changed:
            self._messages.clear()

    def cut(self, reset: bool = True) -> None:
        """Ends all connections, whatever is under way."""
        with self._changed:
            clients = list(self._clients)
        for client in clients:
            client.end(reset)

    def streams(self) -> int:
        """Event streams that are open."""
        with self._changed:
            return sum(client.is_stream for client in self._clients)

    def held(self) -> int:
        """Requests that wait, streams included."""
        with self._changed:
            return sum(client.is_asking for client in self._clients)

    def send(self, text: str) -> None:
        """Into each stream, as it is."""
        with self._changed:
            for client in self._clients:
                if client.is_stream:
                    client.write(text)

    def __enter__(self) -> StreamServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exception: Any) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                client = Client(connection, self._origin)
                with self._changed:
                    self._clients.add(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: Client) -> None:
        try:
            while (head := client.read_head()) is not None:
                asked = _asked(head)
                with self._changed:
                    self.asked.append(asked)
                client.is_asking = True
                if not self.fault(asked, client):
                    self._answer(asked, client)
                client.is_asking = False
        except OSError:
            pass
        finally:
            with self._changed:
                self._clients.discard(client)
            client.close()

    def _answer(self, asked: Asked, client: Client) -> None:
        for channel in asked.channels:
            if channel in self.refused:
                client.answer(403, f"no {channel} for you")
                return
        if self.expired.intersection(asked.tokens):
            client.answer(401, "the token has expired", WWW_Authenticate=EXPIRED)
            return
        if not asked.channels:
            client.answer(400, "no channel")
        elif asked.stream:
            self._stream(asked, client)
        else:
            self._poll(asked, client)

    def _stream(self, asked: Asked, client: Client) -> None:
        place = self._begin(asked)
        begin = f"id: {place[0]}:{place[1]}\n" if self.last or asked.since else ""
        client.begin_stream(f": ping {self.ping_s}\nretry: {self.retry_ms}\n{begin}\n")
        while True:
            found = self._next(asked, place, client, self.ping_s)
            place = found.place if found else place
            client.write(found.event() if found else ":\n\n")

    def _poll(self, asked: Asked, client: Client) -> None:
        found = self._next(asked, self._begin(asked), client, 55)
        if found is None:
            client.answer(304)
            return
        headers = {
            "Last-Modified": email.utils.formatdate(found.second, usegmt=True),
            "Etag": str(found.number),
            "X-Push-Channel": quote(found.channel, safe="-._~"),
        }
        if found.gap:
            headers["X-Push-Gap"] = found.gap
        client.answer(200, found.text, **headers)

    def _begin(self, asked: Asked) -> tuple[int, int]:
        if asked.cursor is not None:
            second, number = asked.cursor.partition(";")[0].split(":")
            return int(second), int(number)
        if asked.since:
            second, _, number = asked.since[0].partition(":")
            return int(second), int(number or 0)
        with self._changed:
            return self._place if self.last else (0, 0)

    def _next(
        self, asked: Asked, place: tuple[int, int], client: Client, seconds: float
    ) -> Message | None:
        """The first message after this place."""

        def found() -> Message | None:
            client.check()
            if self.stalls(asked):
                return None
            for message in self._messages:
                if message.place > place and message.channel in asked.channels:
                    return message
            return None

        deadline = time.monotonic() + seconds
        with self._changed:
            while (message := found()) is None and (
                time.monotonic() < deadline or self.stalls(asked)
            ):
                self._changed.wait(0.02)  # clients that leave notify nobody
            return message


class Client:
    """One connection."""

    def __init__(self, connection: socket.socket, origin: str) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._cors = (
            f"Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Allow-Credentials: true\r\n"
            "Access-Control-Expose-Headers: Last-Modified, Etag, Cache-Control, X-Push-Gap,"
            " X-Push-Channel, WWW-Authenticate\r\n"
        )
        self.is_asking = False
        self.is_stream = False

    def read_head(self) -> bytes | None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = self._connection.recv(65536)
            if not piece:
                return None
            head += piece
        return head

    def answer(self, status: int, text: str = "", **headers: str) -> None:
        fields = "".join(
            f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()
        )
        body = b"" if status == 304 else text.encode()
        length = "" if status == 304 else f"Content-Length: {len(body)}\r\n"
        head = f"HTTP/1.1 {status} Status\r\n{self._cors}{fields}{length}\r\n"
        self._connection.sendall(head.encode() + body)

    def begin_stream(
        self, text: str, content_type: str = "text/event-stream; charset=utf-8"
    ) -> None:
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nConnection: close\r\n{self._cors}"
        )
        self._connection.sendall(f"{head}\r\n{text}".encode())
        self.is_stream = True

    def write(self, text: str) -> None:
        self._connection.sendall(text.encode())

    def check(self) -> None:
        """Fails if the client has left."""
        with contextlib.suppress(BlockingIOError):
            if not self._connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                raise ConnectionResetError

    def wait_for_its_end(self) -> None:
        """Holds the request and says nothing."""
        while self._connection.recv(65536):
            pass

    def end(self, reset: bool = False) -> None:
        with contextlib.suppress(OSError):
            if reset:
                # Sent by `close`, unless an end is sent before.
                self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._connection.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)

    def close(self) -> None:
        self._connection.close()


def _asked(head: bytes) -> Asked:
    line, *fields = head.decode().split("\r\n")
    path = line.split()[1]
    query = parse_qs(urlsplit(path).query)
    accepts = [field for field in fields if field.lower().startswith("accept:")]
    return Asked(
        query.get("channel", []),
        query.get("last_event_id", [None])[0],
        any("text/event-stream" in field for field in accepts),
        query.get("token", []),
        query.get("since", []),
        path,
    )
