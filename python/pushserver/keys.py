"""Keys that Django and the daemon share, derived from ``SECRET_KEY``: nothing has to be configured.

``K(purpose)`` is the key that ``django.core.signing`` itself derives for the salt ``pushserver.`` +
purpose. The daemon gets such keys only, never ``SECRET_KEY``: it checks tokens of channels, and
cannot forge a session. As text a key is base64url without padding.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode

from django.conf import settings
from django.utils.encoding import force_bytes

# Most keys that the daemon verifies with.
KEYS_MAX = 16


def derived(purpose: str, secret_key: str | bytes) -> bytes:
    """``K(purpose)`` of this ``SECRET_KEY``."""
    return hashlib.sha256(f"pushserver.{purpose}signer".encode() + force_bytes(secret_key)).digest()


def text(key: bytes) -> str:
    """The key as settings have it, 43 characters."""
    return urlsafe_b64encode(key).rstrip(b"=").decode()


def of_channels() -> list[bytes]:
    """``K("channel")`` of ``SECRET_KEY``, which signs, and of ``SECRET_KEY_FALLBACKS``.

    Raises ``ImproperlyConfigured`` where ``SECRET_KEY`` is empty.
    """
    return _of_all("channel")


def of_notices() -> list[str]:
    """``K("passthrough")`` as text: what the daemon shows with its notices; that of ``SECRET_KEY``
    first, then those of ``SECRET_KEY_FALLBACKS``, as a daemon started before the change has it.

    Raises ``ImproperlyConfigured`` where ``SECRET_KEY`` is empty.
    """
    return [text(key) for key in _of_all("passthrough")]


def of_status() -> str:
    """``K("status")`` as text: the bearer secret of the status location.

    Raises ``ImproperlyConfigured`` where ``SECRET_KEY`` is empty.
    """
    return text(derived("status", settings.SECRET_KEY))


def _of_all(purpose: str) -> list[bytes]:
    # An empty fallback, as of a variable that is not set, would let everybody sign.
    fallbacks = [each for each in settings.SECRET_KEY_FALLBACKS if each]
    secret_keys = [settings.SECRET_KEY, *fallbacks][:KEYS_MAX]
    return [*dict.fromkeys(derived(purpose, secret_key) for secret_key in secret_keys)]
