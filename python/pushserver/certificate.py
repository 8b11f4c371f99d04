"""The certificate for development, which the daemon makes and publishing trusts.

``localhost.pem`` of this user is trusted on connections to this machine, beside what the system
trusts: verification is never switched off. ``src/config/development`` makes it.
"""

from __future__ import annotations

import os
import ssl
import stat
from contextlib import suppress
from pathlib import Path

BYTES_MAX = 64 * 1024


def path() -> Path | None:
    """Where the daemon of this user keeps it; ``None`` where nobody can say."""
    state = _absolute("XDG_STATE_HOME")
    home = _absolute("HOME")
    if state is None and home is not None:
        state = home / ".local" / "state"
    return None if state is None else state / "pushserver" / "localhost.pem"


def context() -> ssl.SSLContext:
    """For a connection to this machine: trusts this user's certificate, too, if there is one."""
    made = ssl.create_default_context()
    made.set_alpn_protocols(["http/1.1"])
    if text := _own():
        with suppress(ssl.SSLError):  # no certificate: then the system's alone
            made.load_verify_locations(cadata=text)
    return made


def _own() -> str:
    """The file's text, ``""`` if it is not there or somebody else can have written it."""
    place = path()
    if place is None:
        return ""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(descriptor)
            is_ours = about.st_uid == os.geteuid() and not about.st_mode & 0o022
            if not is_ours or not stat.S_ISREG(about.st_mode):
                return ""
            return file.read(BYTES_MAX).decode("ascii")
    except (OSError, UnicodeError):
        return ""


def _absolute(name: str) -> Path | None:
    place = Path(os.environ.get(name, ""))
    return place if place.is_absolute() else None
