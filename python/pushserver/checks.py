"""System checks of ``PUSH_SERVER``: mistakes that would otherwise appear later or elsewhere.

The daemon refuses wrong settings too, but only when it starts; the checks run in every command.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.http.request import validate_host
from django.urls import Resolver404, resolve

from pushserver import conf, hosts, keys, schema, tokens
from pushserver.views import passthrough

Settings = Mapping[str, Any]

# What a location can be; one of type `pubsub` is both.
KINDS = {"publisher", "subscriber"}


@register("pushserver")
def check_push_server(**kwargs: Any) -> list[CheckMessage]:
    """All checks; those of meaning only if keys and types are right."""
    try:
        push_server = conf.push_server()
    except (ImproperlyConfigured, ValueError) as error:  # ValueError: a port of 5000 digits
        return [Error(f"{error}.", id="pushserver.E002")]
    messages = list(_shape(push_server))
    if not messages:
        checks = (
            _urls,
            _channel_ids,
            _hosts,
            _notices,
            _origins,
            _passthrough,
            _presence,
            _publishers,
            _redis,
            _secrets,
            _stores,
            _tokens,
            _transports,
        )
        for check in checks:
            messages += check(push_server)
    return messages


def _shape(push_server: Settings) -> Iterator[CheckMessage]:
    for fault in schema.faults(push_server):
        yield Error(
            f"PUSH_SERVER: {fault.path}: {fault.text}.",
            hint=fault.hint,
            id="pushserver.E001" if fault.unknown_key else "pushserver.E002",
        )


def _urls(push_server: Settings) -> Iterator[CheckMessage]:
    """Each pattern has one group and can match; URLs are made for the first of each kind."""
    reversed_kinds: set[str] = set()
    for path, place in _locations(push_server):
        kinds = {kind for kind in KINDS if conf.is_of(kind, place)}
        if conf.serves_several(place):
            kinds.add("several")
        is_first = not kinds <= reversed_kinds
        reversed_kinds |= kinds
        try:
            conf.reversed_url(conf.pattern(place), is_whole=bool(place.get("query")))
        except (ValueError, OverflowError, RecursionError, re.error) as error:
            if is_first or not isinstance(error, conf.NotReversible):
                key = "url" if place.get("url") else "prefix"
                yield Error(f"PUSH_SERVER: {path}.{key}: {error}.", id="pushserver.E003")
    for missing in KINDS - reversed_kinds:
        yield Warning(
            f"PUSH_SERVER: locations: none is of type {missing!r}.",
            hint="Without it updates cannot be "
            + ("sent." if missing == "publisher" else "received."),
            id="pushserver.W004",
        )


def _hosts(push_server: Settings) -> Iterator[CheckMessage]:
    """The daemon speaks HTTPS where it has a certificate; hosts are hosts, not URLs."""
    # At a loopback address the daemon has one for development.
    has_certificate = push_server.get("certificate") or _is_loopback(push_server)
    for key in hosts.HOSTS:
        host, _ = hosts.explicit_host(key)
        if "/" in host:
            yield Error(
                f"PUSH_SERVER: {key}: {host!r} is not a host with a port.",
                hint="Write it without http:// and without a path, as in '127.0.0.1:8001'.",
                id="pushserver.E004",
            )
        elif hosts.is_secure_self(push_server, key) and not has_certificate:
            yield Error(
                f"PUSH_SERVER: {key}.secure is True, but it is the push server itself that "
                "listens there, and it has no certificate.",
                hint="Set certificate and private_key; or set location to the server that does "
                "TLS in front; or set secure to False.",
                id="pushserver.E005",
            )


def _origins(push_server: Settings) -> Iterator[CheckMessage]:
    """``allow_origin`` is compared with what browsers send, byte for byte."""
    for path, place in _locations(push_server):
        default = "*" if place["type"] == "subscriber" else ()
        given = place.get("allow_origin", default)
        given = given if isinstance(given, (list, tuple)) else [given]
        origins = [str(origin) for origin in given]  # of lazy strings, too
        if "*" in origins and place.get("allow_credentials"):
            yield Error(
                f"PUSH_SERVER: {path}: allow_credentials with the allow_origin '*'.",
                hint="Browsers refuse it. List the origins of your pages in allow_origin.",
                id="pushserver.E006",
            )
        for origin in origins:
            if origin not in ("*", "null") and not re.fullmatch(
                r"[a-z][a-z0-9+.-]*://[^/?#]+", origin
            ):
                yield Warning(
                    f"PUSH_SERVER: {path}.allow_origin: {origin!r} is not the origin of any page.",
                    hint="An origin is a scheme, a host and maybe a port, with no slash at its "
                    "end, as in 'http://127.0.0.1:8000'.",
                    id="pushserver.W005",
                )


def _passthrough(push_server: Settings) -> Iterator[CheckMessage]:
    """Notices of the daemon arrive, and the view accepts them."""
    for path, place in _locations(push_server):
        url = place.get("passthrough")
        if not url:
            continue
        try:
            parts = urlsplit(str(url))
        except ValueError:  # brackets that do not close, characters that no host has
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.netloc:
            yield Error(
                f"PUSH_SERVER: {path}.passthrough: {url!r} is not a whole URL.",
                hint="As in 'http://127.0.0.1:8000/passthrough'.",
                id="pushserver.E007",
            )
            continue
        if not re.fullmatch('[!"$-;=?-_a-~]+', str(url)):
            yield Error(
                f"PUSH_SERVER: {path}.passthrough: {url!r} has a character that no URL has.",
                hint="Percent-encode it, as %20 for a space, %3C for < and %C3%B6 for ö.",
                id="pushserver.E007",
            )
            continue
        if not _leads_to_view(unquote(parts.path)):
            yield Warning(
                f"PUSH_SERVER: {path}.passthrough: {parts.path!r} does not lead to the view of "
                "pushserver.urls.",
                hint='Add path("passthrough", include("pushserver.urls")) to your urlpatterns, '
                "above any that matches everything.",
                id="pushserver.W001",
            )
        if not _is_allowed(parts.hostname or ""):
            yield Warning(
                f"PUSH_SERVER: {path}.passthrough: ALLOWED_HOSTS does not have {parts.hostname!r}: "
                "notices will be answered 400.",
                hint="Add it to ALLOWED_HOSTS.",
                id="pushserver.W007",
            )


def _publishers(push_server: Settings) -> Iterator[CheckMessage]:
    """Not everybody can publish."""
    address = str(push_server["address"])
    for path, place in _locations(push_server):
        if not conf.is_of("publisher", place) or place.get("secret") or place.get("signed"):
            continue
        if not _is_here(address) and not place.get("allow"):
            yield Warning(
                f"PUSH_SERVER: {path}: everybody who can reach {address} can publish.",
                hint="Set signed to True, its allow (a list of networks) or its secret.",
                id="pushserver.W003",
            )
        elif front := _allowed_front(push_server, place.get("allow")):
            yield Warning(
                f"PUSH_SERVER: {path}: everybody who can reach the front server at {front} can "
                "publish.",
                hint="Set signed to True, or its secret: allow goes by the address of the "
                "connection, which is the front server's.",
                id="pushserver.W003",
            )


def _is_loopback(push_server: Settings) -> bool:
    return hosts.is_loopback(str(push_server["address"]))


def _is_here(address: str) -> bool:
    """Whether only this machine reaches the daemon there."""
    return address.startswith("unix:") or hosts.is_loopback(address)


def _allowed_front(push_server: Settings, allow: Any) -> str:
    """A front server of ``trusted_proxies`` that this ``allow`` lets in, ``""`` without one."""
    fronts = _networks(push_server.get("trusted_proxies"))
    allowed = _networks(allow)
    for front in fronts:
        same = [network for network in allowed if network.version == front.version]
        if not allow or any(network.overlaps(front) for network in same):
            return str(front)
    return ""


def _networks(texts: Any) -> list[Any]:
    found = []
    for text in texts or ():
        with suppress(ValueError):  # which the daemon reports
            found.append(ipaddress.ip_network(str(text), strict=False))
    return found


def _secrets(push_server: Settings) -> Iterator[CheckMessage]:
    """Secrets fit into headers, and none is used twice."""
    places = [(f"{path}.", place) for path, place in _locations(push_server)]
    for path, place in [("", push_server), *places]:
        for key in ("secret", "passthrough_secret", "allrequests_secret"):
            if isinstance(place.get(key), dict):
                if len(place[key]) != 1:
                    yield Error(
                        f"PUSH_SERVER: {path}{key}: write one of {{'env': 'NAME'}} and "
                        "{'file': '/path'}.",
                        id="pushserver.E009",
                    )
            elif key in place and not re.fullmatch("[!-~]+", str(place[key])):
                yield Error(
                    f"PUSH_SERVER: {path}{key}: a secret may have only visible ASCII characters.",
                    hint='Take what `python -c "import secrets; print(secrets.token_urlsafe())"` '
                    "prints.",
                    id="pushserver.E009",
                )
    shown_to_upstream = push_server.get("allrequests_secret")
    for path, place in places:
        if shown_to_upstream and place.get("passthrough_secret") == shown_to_upstream:
            yield Error(
                f"PUSH_SERVER: {path}passthrough_secret: it is the allrequests_secret, too.",
                hint="Choose another: that one goes with the requests of clients.",
                id="pushserver.E009",
            )


def _tokens(push_server: Settings) -> Iterator[CheckMessage]:
    """Tokens can be signed, and the daemon takes them."""
    if not conf.is_signed(push_server):
        return
    fault: str | None = None
    try:
        keys.of_channels()
        tokens.to_subscribe({}, ["a"], None, None, None)
    except ImproperlyConfigured:
        fault = "SECRET_KEY is empty, and the tokens of signed locations are signed with it"
    except ValueError as error:
        fault = f"{tokens.PAGE_SETTING}: {error}"
    if fault:
        yield Error(f"PUSH_SERVER: {fault}.", hint="Or leave signed out.", id="pushserver.E013")


def _notices(push_server: Settings) -> Iterator[CheckMessage]:
    """Whoever can subscribe causes notices, in the name of any cookies he has, and is a member."""
    address = str(push_server["address"])
    if _is_here(address):
        return
    for path, place in _locations(push_server):
        if place.get("signed"):
            continue
        if place.get("passthrough"):
            effect = "the project is told so by passthrough"
        elif conf.has_presence(place):
            effect = "is counted among its members"
        else:
            continue
        yield Warning(
            f"PUSH_SERVER: {path}: everybody who can reach {address} can subscribe to every "
            f"channel, and {effect}.",
            hint="Set signed to True: then it takes a URL of channel_url.",
            id="pushserver.W009",
        )


def _presence(push_server: Settings) -> Iterator[CheckMessage]:
    """Who is there is known where it is told, and nowhere where daemons share a store."""
    stores = schema.stores(push_server["store"])
    in_redis = [name or "default" for name, store in stores.items() if _is_redis(store)]
    for path, place in _locations(push_server):
        if place.get("presence") is False and place.get("passthrough_events") == "debounced":
            yield Error(
                f"PUSH_SERVER: {path}.presence: False, but the 'debounced' passthrough_events are "
                "made of it.",
                hint="Leave one of the two out.",
                id="pushserver.E014",
            )
        if conf.has_presence(place) and place.get("store", "default") in in_redis:
            key = "presence" if place.get("presence") else "passthrough_events"
            yield Error(
                f"PUSH_SERVER: {path}.{key}: not for a store of type 'redis': each push server "
                "knows its own members only.",
                hint="Give the location a memory store, or leave the key out.",
                id="pushserver.E014",
            )


def _stores(push_server: Settings) -> Iterator[CheckMessage]:
    """Stores exist, and what is published can be subscribed to."""
    names = {name or "default" for name in schema.stores(push_server["store"])}
    channels: dict[str, tuple[str, str]] = {}
    for path, place in _locations(push_server):
        kinds = [kind for kind in KINDS if conf.is_of(kind, place)]
        store = place.get("store", "default")
        if kinds and store not in names:
            yield Error(
                f"PUSH_SERVER: {path}.store: there is no store {store!r}.",
                hint=f"There are: {', '.join(sorted(names))}.",
                id="pushserver.E008",
            )
        for kind in kinds:
            channels.setdefault(kind, (store, place.get("channel_group", "")))
    if len(set(channels.values())) > 1:
        yield Warning(
            "PUSH_SERVER: locations: updates are sent to the first publisher location, and pages "
            "subscribe at the first subscriber location, but these differ in store or "
            "channel_group: no update can arrive.",
            id="pushserver.W006",
        )


def _redis(push_server: Settings) -> Iterator[CheckMessage]:
    """What the stores in Redis say can be. Whether the password is there, the daemon says: it may
    run where Django does not."""
    places: dict[str, str] = {}
    for name, store in schema.stores(push_server["store"]).items():
        if not _is_redis(store):
            continue
        path = f"store.{name}" if name else "store"
        faults = [*_of_redis(store), *_of_login("", store)]
        place = repr([str(store.get(key, default)) for key, default in _PLACE])
        if (other := places.setdefault(place, path)) != path:
            text = f"its keys are those of {other}, too: give each store a key_prefix of its own"
            faults.append(("key_prefix", text))
        for key, text in faults:
            yield Error(f"PUSH_SERVER: {path}.{key}: {text}.", id="pushserver.E012")


def _is_redis(store: Settings) -> bool:
    return str(store.get("type")) == "redis"


# What tells the keys of one store from those of another, with the daemon's defaults.
_PLACE = (
    ("host", "127.0.0.1"),
    ("port", 6379),
    ("sentinel", None),
    ("database", 0),
    ("key_prefix", ""),
)


def _of_redis(store: Settings) -> Iterator[tuple[str, str]]:
    host = str(store.get("host", "127.0.0.1"))
    if "{" in str(store.get("key_prefix", "")):
        yield (
            "key_prefix",
            "'{' cannot be in it: Redis takes what stands in braces to tell which keys belong "
            "together, and that is the channel",
        )
    if "sentinel" in store:
        for key in {"host", "port"} & {*store}:
            yield key, "not beside sentinel, which says where the node is: leave one of them out"
        yield from _of_login("sentinel.", store["sentinel"])
    elif host.startswith("unix:"):
        if "port" in store:
            yield "port", "without effect beside a Unix socket: leave it out"
    elif not re.fullmatch("[A-Za-z0-9_.-]+", host):
        try:
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            # Not repeated: a URL may have a password in it.
            text = "no host: write a name, an IP address or 'unix:/path', and the port as port"
            yield "host", text


def _of_login(path: str, entry: Settings) -> Iterator[tuple[str, str]]:
    password = entry.get("password")
    if isinstance(password, dict) and len(password) != 1:
        yield f"{path}password", "write one of {'env': 'NAME'} and {'file': '/path'}"
    elif password is not None and not password:
        yield f"{path}password", "empty: leave the key out if Redis needs none"
    if "username" in entry and password is None:
        yield f"{path}username", "without effect, since no password is given: set password, too"


def _channel_ids(push_server: Settings) -> Iterator[CheckMessage]:
    """``delimiter`` and ``query`` can work, as the daemon sees it."""
    for path, place in _locations(push_server):
        delimiter, query = place.get("delimiter"), place.get("query")
        fault = None
        if delimiter is not None and query is not None:
            fault = "query", "not beside delimiter: ids stand in the path or in the query"
        elif query is not None and place.get("prefix"):
            fault = "prefix", "not beside query: write the whole path as url, as in '/updates'"
        elif query is not None and not re.fullmatch("[^\0-\x1f\x7f-\x9f]+", str(query)):
            fault = "query", "the name of a query parameter is not empty and has no controls"
        elif query in ("last_event_id", "since", "token"):
            fault = "query", f"{query!r} is the server's own: name another parameter"
        elif delimiter is not None and not re.fullmatch("[!-~]+", str(delimiter)):
            fault = "delimiter", "it has to be printable ASCII characters, as in ','"
        elif delimiter is not None and {*str(delimiter)} & {*"%?#"}:
            fault = "delimiter", "no '%', '?' or '#' can stand between ids in a path"
        if fault:
            key, text = fault
            yield Error(f"PUSH_SERVER: {path}.{key}: {text}.", id="pushserver.E010")


def _transports(push_server: Settings) -> Iterator[CheckMessage]:
    """The scripts of this package can receive where URLs for pages are made."""
    for path, place in _locations(push_server):
        given = place.get("transports")
        if given is None or not conf.is_of("subscriber", place):
            continue
        if not given or len({*given}) < len(given):
            yield Error(
                f"PUSH_SERVER: {path}.transports: {given!r} is empty, or names one twice.",
                hint="Leave it out for all: 'websocket', 'eventsource', 'poll'.",
                id="pushserver.E011",
            )
            continue
        missing = tuple(each for each in _EFFECTS if each not in given)
        if missing and any(place is each for each in _for_pages(push_server)):
            names = " and no ".join(map(repr, missing))
            effect = _EFFECTS[missing[0]] if len(missing) == 1 else "pages get no update there"
            yield Warning(
                f"PUSH_SERVER: {path}.transports has no {names}: {effect}.",
                hint="Add it, unless your pages have a script of their own.",
                id="pushserver.W008",
            )


# What the scripts of this package do where one of these is missing; they open no WebSocket.
_EFFECTS = {
    "eventsource": "pages that use updates.module.js poll there, with a request for each update",
    "poll": "pages that use updates.js get no update there, and those that use updates.module.js "
    "get none where a proxy holds streams back",
}


def _for_pages(push_server: Settings) -> list[Settings]:
    """The locations that ``channel_url`` is for: of one channel, and of several."""
    places = [place for _, place in _locations(push_server) if conf.is_of("subscriber", place)]
    return places[:1] + [place for place in places if conf.serves_several(place)][:1]


def _locations(push_server: Settings) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for index, place in enumerate(push_server["locations"]):
        yield f"locations[{index}]", place


def _leads_to_view(path: str) -> bool:
    try:
        return resolve(path or "/").func is passthrough
    except Resolver404:
        return False


def _is_allowed(host: str) -> bool:
    development = [".localhost", "127.0.0.1", "[::1]"]  # as of HttpRequest.get_host
    allowed = settings.ALLOWED_HOSTS or (development if settings.DEBUG else [])
    if allowed == ["testserver"]:
        allowed = development  # an empty list as the test runner leaves it, and DEBUG is off
    return validate_host(f"[{host}]" if ":" in host else host, allowed)
