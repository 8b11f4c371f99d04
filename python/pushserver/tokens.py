"""Tokens of signed URLs: what a page or a publisher shows to be let into a channel.

A token is exactly ``django.core.signing.dumps(claims, salt="pushserver.channel")``. The daemon
verifies them without asking (``src/relay/request/token.rs``); ``verified`` here is the same in
Python, for the view that nginx asks. ``tests/test_tokens.py`` shows that both agree.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.core import signing
from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest

from pushserver import conf, schema, strict_json

SALT = "pushserver.channel"
# Seconds that a token for one update is good for.
PUBLISH_S = 60
# Seconds that a page's token is good for, if neither the call nor the settings say.
PAGE_S = 86400
PAGE_SETTING = "PUSH_SERVER_TOKEN_SECONDS"
USER_BYTES_MAX = 128
# Seconds that the clock of who signed may be ahead, as in src/relay/request/pass.rs.
AHEAD_S = 60
TOKEN_BYTES_MAX = 64 << 10

# Instead of a user: the one of the page's request.
FROM_REQUEST: Final = object()


def to_subscribe(
    place: Mapping[str, Any],
    channel_ids: Sequence[str],
    request: HttpRequest | None,
    user: object,
    expires_s: int | None,
) -> str:
    """For a page that follows these channels at a location.

    ``user``: an id, a user, ``None`` for nobody, or ``FROM_REQUEST``. ``expires_s``: ``None`` for
    the setting's. Raises ``ValueError`` for what the daemon would refuse.
    """
    most = seconds_max()
    if expires_s is None:
        expires_s = getattr(settings, PAGE_SETTING, min(PAGE_S, most))
    if isinstance(expires_s, bool) or not isinstance(expires_s, int):
        raise ValueError(f"a token expires after a whole number of seconds, not {expires_s!r}")
    if not 1 <= expires_s <= most:
        raise ValueError(
            f"a token that expires after {expires_s} seconds is refused: it has to be 1 to {most} "
            "(limits.token_seconds)"
        )
    channels = channel_ids[0] if len(channel_ids) == 1 else [*channel_ids]
    claims: dict[str, Any] = {"c": channels, "e": expires_s}
    try:
        name = user_id(_user_of(request) if user is FROM_REQUEST else user)
    except SynchronousOnlyOperation as error:
        raise SynchronousOnlyOperation(
            "a signed URL names the user of the page, and an asynchronous view has to fetch the "
            "user first: request.user = await request.auser()"
        ) from error
    if name is not None:
        claims["u"] = name
    return _signed(claims, place)


def to_publish(place: Mapping[str, Any], channel_id: str) -> str:
    """For one update to a channel of this location."""
    return _signed({"c": channel_id, "e": PUBLISH_S, "a": "pub"}, place)


def user_id(user: object) -> str | None:
    """A user as tokens and revocations name one; ``None`` for nobody, and for an anonymous user."""
    if hasattr(user, "is_authenticated"):
        user = user.pk if user.is_authenticated else None  # type: ignore[attr-defined]
    if user is None:
        return None
    name = str(user)
    if not 1 <= len(name.encode()) <= USER_BYTES_MAX:
        raise ValueError(f"a user's id has 1 to {USER_BYTES_MAX} bytes, not {len(name.encode())}")
    return name


def seconds_max() -> int:
    """``limits.token_seconds``."""
    limits: Mapping[str, Any] = conf.push_server().get("limits") or {}
    return int(limits.get("token_seconds", schema.LIMITS["token_seconds"]["default"]))


def _signed(claims: dict[str, Any], place: Mapping[str, Any]) -> str:
    group, store = scope(place)
    if group:
        claims["g"] = group
    if store != "default":
        claims["s"] = store
    return signing.dumps(claims, salt=SALT)


def scope(place: Mapping[str, Any]) -> tuple[str, str]:
    """Channel group and store of a location: a token of one opens nothing in another."""
    return str(place.get("channel_group") or ""), str(place.get("store") or "default")


def _user_of(request: HttpRequest | None) -> object:
    # Looked up only where a URL is signed: it makes a page depend on the session's cookie.
    return getattr(request, "user", None)


class Claims(NamedTuple):
    """What a token proves."""

    channels: Sequence[str]
    publishes: bool
    user: str | None
    scope: tuple[str, str]
    ends_s: int


class Claim(NamedTuple):
    """What a request wants to be let in for."""

    channels: Iterable[str]
    publishes: Collection[bool]
    """What tokens may say of it: at a ``pubsub`` location one to publish opens both sides."""
    scope: tuple[str, str]


def verified(token: str, signing_keys: Iterable[bytes], seconds: int) -> Claims | None:
    """What the token proves, expired or not; ``None`` where it is none of these keys'.

    ``seconds``: one that is good for longer is none. Nothing of it is read before its signature is
    compared, in constant time.
    """
    if len(token) > TOKEN_BYTES_MAX or not token.isascii():
        return None
    signed, _, signature = token.rpartition(":")
    given = _base64(signature) or b""
    macs = [hmac.digest(key, signed.encode(), hashlib.sha256) for key in signing_keys]
    if not sum(hmac.compare_digest(mac, given) for mac in macs):  # every key is tried
        return None
    payload, _, time = signed.rpartition(":")
    text, signed_s = _base64(payload), _base_62(time)
    if text is None or signed_s is None:
        return None
    if not text.startswith(b"{"):
        return None
    try:
        claims = strict_json.loads(text.decode(), object_pairs_hook=_Pairs)
        return _claims(dict(_once(claims)), signed_s, seconds)
    except (ValueError, RecursionError):  # UnicodeError is one
        return None


def permits(claims: Iterable[Claims], claim: Claim, ends_most_s: float) -> bool:
    """Whether the claims of all tokens together are enough: of one user, and each channel named.

    ``ends_most_s``: none may end later, as one of a clock that is far ahead would.
    """
    several = [*claims]
    named = {channel for each in several for channel in each.channels}
    return (
        len({each.user for each in several}) == 1
        and all(each.scope == claim.scope and each.ends_s <= ends_most_s for each in several)
        and all(each.publishes in claim.publishes for each in several)
        and named.issuperset(claim.channels)
    )


class _Pairs(list[Any]):
    """An object of JSON, with its keys as often as they stand there."""


def _once(claims: object) -> list[tuple[str, Any]]:
    """The known claims. Raises ``ValueError`` for one that is there twice."""
    if not isinstance(claims, _Pairs):
        raise ValueError("no object")
    known = [(name, value) for name, value in claims if name in {*"ceuags"}]
    if len(dict(known)) < len(known):
        raise ValueError("a claim twice")
    return known


def _claims(given: Mapping[str, Any], signed_s: int, seconds: int) -> Claims:
    channels, expires_s = given.get("c"), given.get("e")
    several = [channels] if isinstance(channels, str) else channels
    if isinstance(several, _Pairs) or not isinstance(several, list):
        raise ValueError("no channel ids")
    if type(expires_s) is not int or not 1 <= expires_s <= seconds:
        raise ValueError("no seconds")
    if "a" in given and given["a"] != "pub":
        raise ValueError("another action")
    user = _text(given["u"]) if "u" in given else None
    if user is not None and not 1 <= len(user.encode()) <= USER_BYTES_MAX:
        raise ValueError("no user")
    return Claims(
        channels=[_text(each) for each in several],
        publishes="a" in given,
        user=user,
        scope=(_text(given.get("g", "")), _text(given.get("s", "default"))),
        ends_s=signed_s + expires_s,
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    value.encode()  # half a surrogate pair is no text
    return value


def _base64(text: str) -> bytes | None:
    """Bytes of base64url without padding, in the one way in which they can be written."""
    if not re.fullmatch("[A-Za-z0-9_-]+", text):
        return None
    try:
        found = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    return found if urlsafe_b64encode(found).rstrip(b"=").decode() == text else None


def _base_62(text: str) -> int | None:
    if not re.fullmatch("[0-9A-Za-z]{1,11}", text):
        return None
    number = signing.b62_decode(text)
    return number if number < 1 << 64 else None
