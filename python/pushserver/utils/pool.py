"""Keep-alive connections to push servers, by origin; safe between threads and over a fork.

A connection is either idle in here or in the hands of one caller. No request is ever sent twice
once the push server can have taken it: an update is sent at most once.
"""

from __future__ import annotations

import atexit
import os
import select
import socket
import threading
import time
from http.client import HTTPConnection, HTTPMessage, HTTPSConnection
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from pushserver import certificate
from pushserver.hosts import is_loopback

# A connection idle for longer may be closed by the server just when it is used again (the daemon
# closes after 60 s, nginx after 75).
IDLE_S_MAX = 20
IDLE_CONNECTIONS_MAX = 8
# A page of members, with the longest ids that there are.
ANSWER_BYTES_MAX = 4 * 1024 * 1024


class Answer(NamedTuple):
    """What the server said."""

    status: int
    headers: HTTPMessage
    body: bytes


class Origin(NamedTuple):
    """Where a connection leads."""

    scheme: str
    host: str


class Pool:
    """The idle connections of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[Origin, list[tuple[float, HTTPConnection]]] = {}
        atexit.register(self.close)
        if hasattr(os, "register_at_fork"):
            # Two processes on one connection would read each other's answers.
            os.register_at_fork(after_in_child=self.close)

    def close(self) -> None:
        """Closes all idle connections."""
        # In a forked process the lock may be held by a thread that is not there.
        idle, self._idle, self._lock = self._idle, {}, threading.Lock()
        for connections in idle.values():
            for _, connection in connections:
                connection.close()

    def post(self, url: str, body: bytes, headers: dict[str, str], timeout_s: float) -> Answer:
        """POSTs once and reads the answer whole.

        ``timeout_s`` bounds each wait for the network. Raises ``OSError`` or
        ``http.client.HTTPException``, and ``ValueError`` for a URL that is none.
        """
        return self._ask("POST", url, body, headers, timeout_s)

    def get(self, url: str, headers: dict[str, str], timeout_s: float) -> Answer:
        """GETs, as ``post`` does."""
        return self._ask("GET", url, None, headers, timeout_s)

    def _ask(
        self, method: str, url: str, body: bytes | None, headers: dict[str, str], timeout_s: float
    ) -> Answer:
        origin, target = taken_apart(url)
        connection = self._take(origin)
        if connection is not None:
            connection.timeout = timeout_s
            connection.sock.settimeout(timeout_s)
            try:
                connection.request(method, target, body, headers)
            except (BrokenPipeError, ConnectionAbortedError, ConnectionResetError):
                # The server closed an idle connection. It lacks the end of the request, so it has
                # not accepted it, and a new connection may send it.
                connection.close()
            else:
                return self._receive(origin, connection)
        connection = connect(origin, timeout_s)
        try:
            connection.request(method, target, body, headers)
        except (BrokenPipeError, ConnectionAbortedError, ConnectionResetError):
            # A server that refuses a request before its end has sent the reason.
            if connection.sock is None:
                raise
        return self._receive(origin, connection)

    def _receive(self, origin: Origin, connection: HTTPConnection) -> Answer:
        try:
            response = connection.getresponse()
            body = response.read(ANSWER_BYTES_MAX)
        except BaseException:
            connection.close()
            raise
        if response.will_close or not response.isclosed():
            connection.close()
        else:
            self._give(origin, connection)
        return Answer(response.status, response.headers, body)

    def _take(self, origin: Origin) -> HTTPConnection | None:
        while True:
            with self._lock:
                idle = self._idle.get(origin)
                if not idle:
                    return None
                since, connection = idle.pop()
            if time.monotonic() - since < IDLE_S_MAX and not _has_input(connection.sock):
                return connection
            connection.close()

    def _give(self, origin: Origin, connection: HTTPConnection) -> None:
        with self._lock:
            idle = self._idle.setdefault(origin, [])
            idle.append((time.monotonic(), connection))
            oldest = idle.pop(0)[1] if len(idle) > IDLE_CONNECTIONS_MAX else None
        if oldest is not None:
            oldest.close()


shared = Pool()
"""That of the process."""


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def taken_apart(url: str) -> tuple[Origin, str]:
    """Where to connect, and the target of the request."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Origin(parts.scheme, parts.netloc), target


def connect(origin: Origin, timeout_s: float) -> HTTPConnection:
    """A new connection, made when it is used first. Raises ``ValueError`` for an unknown scheme."""
    if not origin.host:
        raise ValueError("the URL has no host")
    if origin.scheme == "http":
        return HTTPConnection(origin.host, timeout=timeout_s)
    if origin.scheme == "https":
        host = urlsplit(f"//{origin.host}").hostname or ""
        trusted = certificate.context() if is_loopback(host) else None
        return HTTPSConnection(origin.host, timeout=timeout_s, context=trusted)
    if origin.scheme == "http+unix":
        return _UnixConnection(unquote(origin.host), timeout_s)
    raise ValueError(f"the URL's scheme is {origin.scheme!r} instead of http or https")


def _has_input(sock: socket.socket) -> bool:
    """Whether there is input. On an idle connection that is its end, or garbage."""
    if hasattr(select, "poll"):  # unlike select, right for descriptors above 1024 too
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([sock], [], [], 0)[0])
