"""A user's test with a live server and a real browser: page and push server belong together."""

from __future__ import annotations

from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from django.test import override_settings

from pushserver.test import PushServerMixin
from pushserver.utils import updates
from tests import live
from tests.browser.webdriver import Browser
from tests.conftest import wait_until


@override_settings(PUSH_SERVER=live.PUSH_SERVER, ROOT_URLCONF="tests.live_urls")
class LiveTest(PushServerMixin, StaticLiveServerTestCase):
    def test_a_page_is_subscribed_as_the_user_who_is_logged_in(self):
        with Browser() as browser, live.subscribers() as told:
            browser.open(f"{self.live_server_url}/enter")
            browser.open(f"{self.live_server_url}/page?channel=room&scripts=module")
            wait_until(lambda: told)
            assert told == [("room", "ana")]
            updates.send_update("room", {"type": "answer", "value": 42})
            wait_until(lambda: browser.run("return window.got.module") == [42])
            assert [line for line in browser.log() if "favicon.ico" not in line] == []
            browser.open("about:blank")
