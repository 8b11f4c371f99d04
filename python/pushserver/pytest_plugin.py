"""Fixtures for pytest, which finds them by an entry point of the package.

Unused, they cost nothing: the fixtures import Django, not this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pushserver.test import PushServer, Update


@pytest.fixture
def push_server(request: pytest.FixtureRequest) -> Iterator[PushServer]:
    """The real push server on a free port, and the settings that lead to it.

    If the test has the ``live_server`` of pytest-django, too, its pages may subscribe, with their
    cookies, and a ``passthrough`` leads to it.
    """
    from pushserver.test import PushServer

    url = ""
    if "live_server" in request.fixturenames:
        url = request.getfixturevalue("live_server").url
    with PushServer(live_server_url=url) as server:
        yield server


@pytest.fixture
def captured_updates() -> Iterator[list[Update]]:
    """The updates that the test would have sent, in order; none is sent."""
    from pushserver.test import capture_updates

    with capture_updates() as captured:
        yield captured
