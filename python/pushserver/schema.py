"""The shape of ``PUSH_SERVER``: which keys there are, and of which type their values.

``schema.json`` defines it, for the daemon too; this module reports settings that do not fit.
``checks.py`` looks at what settings mean together. Settings may hold any object: one that the
schema does not allow is a fault, never an exception, and nothing is followed deeper than the schema
goes.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from django.utils.functional import Promise

SCHEMA: dict[str, Any] = json.loads((Path(__file__).parent / "schema.json").read_bytes())

Rule = Mapping[str, Any]
Keys = Mapping[str, Rule]

_TEXT: Rule = {"type": "string"}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "array": (list, tuple),
    "object": (dict,),
}
_SURROGATE = re.compile("[\ud800-\udfff]")


def _alternatives(rule: Rule) -> list[Rule]:
    """What a rule allows, references followed."""
    if "$ref" in rule:
        return _alternatives(_referenced(rule["$ref"]))
    # Beside a type, `anyOf` names keys of which one is required; `checks.py` looks at those.
    several = None if "type" in rule else rule.get("anyOf", rule.get("oneOf"))
    return [each for one in several for each in _alternatives(one)] if several else [rule]


def _choices(rule: Rule) -> list[str]:
    """The strings that a rule allows; none where it allows all."""
    strings = [each for each in _alternatives(rule) if each.get("type", "string") == "string"]
    if not all("enum" in each for each in strings):
        return []
    return [choice for each in strings for choice in each["enum"]]


def _referenced(pointer: str) -> Rule:
    """What a reference leads to, as in ``#/$defs/url``."""
    rule: Rule = SCHEMA
    for key in pointer.removeprefix("#/").split("/"):
        rule = rule[key]
    return rule


def _by_type(rule: Rule) -> dict[str, Keys]:
    """The keys of each kind of object that a rule allows, which differ in their ``type``."""
    several = (each["properties"] for each in _alternatives(rule))
    return {keys["type"]["const"]: keys for keys in several}


def _kinds(rule: Rule) -> tuple[type, ...]:
    """The types of what a rule allows. What it lists (``enum``, ``const``) are strings."""
    kinds = [_TYPES[each.get("type", "string")] for each in _alternatives(rule)]
    return tuple(dict.fromkeys(kind for several in kinds for kind in several))


SETTINGS: Keys = SCHEMA["properties"]
LIMITS: Keys = SETTINGS["limits"]["properties"]
STORES: Mapping[str, Keys] = _by_type(SCHEMA["$defs"]["store"])
LOCATIONS: Mapping[str, Keys] = _by_type(SETTINGS["locations"]["items"])

# Keys of a memory store that a redis store has no use for, each with who has one.
_OF_REDIS_ITSELF = {
    "max_memory": "Set maxmemory in redis.conf; 'cache' bounds what the daemon keeps of it.",
    "persist": "Set appendonly in redis.conf.",
    "persist_sync": "Set appendfsync in redis.conf.",
}
# Keys whose values are shown to nobody.
_SECRETS = (
    *("secret", "passthrough_secret", "allrequests_secret", "password"),
    *("signing_keys", "private_key"),
)


class Fault(NamedTuple):
    """A mistake: where (``locations[1].url``), and what is wrong there."""

    path: str
    text: str
    hint: str | None = None
    unknown_key: bool = False


def faults(push_server: Mapping[str, Any]) -> Iterator[Fault]:
    """All mistakes of shape."""
    yield from _keys("", push_server, SETTINGS)
    for name, store in stores(push_server["store"]).items():
        if store is push_server["store"]:
            yield from _typed("store", store, STORES, "memory")
        else:
            yield from _value("a name in store", name, _TEXT)
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
            yield Fault(place, "there is no such key", _meant(name, keys), unknown_key=True)
            continue
        yield from _whole(place, value, keys[key])


def _whole(place: str, value: object, rule: Rule) -> Iterator[Fault]:
    """A value, and what is in it."""
    yield from _value(place, _plain(value), rule)
    # A store's and a location's keys depend on its type: `faults` looks at those.
    objects = [each for each in _alternatives(rule) if "properties" in each]
    if isinstance(value, dict) and len(objects) == 1:
        yield from (within := [*_keys(place, value, objects[0]["properties"])])
        required = objects[0].get("required", ())
        # A key that is not known may be the one that is missing.
        for missing in (each for each in required if each not in value and not within):
            yield Fault(f"{place}.{missing}", "it is missing")
    if isinstance(value, (list, tuple)) and place != "locations":
        for items in (each["items"] for each in _alternatives(rule) if "items" in each):
            for index, item in enumerate(value):
                yield from _whole(f"{place}[{index}]", item, items)


def _meant(name: str, keys: Keys) -> str:
    """What to write instead of a key that is unknown among these."""
    kind = keys.get("type", {}).get("const")
    if kind == "redis" and name in _OF_REDIS_ITSELF:
        return _OF_REDIS_ITSELF[name]
    if kind == "memory" and name in STORES["redis"]:
        return "It belongs to a store of type 'redis'."
    nearest = get_close_matches(name, keys, 1)
    return f"Is {nearest[0]!r} meant?" if nearest else f"Known: {', '.join(keys)}."


def _value(path: str, value: object, rule: Rule) -> Iterator[Fault]:
    kinds = _kinds(rule)
    choices = _choices(rule)
    key = path.rpartition(".")[2].partition("[")[0]
    shown = "the value" if key in _SECRETS else _shown(value)
    if "const" in rule and value != rule["const"]:
        yield Fault(path, f"{shown} is not {rule['const']!r}", rule["description"])
        return
    # bool is a subclass of int, and True is no port.
    if not (bool in kinds if isinstance(value, bool) else isinstance(value, kinds)):
        names = " or ".join(kind.__name__ for kind in kinds)
        yield Fault(path, f"{shown} is not of type {names}")
    elif isinstance(value, (int, float)) and not abs(value) <= sys.float_info.max:
        yield Fault(path, f"{shown} is not a finite number")
    elif isinstance(value, str) and _SURROGATE.search(value):
        yield Fault(path, f"{shown} has half a surrogate pair, which is no character")
    elif choices and isinstance(value, str) and value not in choices:
        yield Fault(path, f"{shown} is none of {', '.join(choices)}")


def _plain(value: object) -> object:
    """A lazy string as the string that the daemon gets; other values unchanged."""
    if isinstance(value, Promise):
        with suppress(Exception):
            return str(value)
    return value


def _shown(value: object, write: Callable[[object], str] = repr) -> str:
    """The value as a message shows it, whatever object it is."""
    try:
        return write(value).encode(errors="backslashreplace").decode()
    except Exception:  # nested too deep, too many digits, or a method of its own that fails
        return f"<{type(value).__name__}>"
