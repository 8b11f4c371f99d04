"""``channel_url("id")`` for Jinja2: put ``pushserver.jinja2.PushServerExtension`` into the
template engine's ``OPTIONS["extensions"]``."""

from __future__ import annotations

from jinja2 import Environment, pass_context
from jinja2.ext import Extension

from pushserver.templatetags.pushserver import channel_url


class PushServerExtension(Extension):
    """Makes ``channel_url`` a global of the environment."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.globals["channel_url"] = pass_context(channel_url)
