#!/usr/bin/env python3
"""Stands in for a daemon: keeps what it was given, says that it listens, and leaves like it."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

if "--version" in sys.argv:
    print("pushserver 0.0.0")
    sys.exit()
given = {"arguments": sys.argv[1:], "settings": json.loads(sys.stdin.readline())}
Path(os.environ["FAKE_DAEMON_GIVEN"]).write_text(json.dumps(given))
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: os._exit(0))
print(f"listening on http://127.0.0.1:{given['settings']['port']}", flush=True)
sys.stdin.read()
