"""The secrets of ``PUSH_SERVER``: each a text, or where it stands."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from pushserver.conf import push_server

# Set by `runpushserver` for the Django that it starts behind the daemon.
SECRET_VARIABLE = "PUSH_SERVER_PASSTHROUGH_SECRET"


def passthrough_secrets() -> list[str]:
    """The secrets by which the passthrough view recognises the daemon.

    Raises ``ImproperlyConfigured`` for one that is not where the settings say.
    """
    secrets = [
        secret_of(place["passthrough_secret"], "passthrough_secret")
        for place in push_server()["locations"]
        if place.get("passthrough_secret")
    ]
    secrets.append(os.environ.get(SECRET_VARIABLE, ""))
    return [secret for secret in secrets if secret]


def has_passthrough_secret() -> bool:
    """Whether there is one, though it may stand where only the daemon reads it."""
    given = (place.get("passthrough_secret") for place in push_server()["locations"])
    return any(given) or bool(os.environ.get(SECRET_VARIABLE))


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
