"""The project's own ``runserver``, behind the daemon of ``runpushserver --allrequests``.

Whatever ``runserver`` the project has is used, so autoreload and static files work. It listens on
a free loopback port, and leaves with the command that started it, however that one ends.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.core.servers.basehttp import WSGIRequestHandler

from pushserver import conf
from pushserver.child import Child

LIFELINE_VARIABLE = "PUSH_SERVER_LIFELINE"

# A debugger may hold a request for as long as somebody thinks about it.
LIMITS = {"upstream_timeout": 3600}


class Upstream(Child):
    """A running ``runserver``. Changes the daemon's settings where they speak of Django."""

    def __init__(self, push_server: dict[str, Any], options: Mapping[str, Any]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        push_server["port"] = push_server["port"] or free_port()
        push_server["limits"] = LIMITS | (push_server.get("limits") or {})
        secret = secrets.token_urlsafe(32)
        push_server["locations"] = [
            self._notifying_django(place, push_server, secret) for place in push_server["locations"]
        ]
        # Only this process has the writing end: when it ends, the reading end says so.
        lifeline, self._lifeline = os.pipe()
        try:
            self.process = subprocess.Popen(
                self._command(options),
                env=self._environment(push_server, secret, lifeline),
                pass_fds=[lifeline],
            )
        finally:
            os.close(lifeline)

    def when_it_ends(self, callback: Callable[[], None]) -> None:
        """Calls back from another thread."""

        def wait() -> None:
            self.process.wait()
            callback()

        threading.Thread(target=wait, daemon=True).start()

    def when_it_listens(self, callback: Callable[[], None]) -> None:
        """Calls back from another thread; never, if it ends before."""

        def wait() -> None:
            while self.process.poll() is None:
                if _is_open(self.port):
                    callback()
                    return
                time.sleep(0.05)

        threading.Thread(target=wait, daemon=True).start()

    def status(self) -> int | None:
        """Its exit status, if it has ended."""
        return self.process.poll()

    def stop(self, timeout_s: float = 10) -> None:
        """Lets it leave in good order, or else ends it."""
        os.close(self._lifeline)
        super().stop(timeout_s)

    def _command(self, options: Mapping[str, Any]) -> list[str]:
        # As this command was started: `python manage.py`, `django-admin`, or `python -m django`.
        spec = getattr(sys.modules["__main__"], "__spec__", None)
        script = ["-m", spec.name.removesuffix(".__main__")] if spec else [sys.argv[0]]
        passed_on = []
        for name in ("settings", "pythonpath"):
            if options.get(name):
                passed_on.append(f"--{name}={options[name]}")
        for name in ("no_color", "force_color"):
            if options.get(name):
                passed_on.append("--" + name.replace("_", "-"))
        return [sys.executable, *script, "runserver", f"127.0.0.1:{self.port}", *passed_on]

    def _environment(
        self, push_server: Mapping[str, Any], secret: str, lifeline: int
    ) -> dict[str, str]:
        address = str(push_server["address"])
        is_socket = address.startswith("unix:")
        return os.environ | {
            conf.SECRET_VARIABLE: secret,
            conf.HOST_VARIABLE: (
                address if is_socket else conf.host_port(address, push_server["port"])
            ),
            LIFELINE_VARIABLE: f"{lifeline}:{os.fstat(lifeline).st_ino}",
        }

    def _notifying_django(
        self, place: Mapping[str, Any], push_server: Mapping[str, Any], secret: str
    ) -> dict[str, Any]:
        """A passthrough to where Django was goes straight to where it is now.

        All requests come from the daemon now, so INTERNAL_IPS says nothing: hence the secret.
        """
        place = dict(place)
        if place.get("passthrough"):
            parts = urlsplit(str(place["passthrough"]))
            was = (push_server["port"], conf.ALL_REQUESTS_PORT)
            if parts.port in was and conf.is_loopback(parts.hostname or ""):
                place["passthrough"] = parts._replace(
                    scheme="http", netloc=f"127.0.0.1:{self.port}"
                ).geturl()
            place.setdefault("passthrough_secret", secret)
        return place


def follow_launcher() -> None:
    """In the ``runserver`` that was started so: leave when the launcher is gone."""
    lifeline = _inherited_lifeline()
    if lifeline is None:
        return

    def wait() -> None:
        os.read(lifeline, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
    # It writes the head and the body of an answer apart. On a connection that the daemon keeps, the
    # body would wait until the head is acknowledged: 40 ms on Linux.
    WSGIRequestHandler.disable_nagle_algorithm = True


def _inherited_lifeline() -> int | None:
    """The pipe's descriptor, unless only its number was inherited, as by what a view starts."""
    number, _, inode = os.environ.get(LIFELINE_VARIABLE, "").partition(":")
    try:
        is_it = os.fstat(int(number)).st_ino == int(inode)
    except (OSError, ValueError):
        return None
    return int(number) if is_it else None


def _is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
