"""The project's own ``runserver``, behind the daemon of ``runpushserver --allrequests``.

It is the ``runserver`` that the project has, so autoreload and static files work. It listens on a
free loopback port, and ends with the command that started it, however that one ends. ``behind.py``
runs in its process.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from pushserver import behind, conf, hosts
from pushserver.child import Child

# Long enough for somebody in a debugger, or for a paused download.
PATIENCE_S = 3600
# The limits of `runserver`: bytes of a line of a request's head, and lines.
LINE_BYTES, LINES = 65536, 100

# The daemon's limits are those of `runserver`; a project may load slowly after a change.
LIMITS = {
    "header_timeout": PATIENCE_S,
    "body_timeout": PATIENCE_S,
    "write_timeout": PATIENCE_S,
    "upstream_timeout": PATIENCE_S,
    "upstream_wait": 30,
    "uri_bytes": LINE_BYTES,
    "header_bytes": (1 + LINES) * LINE_BYTES,
    "headers": LINES,
}


class Upstream(Child):
    """A running ``runserver``. Changes the daemon's settings that name Django's address.

    ``command`` is the management command, with arguments to follow its address.
    """

    def __init__(
        self,
        push_server: dict[str, Any],
        options: Mapping[str, Any],
        command: Sequence[str] = ("runserver",),
    ) -> None:
        self.port = free_port()
        push_server["allrequests"] = f"http://127.0.0.1:{self.port}"
        push_server["port"] = push_server["port"] or free_port()
        push_server["limits"] = LIMITS | (push_server.get("limits") or {})
        proxy_secret = secrets.token_urlsafe(32)
        push_server["allrequests_secret"] = proxy_secret
        push_server["locations"] = [
            self._notifying_django(place, push_server) for place in push_server["locations"]
        ]
        # Only this process has the writing end: when it ends, the reading end says so.
        lifeline, self._lifeline = os.pipe()
        self._starts, starts = os.pipe()
        try:
            self.process = subprocess.Popen(
                self._command(command, options),
                env=os.environ
                | {
                    hosts.HOST_VARIABLE: _host(push_server),
                    behind.PROXY_SECRET_VARIABLE: proxy_secret,
                    behind.PIPES_VARIABLE: f"{lifeline}:{os.fstat(lifeline).st_ino}:{starts}",
                    behind.STARTED_WITH_VARIABLE: json.dumps(behind.started_with()),
                },
                pass_fds=[lifeline, starts],
            )
        finally:
            os.close(lifeline)
            os.close(starts)

    def when_it_ends(self, callback: Callable[[], None]) -> None:
        """Calls back from another thread."""

        def wait() -> None:
            self.process.wait()
            callback()

        threading.Thread(target=wait, daemon=True).start()

    def whenever_it_serves(self, callback: Callable[[str], None]) -> None:
        """Calls back from another thread after each start, behind the lines that it prints.

        With the names of the settings that changed since the daemon started, or ``""``.
        """

        def wait() -> None:
            while told := os.read(self._starts, 4096):
                if not self._serves():
                    return
                # The reloader reports a start, too; the last report counts.
                os.set_blocking(self._starts, False)
                with suppress(BlockingIOError):
                    told = os.read(self._starts, 4096) or told
                os.set_blocking(self._starts, True)
                callback(told.decode().splitlines()[-1])

        threading.Thread(target=wait, daemon=True).start()

    def status(self) -> int | None:
        """The exit status of ``runserver``, if it has ended."""
        return self.process.poll()

    def stop(self, timeout_s: float = 10) -> None:
        """Terminates ``runserver``, and kills it if it does not end in time."""
        os.close(self._lifeline)
        super().stop(timeout_s)

    def _serves(self) -> bool:
        """Waits until ``runserver`` serves. ``False`` if it ends before."""
        while self.process.poll() is None:
            if _is_served(self.port):
                return True
            time.sleep(0.05)
        return False

    def _command(self, command: Sequence[str], options: Mapping[str, Any]) -> list[str]:
        # Started in the same way: `python manage.py`, `django-admin`, or `python -m django`.
        spec = getattr(sys.modules["__main__"], "__spec__", None)
        script = ["-m", spec.name.removesuffix(".__main__")] if spec else [sys.argv[0]]
        passed_on = []
        for name in ("settings", "pythonpath"):
            if options.get(name):
                passed_on.append(f"--{name}={options[name]}")
        for name in ("no_color", "force_color"):
            if options.get(name):
                passed_on.append("--" + name.replace("_", "-"))
        name, *arguments = command
        address = f"127.0.0.1:{self.port}"
        return [sys.executable, *script, name, address, *passed_on, *arguments]

    def _notifying_django(
        self, place: Mapping[str, Any], push_server: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The location, with its notices sent to the port where Django listens now."""
        place = dict(place)
        if place.get("passthrough"):
            parts = urlsplit(str(place["passthrough"]))
            was = (push_server["port"], conf.ALL_REQUESTS_PORT)
            if parts.port in was and hosts.is_loopback(parts.hostname or ""):
                place["passthrough"] = parts._replace(
                    scheme="http", netloc=f"127.0.0.1:{self.port}"
                ).geturl()
        return place


def _host(push_server: Mapping[str, Any]) -> str:
    """Where the daemon listens, for ``hosts.HOST_VARIABLE``."""
    address = str(push_server["address"])
    if address.startswith("unix:"):
        return address
    return hosts.host_port(address, push_server["port"])


def _is_served(port: int) -> bool:
    """Whether a server accepts a connection there and closes it when asked nothing.

    ``runserver`` listens a moment before it reports that and serves.
    """
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.shutdown(socket.SHUT_WR)
        return not connection.recv(1)
    return False


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
