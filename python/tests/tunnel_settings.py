"""A project behind a tunnel, as docs/django.md has it."""

from __future__ import annotations

from tests.allrequests_settings import *  # noqa: F403
from tests.allrequests_settings import PUSH_SERVER

PUSH_SERVER["trusted_proxies"] = ["127.0.0.1"]
PUSH_SERVER["locations"][-1]["secret"] = "hush"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
