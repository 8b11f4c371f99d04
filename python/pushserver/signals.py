"""Signals for other applications.

``channel_subscribe``, ``channel_unsubscribe``: ``request``, ``channel_id``; a browser began or
ended waiting. Both are sent around every update, so receivers should be quick.

``pre_send_update``: ``channel_id``, ``data``, ``already_serialized``, ``request`` (a
``urllib.request.Request`` whose headers may still be changed). ``post_send_update``: the same and
``response``, the push server's answer or the exception that stands for it.
"""

from __future__ import annotations

from django.dispatch import Signal

channel_subscribe = Signal()
channel_unsubscribe = Signal()

pre_send_update = Signal()
post_send_update = Signal()
