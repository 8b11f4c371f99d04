"""The tabs of a browser on the real daemon: their connection breaks, and its holders go."""

from __future__ import annotations

import time

import pytest

from pushserver import hosts
from pushserver.test import PushServer
from pushserver.utils import pool, updates
from tests.browser.test_tabs import Tabs, close, crash, freeze
from tests.faults import Cutter

PART = 50
"""Updates between two faults."""


class Daemon:
    """Where its location for several channels is."""

    def __init__(self, host):
        self.host = host

    def url(self, *channels):
        return f"http://{self.host}/updates?" + "&".join(f"channel={name}" for name in channels)


@pytest.fixture
def cutter(live_server, settings):
    settings.ROOT_URLCONF = "tests.browser.urls"
    locations = [
        {
            "type": "subscriber",
            "url": "/updates",
            "query": "channel",
            "create_on_get": True,
            "allow_origin": live_server.url,
            "allow_credentials": True,
        },
        {"type": "publisher", "url": "/send-update/([^/]+)"},
    ]
    with (
        PushServer(locations=locations),
        Cutter(hosts.explicit_host("publisher_host")[0]) as cutter,
    ):
        yield cutter
    pool.shared.close()


@pytest.fixture
def tabs(browser, cutter, live_server):
    opened = Tabs(browser, Daemon(cutter.host), live_server.url)
    yield opened
    opened.end()


def publish(first):
    for value in range(first, first + PART):
        updates.send_update("ab"[value % 2], {"type": "answer", "value": value})
        if value % 3 == 0:
            time.sleep(0.003)


def test_200_updates_while_connections_break_and_holders_go(tabs, cutter, wait_for):
    ends = [close, crash, freeze]
    opened = [tabs.open("a", "b", pauses="quick") for _ in range(len(ends) + 1)]
    last = opened[-1]
    wait_for(lambda: tabs.states(last)[-1] == ("open", "eventsource"))
    for part, end in enumerate([*ends, None]):
        publish(part * PART)
        cutter.cut(reset=part % 2 == 0)
        cutter.refuse()
        if end is not None:
            end(tabs, opened[part])
        cutter.accept()
        updates.send_update("a", {"type": "answer", "value": f"after fault {part}"})
    updates.send_update("b", {"type": "answer", "value": "last"})
    wait_for(lambda: "last" in tabs.values(last, "b"))
    wait_for(lambda: f"after fault {len(ends)}" in tabs.values(last, "a"))
    assert tabs.values(last, "b") == [*range(1, 4 * PART, 2), "last"]
    assert tabs.values(last, "a") == [
        value
        for part in range(4)
        for value in (*range(part * PART, (part + 1) * PART, 2), f"after fault {part}")
    ]
    assert tabs.gaps(last) == []
