"""Ports for what a test starts later: nobody else takes one meanwhile."""

from __future__ import annotations

import itertools
import os
import socket

# Below those that the system gives to whoever asks for any; a part for each worker of pytest-xdist.
FIRST, OF_A_WORKER = 20_000, 400
_numbers = itertools.count()


def own_port() -> int:
    """Another one at each call, on which nobody listens now."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = FIRST + worker * OF_A_WORKER + next(_numbers) % OF_A_WORKER
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def nothing_listens() -> str:
    """A host at which nobody answers."""
    return f"127.0.0.1:{own_port()}"
