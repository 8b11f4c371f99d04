"""Signals for other applications.

``channel_join``: ``request``, ``channel_id``, ``member``, ``user_id``, ``members``, ``instance``; a
member is there who was not. ``channel_leave``: the same and ``reason``; a member has gone, and has
not come back within ``presence_grace``. ``member`` says who, such as ``u:42``; ``user_id`` is that
of the token, or ``None``; ``members`` is how many there are now; ``instance`` is the run of the
push server. ``presence_reset``: ``request``, ``instance``; the push server has been started, and
tells of everybody anew: what was kept of members is to be cleared.

These three are told again until no receiver has raised, and only while they are still true: a
receiver may hear of one twice.

``channel_subscribe``, ``channel_unsubscribe``: ``request``, ``channel_id``; a browser began or
ended waiting. Both are sent around every update, so receivers should be quick.

``pre_send_update``: ``channel_id``, ``data``, ``already_serialized``, ``request`` (a
``urllib.request.Request`` whose headers may still be changed). ``post_send_update``: the same and
``response``, the push server's answer or the exception that stands for it.
"""

from __future__ import annotations

from django.dispatch import Signal

channel_join = Signal()
channel_leave = Signal()
presence_reset = Signal()

channel_subscribe = Signal()
channel_unsubscribe = Signal()

pre_send_update = Signal()
post_send_update = Signal()
