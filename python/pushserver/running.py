"""Where the push server of this project runs, for commands that are typed beside it.

Most projects set no port. Then `runpushserver` is at 8001, and with `--allrequests` at 8000, which
other processes cannot know.
"""

from __future__ import annotations

import http.client
import os
from contextlib import suppress
from urllib.parse import quote

from pushserver import conf, hosts
from pushserver.utils.pool import shared

TIMEOUT_S = 1.0
HEALTHY = (200, b"ok\n")


def find() -> None:
    """From now on this process takes the push server at the port of `--allrequests` for that of the
    project, where no setting says which it is, and only that one answers.

    What else may listen there, such as a `runserver` alone, says something else of its health.
    """
    if not hosts.is_default_port():
        return
    origin = hosts.publisher_origin()
    if _is_healthy(origin) is not None:
        return
    host, _, _ = origin.removeprefix("http://").rpartition(":")
    found = f"{host}:{conf.ALL_REQUESTS_PORT}"
    if origin.startswith("http://") and _is_healthy(f"http://{found}"):
        os.environ[hosts.HOST_VARIABLE] = found


def _is_healthy(origin: str) -> bool | None:
    """Whether a push server answers; ``None`` where nobody does."""
    prefix = quote(str(conf.status_location().get("prefix", "/")))
    with suppress(OSError, http.client.HTTPException, ValueError):
        answer = shared.get(f"{origin}{prefix}healthz", {}, TIMEOUT_S)
        return (answer.status, answer.body) == HEALTHY
    return None
