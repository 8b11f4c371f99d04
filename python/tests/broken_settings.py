"""A project that can run all commands but Django's own server."""

from __future__ import annotations

import sys

from tests.settings import *  # noqa: F403

if "runserver" in sys.argv:
    raise SystemExit(3)
