"""What several test files need."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pushserver.utils import pool
from tests.stub import Stub


@pytest.fixture
def stub(settings: Any) -> Iterator[Stub]:
    """A server to publish to, set as ``publisher_host``."""
    with Stub() as server:
        settings.PUSH_SERVER = {"publisher_host": server.host}
        yield server
    pool.shared.close()


@pytest.fixture
def wait_for() -> Callable[..., None]:
    """``wait_until``."""
    return wait_until


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Waits until a condition holds, and fails after a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)


@pytest.fixture(autouse=True, scope="session")
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The daemons of tests make their certificate for development there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no setting of the surroundings decides a test."""
    monkeypatch.delenv("PUSH_SERVER_CURRENT_HOST", raising=False)
    logging.getLogger("pushserver").propagate = True
