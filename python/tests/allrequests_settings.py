"""A project to be run as a whole."""

from __future__ import annotations

import os

from tests.settings import *  # noqa: F403

DEBUG = True
ROOT_URLCONF = "tests.allrequests_urls"
PUSH_SERVER = {
    "locations": [
        {
            "type": "subscriber",
            "prefix": "/updates/",
            "passthrough": f"http://127.0.0.1:{os.environ['TEST_PORT']}/passthrough",
        },
        {
            "type": "subscriber",
            "prefix": "/elsewhere/",
            "passthrough": "http://127.0.0.1:9/passthrough",
            "passthrough_secret": "its-own",
        },
        {"type": "publisher", "prefix": "/send-update/"},
    ]
}
