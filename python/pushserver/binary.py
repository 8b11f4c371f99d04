"""Finds the daemon's binary; never builds or fetches one."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

NAME = "pushserver"
SETTING = "PUSH_SERVER_BINARY"


def find_binary() -> Path:
    """The daemon that belongs to this package.

    ``PUSH_SERVER_BINARY``, in the environment or in the settings, wins; then comes what was
    installed with the package, a checkout's build, and ``PATH`` last.
    """
    given = os.environ.get(SETTING) or getattr(settings, SETTING, None)
    if given:
        if not _is_executable(Path(given)):
            raise ImproperlyConfigured(f"{SETTING} is {str(given)!r}, where there is no program")
        return Path(given)
    for candidate in _candidates():
        if _is_executable(candidate):
            return candidate
    if on_path := shutil.which(NAME):
        return Path(on_path)
    raise ImproperlyConfigured(
        "the push server's binary is not installed: run `pip install .` in the checkout of this "
        f"package, or set {SETTING} to where it is"
    )


def _candidates() -> Iterator[Path]:
    package = Path(__file__).resolve().parent
    yield Path(sysconfig.get_path("scripts"), NAME)
    user_scheme = sysconfig.get_preferred_scheme("user")
    yield Path(sysconfig.get_path("scripts", user_scheme), NAME)
    yield package.parent / "bin" / NAME  # pip install --target
    checkout = package.parent.parent
    if (checkout / "Cargo.toml").is_file():
        target = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
        builds = [checkout / target / profile / NAME for profile in ("release", "debug")]
        # The newest build is the one that the developer works on.
        yield from sorted(filter(_is_executable, builds), key=_built, reverse=True)


def _built(path: Path) -> float:
    return path.stat().st_mtime


def _is_executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
