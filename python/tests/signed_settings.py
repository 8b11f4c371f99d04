"""A project whose locations are signed."""

from __future__ import annotations

from tests.settings import *  # noqa: F403

PUSH_SERVER = {
    "locations": [
        {"type": "subscriber", "url": r"/updates/([^/]+)", "signed": True, "create_on_get": True},
        {"type": "publisher", "url": r"/send-update/([^/]+)", "signed": True},
    ]
}
