#!/usr/bin/env python3
"""Makes the two modules that ship of their parts, which import each other.

    python/client/join.py

One file is what a page has to include: static files with hashes in their names may keep no plain
name that an import could find. So auto.js has all of updates.module.js in it; where a page loads
both, they share one object. A test fails where a file is not what the parts make.
"""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
STATIC = HERE.parent / "pushserver/static/pushserver"
PARTS = [
    *["updates", "feed", "name", "chase", "tabs", "holder", "connection", "requests"],
    *["waiting", "event_stream", "tokens", "ids"],
]
# What runs when it is loaded comes behind the classes that it needs.
MODULES = {STATIC / "updates.module.js": PARTS, STATIC / "auto.js": [*PARTS, "auto"]}


def joined(names: list[str]) -> str:
    """The parts, from the page down to the network, without their imports."""
    parts = [(HERE / f"{name}.mjs").read_text() for name in names]
    return "\n".join(re.sub(r"^import .*\n+", "", part, flags=re.MULTILINE) for part in parts)


if __name__ == "__main__":
    for module, names in MODULES.items():
        module.write_text(joined(names))
