"""A project to be run as a whole: ``tests.project`` starts it."""

from __future__ import annotations

import os
from pathlib import Path

from tests.settings import *  # noqa: F403

DEBUG = True
ROOT_URLCONF = os.environ.get("TEST_URLS", "tests.allrequests_urls")
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(os.environ["TEST_DIRECTORY"], "database"),
    }
}
PUSH_SERVER = {
    "locations": [
        {
            "type": "subscriber",
            "url": "/updates/([^/]+)",
            "create_on_get": True,
            "passthrough": f"http://127.0.0.1:{os.environ['TEST_PORT']}/passthrough",
        },
        {
            "type": "subscriber",
            "prefix": "/elsewhere/",
            "create_on_get": True,
            "passthrough": f"http://{os.environ['TEST_ELSEWHERE']}/passthrough",
            "passthrough_secret": "its-own",
        },
        {"type": "subscriber", "url": "/several", "query": "channel", "create_on_get": True},
        {"type": "publisher", "url": "/send-update/([^/]+)"},
    ],
    # However slow the machine is.
    "limits": {"upstream_wait": 60},
}
