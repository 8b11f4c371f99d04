"""The setting ``PUSH_SERVER``, with defaults for missing keys, and the URLs that follow from it.

Reads the settings at every call, so that ``override_settings`` works. Checks only what it needs;
``checks.py`` and the daemon check the rest.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.regex_helper import normalize

from pushserver import keys, patterns, schema

ALL_REQUESTS_PORT = 8000

# The daemon's, but for the locations: those of Django admit the pages of `runserver`.
DEFAULTS: dict[str, Any] = {
    **{key: schema.SETTINGS[key]["default"] for key in ("port", "address", "store")},
    "locations": (
        {
            "type": "subscriber",
            "url": r"/updates/([^/]+)",
            "polling": "long",
            "create_on_get": True,
            "allow_origin": ["http://127.0.0.1:8000", "http://localhost:8000"],
            "allow_credentials": True,
        },
        {
            "type": "publisher",
            "url": r"/send-update/([^/]+)",
        },
    ),
}

HOSTS = ("publisher_host", "subscriber_host")

# Where `runpushserver` takes revocations, if no location of the project does.
STATUS: Mapping[str, Any] = {"type": "status", "prefix": "/pushserver/"}

# Set by `runpushserver` for the Django that it starts behind the daemon.
HOST_VARIABLE = "PUSH_SERVER_CURRENT_HOST"
SECRET_VARIABLE = "PUSH_SERVER_PASSTHROUGH_SECRET"


class NotReversible(ValueError):
    """No URL can be made of a location's pattern, though the daemon may serve it."""


class Target(NamedTuple):
    """Where channels are: the path with its query, whose location that is, each id once."""

    path: str
    place: Mapping[str, Any]
    ids: list[str]


@dataclass(frozen=True)
class Reversed:
    """A location's path, taken apart around its channel ids; both parts percent-encoded."""

    url: str
    before: str
    after: str
    regex: re.Pattern[str]

    def path(self, encoded_ids: str) -> str:
        """The path with these ids, which are percent-encoded.

        Raises ``ValueError`` where the location does not serve them.
        """
        path = self.before + encoded_ids + self.after
        if not self.regex.fullmatch(path):
            raise ValueError(
                f"{path!r} does not match the location's url {self.url!r}: "
                "widen its group (percent-encoded ids hold letters, digits and -._~%)"
            )
        return path


def push_server() -> dict[str, Any]:
    """``PUSH_SERVER`` over the defaults; a value of ``None`` counts as missing."""
    given = getattr(settings, "PUSH_SERVER", None) or {}
    if not isinstance(given, Mapping):
        raise ImproperlyConfigured("PUSH_SERVER has to be a dictionary")
    conf = DEFAULTS | {key: value for key, value in given.items() if value is not None}
    if conf.get("allrequests") and given.get("port") is None:
        conf["port"] = ALL_REQUESTS_PORT
    if isinstance(conf["port"], str) and conf["port"].isdecimal():
        conf["port"] = int(conf["port"])
    return conf


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
    if is_moved and not made.get("certificate") and any(is_secure_self(conf, key) for key in HOSTS):
        return {**made, "certificate": "development"}
    return dict(made)


def is_secure_self(conf: Mapping[str, Any], key: str) -> bool:
    """Whether by these settings the daemon itself speaks HTTPS at ``publisher_host`` or so."""
    host, secure = host_of(conf, key)
    return secure and (not host or is_daemon(conf, host))


def is_signed(push_server: Mapping[str, Any]) -> bool:
    """Whether one of the locations asks for tokens."""
    return any(isinstance(place, Mapping) and place.get("signed") for place in _places(push_server))


def with_status(push_server: Mapping[str, Any]) -> dict[str, Any]:
    """With a location that takes revocations in front, where there is something to revoke.

    Not for a daemon that stands alone: a front server may pass every path on to it.
    """
    places = _places(push_server)
    if not is_signed(push_server) or any(map(_is_status, places)):
        return dict(push_server)
    return {**push_server, "locations": [STATUS, *places]}


