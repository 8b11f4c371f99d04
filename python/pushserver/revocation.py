"""Taking access back: ``updates.revoke``."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async

from pushserver import conf, status, tokens
from pushserver.status import StatusError


class RevocationError(StatusError):
    """Access was not taken back, or it is not known that it was. The message says what to do.

    ``status``: what the push server answered, ``None`` if nothing.
    """

    what = "access was not taken back at"


def revoke(
    user: object = None,
    channel_id: object = None,
    host: Any = None,
    timeout: float = status.TIMEOUT_S,
    member: str | None = None,
) -> int:
    """Takes a user's access back, to one channel or to all: for tokens signed up to now.

    What the user holds ends at once; returns how many that were. A push server keeps this in
    memory, for itself: with several of them call once for each ``host``, which is as
    ``publisher_host`` in ``PUSH_SERVER``. A token signed later is good again.

    ``member``: instead of a user, as signals and ``presence`` name one. A session (``s:…``) is
    refused by its cookie for as long as a token could be good.

    Raises ``RevocationError``.
    """
    form = _who(user, member)
    if isinstance(channel_id, (list, tuple)):
        raise ValueError("revoke: one channel at a time; call it for each")
    if channel_id is not None:
        # With the place of the channel, as in its tokens.
        group, store = tokens.scope(conf.location("subscriber"))
        form |= {"channel": str(channel_id), "group": group, "store": store}
    return status.ask(
        RevocationError, "POST", "revoke", form, lambda said: int(said["ended"]), host, timeout
    )


async def arevoke(
    user: object = None,
    channel_id: object = None,
    host: Any = None,
    timeout: float = status.TIMEOUT_S,
    member: str | None = None,
) -> int:
    """``revoke`` for asynchronous code; waits in a thread, not in the event loop."""
    take_back = sync_to_async(revoke, thread_sensitive=False)
    return await take_back(user, channel_id, host, timeout, member)


def _who(user: object, member: str | None) -> dict[str, str]:
    if member is not None:
        if user is not None:
            raise ValueError("revoke: a user or a member, not both")
        kind, _, name = member.partition(":")
        if kind == "u" and name:
            return {"user": name}
        if kind == "s" and name:
            return {"member": member}
        raise ValueError(
            f"revoke: {member!r} is no user and no session: a connection without token and cookie "
            "has nothing that could be refused. Give the location `signed`"
        )
    if (name := tokens.user_id(user) or "") == "":
        raise ValueError("revoke: say whose access is taken back, as in user=request.user")
    return {"user": name}
