"""The view that nginx asks whether a token lets a request in (``nchan_authorize_request``).

The daemon verifies tokens itself. nginx cannot, so ``--nginx-config`` sends it here, with the
request's own target in ``X-Original-URI`` and its method in ``X-Original-Method``. The view tells
nobody more than the location itself would: whoever asks has the token already. What nginx and the
daemon read differently in a target is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from time import time
from typing import Any
from urllib.parse import unquote, unquote_plus

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from pushserver import conf, keys, patterns, secrets, tokens

# The daemon's own words.
MISSING = "this channel needs a token: ask the application for its URL ({% channel_url %})"
INVALID = "the token does not fit this channel"
EXPIRED = "the token has expired: ask the application for a new URL"

_READS = ("GET", "HEAD")


# Whether a token is good, the header says: a cache would take it for that of the next.
@never_cache
@csrf_exempt
@login_not_required
def authorize(request: HttpRequest) -> HttpResponse:
    """200 lets the request in; 400, 401 and 403 do not."""
    path, _, query = request.headers.get("X-Original-URI", "").partition("?")
    found = _location(path)
    if found is None:
        raise PermissionDenied
    place, group = found
    method = request.headers.get("X-Original-Method", "").upper()
    if method == "OPTIONS":
        return HttpResponse()
    parameters = [*_parameters(query)]
    channels = _channels(place, group, parameters)
    bearer = request.headers.get("Authorization", "")
    bearer = bearer[7:].strip() if bearer[:7].lower() == "bearer " else ""
    is_both = place.get("type") == "pubsub"
    publishes = method not in _READS if is_both else conf.is_of("publisher", place)
    if publishes and bearer and _is_secret(place, bearer):
        return HttpResponse()
    given = [value for name, value in parameters if name == "token"]
    if len(given) > 1 and (publishes or not conf.serves_several(place)):
        return _malformed("token stands in the query more than once; give one")
    if len(given) > conf.channels_per_request():
        return _malformed("more tokens than limits.channels_per_request; give one for each channel")
    sides = {publishes, is_both or publishes}
    given = given or ([bearer] if bearer else [])
    return _answer(given, tokens.Claim(channels, sides, tokens.scope(place)))


def _answer(given: list[str], claim: tokens.Claim) -> HttpResponse:
    if not given:
        return _refusal(MISSING)
    signing_keys = keys.of_channels()
    most = tokens.seconds_max()
    claims = [tokens.verified(token, signing_keys, most) for token in given]
    known = [each for each in claims if each is not None]
    now_s = int(time())
    ends_most_s = now_s + most + tokens.AHEAD_S
    if len(known) < len(claims) or not tokens.permits(known, claim, ends_most_s):
        return _refusal(INVALID, 'error="invalid_token"')
    if min(each.ends_s for each in known) <= now_s:
        return _refusal(EXPIRED, 'error="invalid_token", error_description="expired"')
    return HttpResponse()


def _malformed(text: str) -> HttpResponse:
    return HttpResponse(text, status=400, content_type="text/plain")


def _refusal(text: str, challenge: str = "") -> HttpResponse:
    headers = {"WWW-Authenticate": f"Bearer {challenge}".strip()}
    return HttpResponse(text, status=401, content_type="text/plain", headers=headers)


def _location(path: str) -> tuple[Mapping[str, Any], str] | None:
    """The location that serves a path, as it was sent, and what its group takes of it.

    ``None`` if that is none, or one that is not signed: for such nginx does not ask.
    """
    # nginx resolves these, and would serve another path than the one that is looked at here.
    if re.search("//|/[.]{1,2}(?:/|$)", unquote(path)):
        return None
    spelled = _spelled(path)
    for place in conf.push_server()["locations"]:
        if conf.is_of("publisher", place) or conf.is_of("subscriber", place):
            match = _expression(conf.pattern(place)).fullmatch(spelled)
            if match:
                group = match[1] if match.re.groups else ""
                return (place, group) if place.get("signed") else None
    return None


@lru_cache(maxsize=64)
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(patterns.encoded(pattern))


def _spelled(path: str) -> str:
    """The path as URLs are made: what need not be encoded is not, and the rest in capitals."""

    def piece(match: re.Match[str]) -> str:
        character = unquote(match[0], "latin-1")
        return character if re.match("[A-Za-z0-9._~-]", character) else match[0].upper()

    return re.sub("%[0-9A-Fa-f]{2}", piece, path)


def _parameters(query: str) -> Iterator[tuple[str, str]]:
    for parameter in query.split("&"):
        name, _, value = parameter.partition("=")
        # What is no UTF-8 is in no token.
        yield unquote_plus(name), unquote_plus(value, errors="surrogateescape")


def _channels(
    place: Mapping[str, Any], group: str, parameters: list[tuple[str, str]]
) -> frozenset[str]:
    """The channels of a request. Raises ``PermissionDenied`` where nginx may see others."""
    if name := place.get("query"):
        # nginx does not tell capitals in names of parameters.
        same = [each for each in parameters if each[0].lower() == str(name).lower()]
        ids = [value for _, value in same]
        if any(each != name for each, _ in same):
            raise PermissionDenied
    elif delimiter := place.get("delimiter"):
        ids = [unquote(each, errors="surrogateescape") for each in group.split(str(delimiter))]
    else:
        ids = [unquote(group, errors="surrogateescape")]
    if not all(ids) or not ids:
        raise PermissionDenied
    return frozenset(ids)


def _is_secret(place: Mapping[str, Any], bearer: str) -> bool:
    secret = place.get("secret")
    return bool(secret) and constant_time_compare(secrets.secret_of(secret, "secret"), bearer)
