"""An HTTP server whose answers a test decides, and which keeps what it was asked."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


class Answer(NamedTuple):
    status: int = 202
    body: bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed


DROP = Answer(status=0)
"""Instead of an answer: the connection is closed."""

NO_STATUS = [
    (Answer(401, b"who are you"), "SECRET_KEY"),
    (Answer(403), "allow"),
    (Answer(404), '"type": "status"'),
    (Answer(405), "push server"),
    (Answer(200, b"<html>"), "push server"),
    (Answer(200, b"[]"), "push server"),
]
"""What no status location should answer, and what the error then names."""


def answer_after(moment: threading.Event | threading.Barrier) -> Callable[[Request], Answer]:
    """An ``answer`` that waits."""

    def answer(request: Request) -> Answer:
        moment.wait(10)
        return Answer()

    return answer


class Stub:
    """A context manager; ``answer`` is called for each request, in its connection's thread."""

    def __init__(self, answer: Callable[[Request], Answer] = lambda request: Answer()) -> None:
        self.requests: list[Request] = []
        self.answer = answer
        self._open: set[socket.socket] = set()
        self._connections = 0
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                stub._open.add(self.connection)
                stub._connections += 1
                self.number = stub._connections

            def finish(self) -> None:
                stub._open.discard(self.connection)
                super().finish()

            def do_POST(self) -> None:
                stub._serve(self, self.number)

            do_GET = do_OPTIONS = do_POST

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: Any) -> None:
                pass  # clients that leave are part of the tests

        self._server = Server(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def close_connections(self) -> None:
        """As a server does with those that are idle; returns when both ends know."""
        for connection in list(self._open):
            connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Stub:
        self._thread.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, handler: BaseHTTPRequestHandler, connection: int) -> None:
        length = int(handler.headers.get("Content-Length", 0))
        body = handler.rfile.read(length)
        request = Request(
            handler.command,
            handler.path,
            {name.lower(): value for name, value in handler.headers.items()},
            body,
            connection,
        )
        self.requests.append(request)
        answer = self.answer(request)
        if answer is DROP:
            handler.close_connection = True
            return
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        if answer.status not in (204, 304):
            handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        handler.wfile.write(answer.body if answer.status not in (204, 304) else b"")
