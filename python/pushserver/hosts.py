"""Where the push server is: for Django, which publishes to it, and for browsers.

By ``publisher_host`` and ``subscriber_host``, or by where the daemon listens.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from pushserver.conf import push_server

HOSTS = ("publisher_host", "subscriber_host")

# Set by `runpushserver` for the Django that it starts behind the daemon.
HOST_VARIABLE = "PUSH_SERVER_CURRENT_HOST"


def publisher_origin(host: Any = None) -> str:
    """Scheme and host of the publisher locations: ``http://127.0.0.1:8001``.

    ``host``: instead of the setting ``publisher_host``, and written as that.
    """
    host, secure = _host(host) if host else explicit_host("publisher_host")
    host = host or _own_host()
    if host.startswith("unix:"):
        return "http+unix://" + quote(host.removeprefix("unix:"), safe="")
    return f"http{'s' if secure else ''}://{host}"


def subscriber_origin(request: HttpRequest | None = None) -> str:
    """Scheme and host for browsers.

    Where no ``subscriber_host`` is set, it is that of the page of this request if the daemon stands
    in front of Django. Otherwise the host's name is the page's as far as the daemon listens there:
    a cookie of ``localhost`` is not sent to ``127.0.0.1``.
    """
    host, secure = explicit_host("subscriber_host")
    in_front = os.environ.get(HOST_VARIABLE) or push_server().get("allrequests")
    if not host and request is not None and in_front:
        return f"{request.scheme}://{request.get_host()}"
    host = host or _own_host(request)
    if host.startswith("unix:"):
        raise ImproperlyConfigured(
            "browsers cannot reach a Unix socket: set PUSH_SERVER['subscriber_host']"
        )
    return f"http{'s' if secure else ''}://{host}"


def explicit_host(key: str) -> tuple[str, bool]:
    """``publisher_host`` or ``subscriber_host`` as set: ``host:port`` or ``""``; and TLS.

    ``""`` as the host for the daemon itself, if the command line made it listen elsewhere.
    """
    conf = push_server()
    host, secure = host_of(conf, key)
    if os.environ.get(HOST_VARIABLE) and is_daemon(conf, host):
        return "", secure
    return host, secure


def host_of(conf: Mapping[str, Any], key: str) -> tuple[str, bool]:
    """The same as these settings have it."""
    return _host(conf.get(key, {}))


def _host(value: Any) -> tuple[str, bool]:
    if not isinstance(value, Mapping):
        value = {"location": value}
    return str(value.get("location") or ""), bool(value.get("secure", False))


def is_secure_self(conf: Mapping[str, Any], key: str) -> bool:
    """Whether by these settings the daemon itself speaks HTTPS at ``publisher_host`` or so."""
    host, secure = host_of(conf, key)
    return secure and (not host or is_daemon(conf, host))


def is_daemon(conf: Mapping[str, Any], host: str) -> bool:
    """Whether this ``host:port`` is where, by these settings, the daemon listens."""
    name, _, port = host.rpartition(":")
    address = str(conf["address"]).strip("[]")
    same = name.strip("[]") == address or (
        is_loopback(name) and (is_loopback(address) or is_everywhere(address))
    )
    return same and port == str(conf["port"])


def is_default_port() -> bool:
    """Whether no setting says where the push server is, so that 8001 is a guess."""
    given = getattr(settings, "PUSH_SERVER", None) or {}
    known = ("port", "publisher_host", "allrequests")
    return not os.environ.get(HOST_VARIABLE) and not any(given.get(key) for key in known)


def host_port(address: str, port: int) -> str:
    """``host:port``, an IPv6 address in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def is_loopback(name: str) -> bool:
    """Whether this host name or address stays on the machine."""
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name == "localhost"


def is_everywhere(name: str) -> bool:
    """Whether this address, to listen on, means every address of the machine."""
    try:
        return ipaddress.ip_address(name.strip("[]")).is_unspecified
    except ValueError:
        return False


def _own_host(request: HttpRequest | None = None) -> str:
    address, port = _own_address()
    if address.startswith("unix:"):
        return address
    everywhere = is_everywhere(address)
    if request is not None:
        page = re.sub(r":\d+$", "", request.get_host())
        if everywhere or (page == "localhost" and is_loopback(address)):
            return f"{page}:{port}"
    if everywhere:
        address = "::1" if ":" in address else "127.0.0.1"
    return host_port(address, port)


def _own_address() -> tuple[str, int]:
    """Where the daemon listens, as far as Django can know."""
    if host := os.environ.get(HOST_VARIABLE):
        if host.startswith("unix:"):
            return host, 0
        address, _, port = host.rpartition(":")
        return address.strip("[]"), int(port)
    conf = push_server()
    address = str(conf["address"])
    if not conf["port"] and not address.startswith("unix:"):
        raise ImproperlyConfigured(
            "PUSH_SERVER['port'] is 0, so where the push server listens is not known: "
            "set a port, or publisher_host and subscriber_host"
        )
    return address, conf["port"]