def with_keys(push_server: Mapping[str, Any]) -> dict[str, Any]:
    """With what the daemon shares with Django: nothing that could forge a session.

    Raises ``ImproperlyConfigured`` where ``SECRET_KEY`` is empty, and there is need for it.
    """
    made = dict(push_server)
    if is_signed(made):
        ours = [keys.text(key) for key in keys.of_channels()]
        others = [key for key in made.get("signing_keys") or () if key not in ours]
        made["signing_keys"] = [*ours, *others]
    if any(_is_status(place) and not place.get("secret") for place in _places(made)):
        secret = {"secret": keys.of_status()}
        made["locations"] = [
            {**place, **secret} if _is_status(place) and not place.get("secret") else place
            for place in made["locations"]
        ]
    return made


def _places(push_server: Mapping[str, Any]) -> Sequence[Any]:
    """The locations; what is no list is for others to complain of."""
    places = push_server["locations"]
    return places if isinstance(places, (list, tuple)) else ()


def _is_status(place: Any) -> bool:
    return isinstance(place, Mapping) and place.get("type") == "status"


def is_of(kind: str, location: Mapping[str, Any]) -> bool:
    """Whether a location is a ``publisher`` or a ``subscriber``; one of type ``pubsub`` is both."""
    return location.get("type") in (kind, "pubsub")


def serves_several(location: Mapping[str, Any]) -> bool:
    """Whether one URL of the location may name several channels."""
    return bool(location.get("delimiter") or location.get("query"))


def location(kind: str, several: bool = False) -> Mapping[str, Any]:
    """The first location of this kind: the one that URLs are made for.

    ``several``: the first where one URL may name several channels.
    """
    for candidate in push_server()["locations"]:
        if is_of(kind, candidate) and (serves_several(candidate) or not several):
            return candidate  # type: ignore[no-any-return]
    if several:
        raise ImproperlyConfigured(
            "PUSH_SERVER['locations'] has no location for several channels in one URL: give a "
            "location of type 'subscriber' the key 'query' or 'delimiter'"
        )
    raise ImproperlyConfigured(
        f"PUSH_SERVER['locations'] has no location of type {kind!r}: add one"
    )


def status_location() -> Mapping[str, Any]:
    """Where revocations go: the first location of type ``status``, or that of `runpushserver`."""
    return next(filter(_is_status, _places(push_server())), STATUS)


def path(kind: str, *channel_ids: object) -> str:
    """The path of channels, ``kind`` being ``publisher`` or ``subscriber``; see ``target``."""
    return target(kind, *channel_ids).path


def target(kind: str, *channel_ids: object) -> Target:
    """Where these channels are, ``kind`` being ``publisher`` or ``subscriber``.

    Raises ``ValueError`` for an id that the location does not serve, for more than it serves in one
    request, and where there is none.
    """
    ids = list(dict.fromkeys(str(channel_id) for channel_id in channel_ids))
    if not ids:
        raise ValueError("a URL needs a channel id: give at least one")
    place = location(kind, several=len(ids) > 1)
    try:
        reverse = reversed_url(pattern(place), is_whole=bool(place.get("query")))
    except ValueError as error:
        kind = str(place["type"])
        raise ImproperlyConfigured(f"the PUSH_SERVER location of type {kind!r}: {error}") from error
    if len(ids) > (most := channels_per_request()):
        raise ValueError(
            f"{len(ids)} channels in one URL, and limits.channels_per_request is {most}"
        )
    if name := place.get("query"):
        if "" in ids:
            raise ValueError("a channel id is empty")
        values = (f"{quote(str(name), safe='')}={quote(each, safe='')}" for each in ids)
        path = reverse.path("") + "?" + "&".join(values)
    elif delimiter := place.get("delimiter"):
        path = reverse.path(_joined(ids, str(delimiter)))
    else:
        path = reverse.path(quote(ids[0], safe=""))
    return Target(path, place, ids)


def channels_per_request() -> int:
    """``limits.channels_per_request``."""
    limits: Mapping[str, Any] = push_server().get("limits") or {}
    most = limits.get("channels_per_request", schema.LIMITS["channels_per_request"]["default"])
    return int(most)


def _joined(ids: list[str], delimiter: str) -> str:
    """The ids with the delimiter between them, and nowhere else: encoded, it is part of an id.

    Raises ``ValueError`` where the ids cannot be told apart, because the delimiter has characters
    of ``%XX``.
    """
    encoded = [
        "".join(f"%{ord(each):02X}" if each in delimiter else quote(each, safe="") for each in one)
        for one in ids
    ]
    text = delimiter.join(encoded)
    if "" in ids or text.split(delimiter) != encoded:
        raise ValueError(
            f"the channel ids {ids!r} cannot be told apart in a URL with the delimiter "
            f"{delimiter!r}: take ids that are not empty, and a delimiter such as ','"
        )
    return text


