"""A project whose push server is what the test says that starts its command."""

from __future__ import annotations

import json
import os

from tests.settings import *  # noqa: F403

PUSH_SERVER = json.loads(os.environ["TEST_PUSH_SERVER"])
