"""Presence: the users whose pages wait for updates, by the signals of the push server.

A page that goes on with another request unsubscribes and subscribes again: one that polls does so
at every update. So the names are sent only if they still differ from those sent last a moment
later; sending them at once would never end.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

from django.dispatch import receiver
from django.http import HttpRequest

from pushserver import signals
from pushserver.utils import updates

ROOM = "room"  # what is said; whoever waits for it is in the room
ONLINE = "online"  # who is in the room
MOMENT_S = 1.0


class Presence:
    """The users who are in the room. Iterates over the names that were sent last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[str] = Counter()
        self._told: list[str] = []
        self._timer: threading.Timer | None = None

    def change(self, name: str, requests: int) -> None:
        """One request more or less."""
        with self._lock:
            # After a reload of this process requests end whose beginning it never saw.
            self._requests[name] = max(0, self._requests[name] + requests)
            if self._timer is None:
                self._timer = threading.Timer(MOMENT_S, self._tell)
                self._timer.daemon = True
                self._timer.start()

    def __iter__(self) -> Iterator[str]:
        return iter(self._told)

    def _tell(self) -> None:
        with self._lock:
            self._timer = None
            self._requests = +self._requests  # without those that are gone
            names = sorted(self._requests)
            changed = names != self._told
            self._told = names
        if changed:
            online = {"type": "online", "names": names}
            updates.send_update(ONLINE, online, ignore_errors=True)


presence = Presence()


@receiver(signals.channel_subscribe)
def subscribed(request: HttpRequest, channel_id: str, **kwargs: Any) -> None:
    if channel_id == ROOM:
        presence.change(request.session.get("name", "Somebody"), +1)


@receiver(signals.channel_unsubscribe)
def unsubscribed(request: HttpRequest, channel_id: str, **kwargs: Any) -> None:
    if channel_id == ROOM:
        presence.change(request.session.get("name", "Somebody"), -1)
