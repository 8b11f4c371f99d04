"""The shape of ``PUSH_SERVER``: which keys there are, and of which type their values.

Only the shape; what settings mean together is in ``checks.py``. The daemon has the same table.
Any object can be in settings: whatever is not in the table is a fault, never an exception, and
nothing is followed deeper than the table goes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, NamedTuple

from django.utils.functional import Promise

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
    "allrequests_secret": str,
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
        if store is push_server["store"]:
            yield from _typed("store", store, STORES, "memory")
        else:
            yield from _value("a name in store", name, str)
            yield from _typed(f"store.{_shown(name, str)}", store, STORES, "memory")
    if isinstance(push_server["locations"], (list, tuple)):
        for index, location in enumerate(push_server["locations"]):
            yield from _typed(f"locations[{index}]", location, LOCATIONS)


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
        yield Fault(path, f"{_shown(entry)} is not a dictionary")
        return
    kind = _plain(entry.get("type", default))
    if not isinstance(kind, str) or kind not in kinds:
        yield Fault(f"{path}.type", f"{_shown(kind)} is none of {', '.join(kinds)}")
        return
    yield from _keys(path, entry, kinds[kind])


def _keys(path: str, entry: Mapping[str, Any], keys: Keys) -> Iterator[Fault]:
    for key, value in entry.items():
        name = _shown(key, str)
        place = f"{path}.{name}" if path else name
        if not isinstance(key, str) or key not in keys:
            nearest = get_close_matches(name, keys, 1)
            hint = f"Is {nearest[0]!r} meant?" if nearest else f"Known: {', '.join(keys)}."
            yield Fault(place, "there is no such key", hint, unknown_key=True)
            continue
        yield from _value(place, _plain(value), keys[key], CHOICES.get(key))
        # All lists are of strings but this one, of which `faults` takes care.
        if isinstance(value, (list, tuple)) and _is(value, keys[key]) and key != "locations":
            for index, text in enumerate(value):
                yield from _value(f"{place}[{index}]", _plain(text), str)


def _value(
    path: str, value: object, kind: Kind, choices: tuple[str, ...] | None = None
) -> Iterator[Fault]:
    if not _is(value, kind):
        yield Fault(path, f"{_shown(value)} is not of type {_name(kind)}")
    elif isinstance(value, (int, float)) and not abs(value) <= sys.float_info.max:
        yield Fault(path, f"{_shown(value)} is not a finite number")
    elif isinstance(value, str) and _SURROGATE.search(value):
        yield Fault(path, f"{_shown(value)} has half a surrogate pair, which is no character")
    elif choices and value not in choices:
        yield Fault(path, f"{_shown(value)} is none of {', '.join(choices)}")


def _plain(value: object) -> object:
    """A lazy string as the string that the daemon gets; all else, and one that fails, as it is."""
    if isinstance(value, Promise):
        with suppress(Exception):
            return str(value)
    return value


def _shown(value: object, write: Callable[[object], str] = repr) -> str:
    """What a message can say of any object at all."""
    try:
        return write(value).encode(errors="backslashreplace").decode()
    except Exception:  # nested too deep, too many digits, or a method of its own that fails
        return f"<{type(value).__name__}>"


def _is(value: object, kind: Kind) -> bool:
    # bool is a subclass of int, and True is no port.
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, kind)


def _name(kind: Kind) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join(each.__name__ for each in kinds)
