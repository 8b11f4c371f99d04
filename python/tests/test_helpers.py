"""The helpers for users' tests with a live server, as a user has them: in a ``unittest`` class."""

from __future__ import annotations

import threading
import urllib.request

from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from django.dispatch import receiver
from django.test import override_settings

from pushserver import signals
from pushserver.test import PushServerMixin
from pushserver.utils import updates


@override_settings(
    PUSH_SERVER={
        "locations": [
            {
                "type": "subscriber",
                "prefix": "/updates/",
                "create_on_get": True,
                "passthrough": "http://127.0.0.1:8000/passthrough",
            },
            {"type": "publisher", "prefix": "/send-update/"},
        ]
    }
)
class LivePushServerTest(PushServerMixin, StaticLiveServerTestCase):
    host = "127.0.0.1"

    def test_a_page_of_the_live_server_gets_updates_and_signals_are_sent(self):
        told = []
        held = threading.Event()

        @receiver(signals.channel_subscribe)
        def subscribed(request, channel_id, **kwargs):
            told.append((channel_id, request.headers["X-Page"]))
            held.set()

        self.addCleanup(signals.channel_subscribe.disconnect, subscribed)
        self.addCleanup(updates._pool.close)
        headers = {"Origin": self.live_server_url, "X-Page": "7"}
        request = urllib.request.Request(updates.subscriber_url("room"), headers=headers)
        answers = []

        def poll():
            with urllib.request.urlopen(request, timeout=20) as response:
                origin = response.headers["Access-Control-Allow-Origin"]
                answers.append((origin, response.read()))

        page = threading.Thread(target=poll)
        page.start()
        assert held.wait(20)
        updates.send_update("room", "hello")
        page.join()
        assert answers == [(self.live_server_url, b'"hello"')]
        assert told == [("room", "7")]
        assert updates.publisher_url("room").startswith(self.push_server.url)
