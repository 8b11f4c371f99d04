"""``channel_url("id")`` and ``pushserver_script(main="id")`` for Jinja2: put
``pushserver.jinja2.PushServerExtension`` into the template engine's ``OPTIONS["extensions"]``."""

from __future__ import annotations

from django.template import TemplateSyntaxError
from django.utils.safestring import SafeString
from jinja2 import Environment, Undefined, pass_context
from jinja2.ext import Extension
from jinja2.runtime import Context

from pushserver.script import script
from pushserver.templatetags.pushserver import channel_url


class PushServerExtension(Extension):
    """Makes ``channel_url`` and ``pushserver_script`` globals of the environment."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.globals["channel_url"] = pass_context(channel_url)
        environment.globals["pushserver_script"] = pushserver_script


@pass_context
def pushserver_script(context: Context, *unnamed: object, **channels: object) -> SafeString:
    """Subscribes the page to channels by name, as Django's tag does."""
    if unnamed:
        raise TemplateSyntaxError(
            "pushserver_script: give each channel a name, "
            'as in {{ pushserver_script(main="room-7") }}'
        )
    missing = {name for name, channel_id in channels.items() if isinstance(channel_id, Undefined)}
    channels |= dict.fromkeys(missing, None)
    return script(channels, context.get("request"), context.get("csp_nonce"))
