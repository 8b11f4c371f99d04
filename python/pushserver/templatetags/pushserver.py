"""``{% load pushserver %}`` for templates."""

from __future__ import annotations

from typing import Any

from django import template

from pushserver.utils import updates

register = template.Library()


@register.simple_tag(takes_context=True)
def channel_url(context: dict[str, Any], channel_id: object) -> str:
    """The URL where the page waits for this channel's updates."""
    return updates.subscriber_url(channel_id, context.get("request"))
