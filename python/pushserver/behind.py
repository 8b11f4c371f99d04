"""The process of the ``runserver`` behind the daemon of ``runpushserver --allrequests``.

The process ends with its launcher, reports each start to it, and gives Django the client addresses
that the daemon sends. ``upstream.py`` is the launcher's side. In other processes nothing happens.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.serializers.json import DjangoJSONEncoder
from django.core.servers.basehttp import WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from django.utils.crypto import constant_time_compare
from django.utils.module_loading import import_string

from pushserver import conf, handover, hosts, keys, secrets

# Descriptors of the launcher's pipes: `reading:inode:writing`.
PIPES_VARIABLE = "PUSH_SERVER_PIPES"
# The secret that the daemon sends beside a client's address (its setting `allrequests_secret`).
PROXY_SECRET_VARIABLE = "PUSH_SERVER_PROXY_SECRET"
# The settings that the daemon was started with, as digests.
STARTED_WITH_VARIABLE = "PUSH_SERVER_STARTED_WITH"

_VARIABLES = (
    PIPES_VARIABLE,
    PROXY_SECRET_VARIABLE,
    STARTED_WITH_VARIABLE,
    hosts.HOST_VARIABLE,
)

# In environ; in an ASGI scope all begin with x-pushserver-.
_PREFIX = "HTTP_X_PUSHSERVER_"
_SECRET = _PREFIX + "SECRET"
_PEER = _PREFIX + "PEER"
# Whose token a notice is about.
_USER = _PREFIX + "USER"

_theirs: dict[str, str | None] = {}


def follow_launcher() -> None:
    """Does all that the module is for, if ``runpushserver --allrequests`` started this process."""
    pipes = inherited_pipes()
    if pipes is None:
        return
    lifeline, starts = pipes

    def wait() -> None:
        os.read(lifeline, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
    # runserver writes the head and the body of an answer separately. On a kept connection the body
    # would wait for the acknowledgement of the head: 40 ms on Linux.
    WSGIRequestHandler.disable_nagle_algorithm = True
    _wrap_applications()
    with suppress(OSError):  # the launcher is gone, which the lifeline reports
        os.write(starts, (" and ".join(_changed()) + "\n").encode())


def inherited_pipes() -> tuple[int, int] | None:
    """Two descriptors: the lifeline to read, and the pipe that reports starts.

    ``None`` if only the variable was inherited, as in processes that a view starts.
    """
    reading, inode, writing = (*os.environ.get(PIPES_VARIABLE, "").split(":"), "", "")[:3]
    try:
        is_it = os.fstat(int(reading)).st_ino == int(inode)
    except (OSError, ValueError):
        return None
    return (int(reading), int(writing)) if is_it else None


def started_with() -> dict[str, str]:
    """Digests of the settings that the daemon gets once, when it starts."""
    found: dict[str, Any] = {"ALLOWED_HOSTS": settings.ALLOWED_HOSTS}
    try:
        found["PUSH_SERVER"] = conf.push_server()
        if handover.is_keyed(found["PUSH_SERVER"]):
            found["SECRET_KEY"] = [keys.text(key) for key in keys.of_channels()]
    except (ImproperlyConfigured, ValueError) as error:  # which the checks report
        found["PUSH_SERVER"] = str(error)
    return {name: _digest(value) for name, value in found.items()}


def _digest(value: Any) -> str:
    try:
        text = json.dumps(value, cls=DjangoJSONEncoder)
    except (TypeError, ValueError, RecursionError) as error:  # which the checks report
        text = str(error)
    return hashlib.sha256(text.encode()).hexdigest()


def _changed() -> list[str]:
    before = json.loads(os.environ.get(STARTED_WITH_VARIABLE, "{}"))
    return [name for name, digest in started_with().items() if before.get(name, digest) != digest]


def _wrap_applications() -> None:
    """Replaces the applications in the settings, from which every ``runserver`` takes them.

    Daphne's and Werkzeug's too. So middleware around the application sees the right address, and so
    do consumers of WebSockets, which have no request of Django.
    """
    _theirs["WSGI_APPLICATION"] = settings.WSGI_APPLICATION
    settings.WSGI_APPLICATION = f"{__name__}.wsgi_application"
    if path := getattr(settings, "ASGI_APPLICATION", None):
        _theirs["ASGI_APPLICATION"] = path
        settings.ASGI_APPLICATION = f"{__name__}.asgi_application"


def __getattr__(name: str) -> Any:
    # Loaded when the server asks for it, so that errors of the project appear where they always do.
    if name == "wsgi_application":
        return _around_wsgi(_load("WSGI_APPLICATION"))
    if name == "asgi_application":
        return _around_asgi(_load("ASGI_APPLICATION"))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _load(setting: str) -> Any:
    path = _theirs[setting]
    if path is None:
        return get_wsgi_application()
    try:
        return import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"{setting} {path!r} could not be loaded: {error}") from error


def _around_wsgi(
    application: Callable[[dict[str, Any], Any], Iterable[bytes]],
) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    def wsgi_application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        believe_environ(environ)
        return application(environ, start_response)

    return wsgi_application


def _around_asgi(
    application: Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]],
) -> Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]:
    async def asgi_application(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        believe_scope(scope)
        await application(scope, receive, send)

    return asgi_application


def believe_environ(environ: dict[str, Any]) -> None:
    """Gives a WSGI request its client's address and the daemon's port and scheme, if the daemon
    vouches."""
    fields = {name: environ.pop(name) for name in list(environ) if name.startswith(_PREFIX)}
    for name in _VARIABLES:
        environ.pop(name, None)  # wsgiref begins with the environment of the process
    secret = fields.get(_SECRET, "")
    if not _is_daemon(secret):
        if _is_notice(secret):
            environ |= {name: fields[name] for name in (_SECRET, _USER) if name in fields}
    else:
        # A client of a Unix socket has no address.
        environ["REMOTE_ADDR"] = fields.get(_PEER, "")
        # Of the daemon itself, or of a front server that its settings trust.
        if environ.get("HTTP_X_FORWARDED_PROTO") == "https":
            environ["wsgi.url_scheme"] = "https"
        environ.pop("REMOTE_PORT", None)  # of Werkzeug: the daemon's
        if port := _outer_port():
            environ["SERVER_PORT"] = str(port)


def believe_scope(scope: MutableMapping[str, Any]) -> None:
    """As ``believe_environ``, for ASGI: HTTP and WebSockets."""
    if "headers" not in scope:
        return
    fields: dict[str, str] = {}
    others: list[tuple[bytes, bytes]] = []
    ours: list[tuple[bytes, bytes]] = []
    for name, value in scope["headers"]:
        key = "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
        if not key.startswith(_PREFIX):
            others.append((name, value))
        else:
            fields[key] = value.decode("latin-1")
            ours += [(name, value)] if key in (_SECRET, _USER) else []
    scope["headers"] = [*others, *(ours if _is_notice(fields.get(_SECRET, "")) else ())]
    if _is_daemon(fields.get(_SECRET, "")):
        scope["client"] = [fields[_PEER], 0] if _PEER in fields else None
        if (b"x-forwarded-proto", b"https") in others and "scheme" in scope:
            scope["scheme"] = {"http": "https", "ws": "wss"}.get(scope["scheme"], scope["scheme"])
        if (port := _outer_port()) and scope.get("server"):
            scope["server"] = [scope["server"][0], port]


def _is_daemon(secret: str) -> bool:
    known = os.environ.get(PROXY_SECRET_VARIABLE, "")
    return known != "" and constant_time_compare(secret, known)


def _is_notice(secret: str) -> bool:
    """Whether it is the secret of notices, which their view checks."""
    # Without one nothing is looked for: those of the settings may stand in files.
    return secret != "" and any(
        constant_time_compare(secret, known) for known in secrets.of_notices()
    )


@lru_cache
def _outer_port() -> int | None:
    host = os.environ.get(hosts.HOST_VARIABLE, "")
    return None if not host or host.startswith("unix:") else int(host.rpartition(":")[2])
