"""``channel_url("id")`` for Jinja2: put ``pushserver.jinja2.PushServerExtension`` into the
template engine's ``OPTIONS["extensions"]``."""

from __future__ import annotations

from jinja2 import Environment, pass_context
from jinja2.ext import Extension
from jinja2.runtime import Context

from pushserver import tokens
from pushserver.utils import updates


class PushServerExtension(Extension):
    """Makes ``channel_url`` a global of the environment."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.globals["channel_url"] = channel_url


@pass_context
def channel_url(
    context: Context,
    channel_id: object,
    *more: object,
    expires: int | None = None,
    user: object = tokens.FROM_REQUEST,
) -> str:
    """The URL where the page waits for this channel's updates, or those of several channels.

    Each argument is an id, or a list or tuple of ids. Where the location is `signed` the URL has a
    token: ``expires`` and ``user`` are those of ``updates.subscriber_url``.
    """
    ids = (channel_id, *more)
    return updates.url_in_page(context.get("request"), ids, expires=expires, user=user)
