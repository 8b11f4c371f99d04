#!/usr/bin/env python3
"""Makes the module that ships of its parts, which import each other.

    python/client/join.py

One file is what a page has to include: static files with hashes in their names may keep no plain
name that an import could find. A test fails where the file is not what the parts make.
"""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
MODULE = HERE.parent / "pushserver/static/pushserver/updates.module.js"
PARTS = [
    *["updates", "feed", "name", "chase", "tabs", "holder", "connection", "requests"],
    *["waiting", "event_stream", "tokens", "ids"],
]


def joined() -> str:
    """The parts, from the page down to the network, without their imports."""
    parts = [(HERE / f"{part}.mjs").read_text() for part in PARTS]
    return "\n".join(re.sub(r"^import .*\n+", "", part, flags=re.MULTILINE) for part in parts)


if __name__ == "__main__":
    MODULE.write_text(joined())
