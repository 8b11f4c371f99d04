"""The setting ``PUSH_SERVER``, with defaults for missing keys, and the URLs that follow from it.

Reads the settings at every call, so that ``override_settings`` works. Checks only what it needs;
``checks.py`` and the daemon check the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.regex_helper import normalize

from pushserver import patterns, schema

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

# Where `runpushserver` has it, if the project has none.
STATUS: Mapping[str, Any] = {"type": "status", "prefix": "/pushserver/"}

EMPTY = "the channel id is empty: see whether there is one where it comes from"


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
            if not encoded_ids:
                raise ValueError(EMPTY)
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


def is_signed(push_server: Mapping[str, Any]) -> bool:
    """Whether one of the locations asks for tokens."""
    return any(isinstance(place, Mapping) and place.get("signed") for place in places(push_server))


def places(push_server: Mapping[str, Any]) -> Sequence[Any]:
    """The locations; what is no list is for others to complain of."""
    places = push_server["locations"]
    return places if isinstance(places, (list, tuple)) else ()


def is_status(place: Any) -> bool:
    """Whether a location is of type ``status``."""
    return isinstance(place, Mapping) and place.get("type") == "status"


def has_presence(place: Any) -> bool:
    """Whether the daemon keeps who is there, for a location."""
    if not isinstance(place, Mapping):
        return False
    return bool(place.get("presence", place.get("passthrough_events") == "debounced"))


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
    """Where the push server is asked: the first such location, or that of `runpushserver`."""
    return next(filter(is_status, places(push_server())), STATUS)


def path(kind: str, *channel_ids: object) -> str:
    """The path of channels, ``kind`` being ``publisher`` or ``subscriber``; see ``target``."""
    return target(kind, *channel_ids).path


def target(kind: str, *channel_ids: object) -> Target:
    """Where these channels are, ``kind`` being ``publisher`` or ``subscriber``.

    Raises ``ValueError`` for an id that the location does not serve, for more than it serves in one
    request, and where there is none.
    """
    ids = list(dict.fromkeys(map(_text, channel_ids)))
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
            raise ValueError(EMPTY)
        values = (f"{quote(str(name), safe='')}={quote(each, safe='')}" for each in ids)
        path = reverse.path("") + "?" + "&".join(values)
    elif delimiter := place.get("delimiter"):
        path = reverse.path(_joined(ids, str(delimiter)))
    else:
        path = reverse.path(quote(ids[0], safe=""))
    return Target(path, place, ids)


def _text(channel_id: object) -> str:
    text = str(channel_id)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the channel id {text!r} is no text. If it comes from a command line, that is not "
            "UTF-8: set LC_ALL=C.UTF-8"
        ) from error
    return text


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
