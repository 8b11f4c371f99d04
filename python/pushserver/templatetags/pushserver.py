"""``{% load pushserver %}`` for templates."""

from __future__ import annotations

from typing import Any

from django import template
from django.http import HttpRequest
from django.template.base import FilterExpression, Parser, Token

from pushserver import tokens
from pushserver.script import EXAMPLE, script
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
        _request(context), (channel_id, *more), expires=expires, user=user, since=since
    )


def _request(context: Any) -> HttpRequest | None:
    """The page's, which is an attribute of the context: `{% include … only %}` and inclusion tags
    leave the variable behind, and not every project has it."""
    return context.get("request") or getattr(context, "request", None)


class ScriptNode(template.Node):
    """``{% pushserver_script %}`` in a template that is compiled."""

    def __init__(self, channels: dict[str, FilterExpression]) -> None:
        self.channels = channels

    def render(self, context: template.Context) -> str:
        channels = {name: value.resolve(context) for name, value in self.channels.items()}
        return script(channels, _request(context), context.get("csp_nonce"))


@register.tag
def pushserver_script(parser: Parser, token: Token) -> ScriptNode:
    """Subscribes the page to channels, without any script of its own.

        {% pushserver_script main="room-7" other=object.pk %}

    Each update is an event of the document, ``pushserver``, whose ``detail`` has the name that is
    given to the channel here and the update: ``{name: "main", data: …}``.
    """
    tag, *arguments = token.split_contents()
    channels: dict[str, FilterExpression] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not (equals and value and name.isidentifier()):
            raise template.TemplateSyntaxError(
                f"{tag}: {argument!r} is not of the form name=channel, {EXAMPLE}; "
                "a name has letters, digits and _, and does not begin with a digit"
            )
        if name in channels:
            raise template.TemplateSyntaxError(
                f"{tag}: two channels have the name {name!r}: give each its own, or a list of ids"
            )
        channels[name] = parser.compile_filter(value)
    if not channels:
        raise template.TemplateSyntaxError(f"{tag}: give each channel a name, {EXAMPLE}")
    return ScriptNode(channels)
