"""The shape of ``PUSH_SERVER``: which keys there are, and of which type their values.

Only the shape; what settings mean together is in ``checks.py``. The daemon has the same table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from math import isfinite
from typing import Any, NamedTuple

Kind = type | tuple[type, ...]
Keys = Mapping[str, Kind]

SECONDS: Kind = (int, float)
LIST: Kind = (list, tuple)
TEXTS: Kind = (str, list, tuple)
HOST: Kind = (str, dict)

SETTINGS: Keys = {
    "$schema": str,
    "port": int,
    "address": str,
    "servername": str,
    "hosts": LIST,
    "publisher_host": HOST,
    "subscriber_host": HOST,
    "allrequests": str,
    "forcehost": str,
    "trusted_proxies": LIST,
    "store": dict,
    "locations": LIST,
    "limits": dict,
}
HOST_KEYS: Keys = {"location": str, "secure": bool}
STORES: Mapping[str, Keys] = {
    "memory": {
        "type": str,
        "min_messages": int,
        "max_messages": int,
        "message_timeout": SECONDS,
        "max_memory": int,
        "channel_timeout": SECONDS,
    },
}
_LOCATION = {"type": str, "url": str, "prefix": str, "store": str, "channel_group": str}
LOCATIONS: Mapping[str, Keys] = {
    "publisher": {
        **_LOCATION,
        "create_on_post": bool,
        "store_messages": bool,
        "allow": LIST,
        "secret": str,
        "allow_origin": TEXTS,
    },
    "subscriber": {
        **_LOCATION,
        "polling": str,
        "create_on_get": bool,
        "concurrency": str,
        "timeout": SECONDS,
        "max_subscribers": int,
        "allow_origin": TEXTS,
        "allow_credentials": bool,
        "passthrough": str,
        "passthrough_secret": str,
    },
}
LIMITS: Keys = {
    "header_bytes": int,
    "headers": int,
    "uri_bytes": int,
    "body_bytes": int,
    "channel_id_bytes": int,
    "channels": int,
    "pipeline_depth": int,
    "passthrough_queue": int,
    "connections": int,
    "header_timeout": SECONDS,
    "body_timeout": SECONDS,
    "write_timeout": SECONDS,
    "keepalive_timeout": SECONDS,
    "upstream_timeout": SECONDS,
    "upstream_wait": SECONDS,
}
_SURROGATE = re.compile("[\ud800-\udfff]")
CHOICES = {"polling": ("long", "interval"), "concurrency": ("broadcast", "last", "first")}


class Fault(NamedTuple):
    """A mistake: where (``locations[1].url``), and what is wrong there."""

    path: str
    text: str
    hint: str | None = None
    unknown_key: bool = False


def faults(push_server: Mapping[str, Any]) -> Iterator[Fault]:
    """All mistakes of shape."""
    yield from _keys("", push_server, SETTINGS)
    for path, entry, keys in (
        ("publisher_host", push_server.get("publisher_host"), HOST_KEYS),
        ("subscriber_host", push_server.get("subscriber_host"), HOST_KEYS),
        ("limits", push_server.get("limits"), LIMITS),
    ):
        if isinstance(entry, dict):
            yield from _keys(path, entry, keys)
    for name, store in stores(push_server["store"]).items():
        yield from _typed("store" if name is None else f"store.{name}", store, STORES, "memory")
    if isinstance(push_server["locations"], (list, tuple)):
        for index, location in enumerate(push_server["locations"]):
            yield from _typed(f"locations[{index}]", location, LOCATIONS)
    yield from _not_json("", push_server)


def stores(store: object) -> dict[str | None, Any]:
    """The stores by name; one without a name is ``None``'s."""
    if not isinstance(store, dict):
        return {}
    # As the daemon tells them apart: only where stores are named are there objects in it.
    is_named = any(isinstance(value, dict) for value in store.values())
    return store if is_named and not isinstance(store.get("type"), str) else {None: store}


def _typed(
    path: str, entry: object, kinds: Mapping[str, Keys], default: str | None = None
) -> Iterator[Fault]:
    if not isinstance(entry, dict):
        yield Fault(path, f"{entry!r} is not a dictionary")
        return
    kind = entry.get("type", default)
    if not isinstance(kind, str) or kind not in kinds:
        yield Fault(f"{path}.type", f"{kind!r} is none of {', '.join(kinds)}")
        return
    yield from _keys(path, entry, kinds[kind])


def _keys(path: str, entry: Mapping[str, Any], keys: Keys) -> Iterator[Fault]:
    for key, value in entry.items():
        place = f"{path}.{key}" if path else str(key)
        if key not in keys:
            nearest = get_close_matches(str(key), keys, 1)
            hint = f"Is {nearest[0]!r} meant?" if nearest else f"Known: {', '.join(keys)}."
            yield Fault(place, "there is no such key", hint, unknown_key=True)
        elif not _is(value, keys[key]):
            yield Fault(place, f"{value!r} is not of type {_name(keys[key])}")
        elif key in CHOICES and value not in CHOICES[key]:
            yield Fault(place, f"{value!r} is none of {', '.join(CHOICES[key])}")


def _not_json(path: str, value: object) -> Iterator[Fault]:
    """What Python has and JSON has not: the daemon could not even read it."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _not_json(f"{path}.{key}" if path else str(key), entry)
    elif isinstance(value, (list, tuple)):
        for index, entry in enumerate(value):
            yield from _not_json(f"{path}[{index}]", entry)
    elif isinstance(value, float) and not isfinite(value):
        yield Fault(path, f"{value!r} is not a finite number")
    elif isinstance(value, str) and _SURROGATE.search(value):
        yield Fault(path, f"{value!r} has half a surrogate pair, which is no character")


def _is(value: object, kind: Kind) -> bool:
    # bool is a subclass of int, and True is no port.
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, kind)


def _name(kind: Kind) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join(each.__name__ for each in kinds)
