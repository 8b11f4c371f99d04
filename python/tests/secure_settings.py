"""A project that publishes by HTTPS to its own push server."""

from __future__ import annotations

from tests.settings import *  # noqa: F403

PUSH_SERVER = {"publisher_host": {"location": "127.0.0.1:8001", "secure": True}}
