"""The secrets of ``PUSH_SERVER``: each a text, or where it stands."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from pushserver import keys
from pushserver.conf import push_server


def of_notices() -> list[str]:
    """The secrets by which the passthrough view recognises the daemon.

    Those of the settings, and what the daemon has where they have none. Raises
    ``ImproperlyConfigured`` for one that is not where the settings say.
    """
    given = [
        secret_of(place["passthrough_secret"], "passthrough_secret")
        for place in push_server()["locations"]
        if place.get("passthrough_secret")
    ]
    return [*given, *keys.of_notices()]


def secret_of(value: object, key: str) -> str:
    """A secret: the text itself, or that of ``{"env": "NAME"}`` or ``{"file": "/path"}``.

    Raises ``ImproperlyConfigured`` where it is not there; nothing of it is repeated.
    """
    if not isinstance(value, Mapping):
        return str(value)
    how = "env" if "env" in value else "file"
    try:
        if how == "env":
            text = os.environ[str(value["env"])]
        else:
            # As the daemon reads it: without the line end.
            text = Path(str(value["file"])).read_text(encoding="utf-8")
            text = text.removesuffix("\n").removesuffix("\r")
        if not text:
            raise ValueError
    except (OSError, KeyError, ValueError) as error:
        # What stands there is not repeated: it may be the secret itself.
        why = error.strerror if isinstance(error, OSError) else "it is empty, no text or not there"
        raise ImproperlyConfigured(
            f"PUSH_SERVER: {key}.{how}: the secret cannot be read: {why}"
        ) from None
    return text
