"""What the daemon is given: ``PUSH_SERVER``, with what follows from Django's own settings."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from pushserver import hosts, keys, patterns
from pushserver.conf import STATUS, has_presence, is_signed, is_status, pattern, places, push_server


def daemon_settings(push_server: Mapping[str, Any], use_ipv6: bool = False) -> dict[str, Any]:
    """These settings, as the daemon gets them.

    Raises ``ImproperlyConfigured`` for an address that cannot be resolved.
    """
    made = dict(push_server)
    # The push locations serve the names that Django serves.
    if allowed := [host for host in settings.ALLOWED_HOSTS if _is_name(host)]:
        made["hosts"] = [*(made.get("hosts") or ()), *allowed]
    made["address"] = _resolve(str(made["address"]), use_ipv6)
    return with_keys(with_certificate(made))


def with_certificate(made: Mapping[str, Any]) -> dict[str, Any]:
    """With the certificate for development, if a host that is this daemon says ``secure``.

    The daemon sees that itself, unless the command line makes it listen elsewhere.
    """
    conf = push_server()
    is_moved = any(str(made[key]) != str(conf[key]) for key in ("address", "port"))
    if (
        is_moved
        and not made.get("certificate")
        and any(hosts.is_secure_self(conf, key) for key in hosts.HOSTS)
    ):
        return {**made, "certificate": "development"}
    return dict(made)


def with_status(push_server: Mapping[str, Any], inspector: bool = True) -> dict[str, Any]:
    """With a status location, unless the project has one.

    It has the inspector where only this machine reaches it. Not for a daemon that stands alone: a
    front server may pass every path on to it. Behind the project's locations, so that these are
    counted in messages as in its settings; in front where one of them would take its paths.
    """
    given = places(push_server)
    if any(map(is_status, given)):
        return dict(push_server)
    is_here = hosts.is_loopback(str(push_server["address"]))
    status = {**STATUS, "inspector": True} if inspector and is_here else STATUS
    in_front = any(map(_takes_status, given))
    return {**push_server, "locations": [status, *given] if in_front else [*given, status]}


def with_keys(push_server: Mapping[str, Any]) -> dict[str, Any]:
    """With what the daemon shares with Django: nothing that could forge a session.

    Raises ``ImproperlyConfigured`` where ``SECRET_KEY`` is empty, and there is need for it.
    """
    made = dict(push_server)
    if is_signed(made) or any(map(has_presence, places(made))):
        ours = [keys.text(key) for key in keys.of_channels()]
        others = [key for key in made.get("signing_keys") or () if key not in ours]
        made["signing_keys"] = [*ours, *others]
    if given := places(made):
        made["locations"] = [_with_secrets(place) for place in given]
    return made


def is_keyed(push_server: Mapping[str, Any]) -> bool:
    """Whether anything of these settings follows from ``SECRET_KEY``, so that it has to be the same
    on both sides; but for the status location of `runpushserver`, which says so itself."""
    given = [place for place in places(push_server) if isinstance(place, Mapping)]
    return any(place.get("signed") or place.get("passthrough") for place in given)


def _with_secrets(place: Any) -> Any:
    """A location with what Django knows, too, where the project has set nothing else."""
    if not isinstance(place, Mapping):
        return place
    made = dict(place)
    if is_status(place) and not place.get("secret"):
        made["secret"] = keys.of_status()
    if place.get("passthrough") and not place.get("passthrough_secret"):
        # The oldest: while SECRET_KEY is changed, both the Django of before and that behind it know
        # it, and no notice is refused, after which it would not come again.
        made["passthrough_secret"] = keys.of_notices()[-1]
    if has_presence(place):
        made.setdefault("presence_cookie", settings.SESSION_COOKIE_NAME)
    return made


def _takes_status(place: Any) -> bool:
    """Whether a location serves what the status location is to serve, as far as can be seen."""
    try:
        expression = re.compile(patterns.encoded(pattern(place)))
    except (AttributeError, ValueError, OverflowError, RecursionError, re.error):
        return False  # the daemon says what is wrong with it
    return any(expression.fullmatch(STATUS["prefix"] + name) for name in _STATUS_NAMES)


_STATUS_NAMES = (
    *("", "healthz", "readyz", "metrics", "status", "channels", "presence", "revoke", "events"),
    "publish",
)


def _is_name(host: object) -> bool:
    """Whether a pattern of ``ALLOWED_HOSTS`` is one of the daemon's too; others match nothing."""
    return isinstance(host, str) and bool(re.fullmatch(r"\*|\.?[A-Za-z0-9_][A-Za-z0-9_.-]*", host))


def _resolve(address: str, use_ipv6: bool) -> str:
    """The IP address of a name: the daemon listens on addresses only."""
    if address.startswith("unix:") or ":" in address:
        return address
    family = socket.AF_INET6 if use_ipv6 else socket.AF_UNSPEC
    try:
        found = socket.getaddrinfo(address, None, family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ImproperlyConfigured(f"there is no address for {address!r}: {error}") from error
    # IPv4 first, as runserver does without --ipv6.
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return str(found[0][4][0])
