"""Presence: the names of the users whose pages wait for updates, kept by the push server."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from pushserver import signals
from pushserver.utils import updates

ROOM = "room"  # what is said; whoever waits for it is in the room
ONLINE = "online"  # who is in the room


def names() -> list[str]:
    """Who is in the room. The page's URLs are signed for a user by this name."""
    return sorted({member.user_id or "Somebody" for member in updates.presence(ROOM)})


# An error here is told to the push server, which asks again.
@receiver([signals.channel_join, signals.channel_leave])
def changed(channel_id: str, **kwargs: Any) -> None:
    if channel_id == ROOM:
        updates.send_update(ONLINE, {"type": "online", "names": names()})
