"""``{% load pushserver %}`` for templates."""

from __future__ import annotations

from typing import Any

from django import template

from pushserver.utils import updates

register = template.Library()


@register.simple_tag(takes_context=True)
def channel_url(context: dict[str, Any], channel_id: object, *more: object) -> str:
    """The URL where the page waits for this channel's updates, or those of several channels.

    Each argument is an id, or a list or tuple of ids.
    """
    return updates.url_in_page(context.get("request"), channel_id, *more)
