"""``{% load pushserver %}`` for templates."""

from __future__ import annotations

from typing import Any

from django import template

from pushserver import tokens
from pushserver.utils import updates

register = template.Library()


@register.simple_tag(takes_context=True)
def channel_url(
    context: dict[str, Any],
    channel_id: object,
    *more: object,
    expires: int | None = None,
    user: object = tokens.FROM_REQUEST,
    since: object = None,
) -> str:
    """The URL where the page waits for this channel's updates, or those of several channels.

    Each argument is an id, or a list or tuple of ids. Where the location is `signed` the URL has a
    token: ``expires`` and ``user`` are those of ``updates.subscriber_url``. With ``since="now"``
    nothing is missed that is published after the page's request came; see there.
    """
    return updates.url_in_page(
        context.get("request"), (channel_id, *more), expires=expires, user=user, since=since
    )
