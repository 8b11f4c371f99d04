"""A network that fails: between a client and a host, as a test says."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
from typing import Any

RESET = struct.pack("ii", 1, 0)  # for SO_LINGER: the end of a connection is a reset


class Cutter:
    """Passes bytes on to a host, until it cuts all the connections it has. A context manager."""

    def __init__(self, host: str) -> None:
        name, _, port = host.partition(":")
        self._target = (name, int(port))
        self._pairs: list[_Pair] = []
        self._lock = threading.Lock()
        # Never listens: nobody else gets the port while connections are refused.
        self._port = socket.socket()
        self._port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._port.bind(("127.0.0.1", 0))
        self._listener: socket.socket | None = None
        self.host = f"127.0.0.1:{self._port.getsockname()[1]}"
        self.accepted = 0
        """Connections since the start."""

    def cut(self, reset: bool = False) -> None:
        """Ends all connections, whatever is under way."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            pair.end(reset)

    def refuse(self) -> None:
        """Lets nobody in until `accept`; open connections stay."""
        listener, self._listener = self._listener, None
        if listener:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def accept(self) -> None:
        """Lets clients in."""
        self._listener = socket.create_server(self._port.getsockname(), backlog=100)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def __enter__(self) -> Cutter:
        self.accept()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.refuse()
        self.cut()
        self._port.close()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                self.accepted += 1
                try:
                    pair = _Pair(client, socket.create_connection(self._target))
                except OSError:
                    client.close()  # the next one may come through
                    continue
                with self._lock:
                    self._pairs.append(pair)
                if listener is not self._listener:
                    pair.end(reset=True)


class _Pair:
    """A connection of a client, and the one to the host that it goes on in."""

    def __init__(self, client: socket.socket, host: socket.socket) -> None:
        self._ends = (client, host)
        self._lock = threading.Lock()
        self._ended = False
        self._directions = 2
        for end in self._ends:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for source, sink in ((client, host), (host, client)):
            threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def end(self, reset: bool = False) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended = True
            for end in self._ends:
                with contextlib.suppress(OSError):
                    if reset:
                        # Sent by `close`, unless an end is sent before.
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    end.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            # Few bytes at a time, so that a cut goes through the middle of messages too.
            while (piece := source.recv(random.randint(1, 200))) and not self._ended:
                sink.sendall(piece)
        self.end()
        with self._lock:
            self._directions -= 1
            if not self._directions:
                for end in self._ends:
                    end.close()