def pattern(location: Mapping[str, Any]) -> str:
    """The regular expression that a location's paths match in full."""
    text = str(location.get("url") or location.get("prefix") or "")
    patterns.check_length(text)
    if location.get("url"):
        return text
    if location.get("prefix"):
        return re.escape(patterns.encoded_prefix(text)) + "(.+)"
    raise ValueError("it has neither 'url' nor 'prefix'")


@lru_cache(maxsize=64)
def reversed_url(url: str, is_whole: bool = False) -> Reversed:
    """Takes a location's ``url`` apart. Raises ``ValueError`` where that cannot be done.

    ``is_whole``: the channel ids stand in the query, and the ``url`` has no group.
    """
    try:
        regex = re.compile(url)
    except re.error as error:
        raise ValueError(f"{url!r} is not a regular expression: {error}") from error
    if is_whole and regex.groups:
        raise ValueError(
            f"{url!r} has a group, but the channel ids stand in the query: write (?:...)"
        )
    if regex.groups != 1 and not is_whole:
        raise ValueError(
            f"{url!r} has {regex.groups} groups, and has to have one, the channel id: "
            "write (?:...) for a group that is not"
        )
    expression = patterns.encoded(url)
    try:
        forms = normalize(expression)
    except ValueError as error:
        raise NotReversible(f"{url!r} cannot be made into a URL: {error}") from error
    if len(forms) != 1 or len(forms[0][1]) != regex.groups:
        raise NotReversible(
            f"{url!r} cannot be made into a URL: leave out alternatives, as in (a|b)"
        )
    # A literal % of the pattern must not be read as formatting, so this is not `form % {...}`.
    form, names = forms[0]
    before, after = form.split(f"%({names[0]})s") if names else (form, "")
    if not before.startswith("/"):
        # What may be left out is left out here, though paths of requests may have it.
        kind = NotReversible if re.search(r"(?<!\\)[?*{]", url) else ValueError
        raise kind(f"{url!r} matches no path: a path begins with '/'")
    patterns.check_text(before + after)
    return Reversed(url, before, after, re.compile(expression))


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


def is_daemon(conf: Mapping[str, Any], host: str) -> bool:
    """Whether this ``host:port`` is where, by these settings, the daemon listens."""
    name, _, port = host.rpartition(":")
    address = str(conf["address"]).strip("[]")
    same = name.strip("[]") == address or (
        is_loopback(name) and (is_loopback(address) or is_everywhere(address))
    )
    return same and port == str(conf["port"])


def passthrough_secrets() -> list[str]:
    """The secrets by which the passthrough view recognises the daemon.

    Raises ``ImproperlyConfigured`` for one that is not where the settings say.
    """
    secrets = [
        secret_of(place["passthrough_secret"], "passthrough_secret")
        for place in push_server()["locations"]
        if place.get("passthrough_secret")
    ]
    secrets.append(os.environ.get(SECRET_VARIABLE, ""))
    return [secret for secret in secrets if secret]


def has_passthrough_secret() -> bool:
    """Whether there is one, though it may stand where only the daemon reads it."""
    given = (place.get("passthrough_secret") for place in push_server()["locations"])
    return any(given) or bool(os.environ.get(SECRET_VARIABLE))


def secret_of(value: object, key: str) -> str:
    """A secret: the text itself, or that of ``{"env": "NAME"}`` or ``{"file": "/path"}``.

    Raises ``ImproperlyConfigured`` where it is not there; nothing of it is repeated.
    """
    if not isinstance(value, Mapping):
        return str(value)
    how = "env" if "env" in value else "file"
    try:
        if how == "env":
            text = os.environ[str(value["env"])]
        else:
            # As the daemon reads it: without the line end.
            text = Path(str(value["file"])).read_text(encoding="utf-8")
            text = text.removesuffix("\n").removesuffix("\r")
        if not text:
            raise ValueError
    except (OSError, KeyError, ValueError) as error:
        # What stands there is not repeated: it may be the secret itself.
        why = error.strerror if isinstance(error, OSError) else "it is empty, no text or not there"
        raise ImproperlyConfigured(
            f"PUSH_SERVER: {key}.{how}: the secret cannot be read: {why}"
        ) from None
    return text


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
