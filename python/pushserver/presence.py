"""Who is there: ``updates.presence``. Django keeps nothing of it; the push server is asked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured

from pushserver import conf, status, tokens
from pushserver.status import StatusError


class PresenceError(StatusError):
    """It is not known who is there. The message says what to do.

    ``status``: what the push server answered, ``None`` if nothing.
    """

    what = "who is there was not told by"


class Member(NamedTuple):
    """Somebody who waits for a channel's updates, with all of his tabs."""

    member: str
    """Who: ``u:42`` for a user, ``s:…`` for a session, ``c:…`` for a connection without either."""
    user_id: str | None
    """The user of the token, ``None`` without one."""
    since: datetime
    """When the member came, in UTC."""
    holds: int
    """How many requests wait: tabs that share one have one together."""
    here: bool
    """Whether any waits; one who has just gone is a member for ``presence_grace`` still."""


def presence(
    channel_id: object, host: Any = None, timeout: float = status.TIMEOUT_S
) -> list[Member]:
    """The members of a channel, of all pages of the push server's answer.

    ``host``: which push server, as ``publisher_host`` in ``PUSH_SERVER``, where there are several:
    each knows its own. Raises ``PresenceError``; ``ImproperlyConfigured`` where no location has
    ``presence``.
    """
    if isinstance(channel_id, (list, tuple)):
        raise ValueError("presence: one channel at a time; call it for each")
    group, store = tokens.scope(_location())
    fields = {"channel": str(channel_id), "group": group, "store": store}
    members = status.ask_all(PresenceError, "presence", fields, "members", _member, host, timeout)
    return [*members]


async def apresence(
    channel_id: object, host: Any = None, timeout: float = status.TIMEOUT_S
) -> list[Member]:
    """``presence`` for asynchronous code; waits in a thread, not in the event loop."""
    return await sync_to_async(presence, thread_sensitive=False)(channel_id, host, timeout)


def is_present(user: object, host: Any = None, timeout: float = status.TIMEOUT_S) -> bool:
    """Whether a user, or an id, is a member of any channel: by the ``user`` of his tokens.

    Who is not logged in is not. ``host`` and errors are those of ``presence``.
    """
    _location()
    if (name := tokens.user_id(user)) is None:
        return False
    asked = {"user": name}
    channels = status.ask_all(PresenceError, "presence", asked, "channels", dict, host, timeout)
    # Most often the first page has one, so no other is asked for.
    return any(True for _ in channels)


async def ais_present(user: object, host: Any = None, timeout: float = status.TIMEOUT_S) -> bool:
    """``is_present`` for asynchronous code; waits in a thread, not in the event loop."""
    return await sync_to_async(is_present, thread_sensitive=False)(user, host, timeout)


def _location() -> Mapping[str, Any]:
    """The first location that keeps who is there."""
    for place in conf.push_server()["locations"]:
        if conf.is_of("subscriber", place) and conf.has_presence(place):
            return place  # type: ignore[no-any-return]
    raise ImproperlyConfigured(
        "PUSH_SERVER['locations']: none keeps who is there: give a location of type 'subscriber' "
        "the key 'presence': True"
    )


def _member(entry: Mapping[str, Any]) -> Member:
    user = entry.get("user")
    return Member(
        member=str(entry["member"]),
        user_id=None if user is None else str(user),
        since=datetime.fromtimestamp(entry["since"], timezone.utc),
        holds=int(entry["holds"]),
        here=bool(entry["here"]),
    )
