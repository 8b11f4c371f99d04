"""The parameter ``since`` of URLs for pages: where a page begins that has no update yet.

The moment of ``"now"`` is that at which the request of the page came: whatever the view reads from
the database after it, no update is published between the two and missed. The push server is not
asked.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import MutableMapping
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

# Where the moment stands: in the environment of WSGI, in the scope of ASGI.
BEGAN = "pushserver.began"
# A cursor is behind the first message of its second, so it has to be of the second before.
SECOND_S = 1
# The push server may date a message that much too early: it reads the clock once per turn of its
# loop, and clocks of two machines differ.
CLOCKS_S = 0.05

_ID = re.compile("[0-9]{1,19}(:[0-9]{1,19})?")


def note_beginning(
    environ: MutableMapping[str, Any] | None = None,
    scope: MutableMapping[str, Any] | None = None,
    **kwargs: Any,
) -> None:
    """Receiver of Django's ``request_started``: the request has come now."""
    place = scope if environ is None else environ
    if place is not None:
        place[BEGAN] = time.time()


def parameter(since: object, request: HttpRequest | None) -> str:
    """The parameter's value: ``TIME`` or ``TIME:TAG``.

    ``since``: ``"now"``; ``"oldest"``; a moment, which is a ``datetime`` or seconds since the Unix
    epoch; or the id of a message, ``"TIME:TAG"``. Raises ``ValueError`` for anything else.
    """
    if isinstance(since, str):
        if since == "now":
            return _before(_began(request))
        if since == "oldest":
            return "0"
        if _ID.fullmatch(since):
            return str(since)
    elif isinstance(since, datetime):
        return _before(_aware(since).timestamp())
    elif isinstance(since, (int, float)) and not isinstance(since, bool) and 0 <= since < math.inf:
        return _before(since)
    raise ValueError(
        f"since is {since!r}: it has to be 'now', 'oldest', a datetime, seconds since 1970, or the "
        "id of a message, as in '1795895826:0'"
    )


def _before(moment_s: float) -> str:
    """A cursor before everything that is published from this moment on."""
    return str(max(0, math.floor(moment_s - CLOCKS_S) - SECOND_S))


def _began(request: HttpRequest | None) -> float:
    """When the request came; if Django's handlers did not bring it, when that was first asked."""
    if request is None:
        return time.time()
    place: MutableMapping[str, Any] = getattr(request, "scope", request.META)
    began: float = place.setdefault(BEGAN, time.time())
    return began


def _aware(moment: datetime) -> datetime:
    return timezone.make_aware(moment) if timezone.is_naive(moment) else moment
