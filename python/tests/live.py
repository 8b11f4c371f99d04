"""What a page of a live server does: it logs in, and waits for an update with its cookies."""

from __future__ import annotations

import contextlib
import http.cookiejar
import threading
import urllib.request
from collections.abc import Iterator

from django.dispatch import receiver

from pushserver import signals
from pushserver.utils import updates
from tests.conftest import wait_until

# As a project's settings have it: the origins, and a passthrough of the project's usual port.
PUSH_SERVER = {
    "locations": [
        {
            "type": "subscriber",
            "prefix": "/updates/",
            "create_on_get": True,
            "allow_origin": ["https://example.com"],
            "passthrough": "http://127.0.0.1:8000/passthrough",
        },
        {"type": "publisher", "prefix": "/send-update/"},
    ]
}


@contextlib.contextmanager
def subscribers() -> Iterator[list[tuple[str, str]]]:
    """The channel and the user of each subscription that the signals tell of."""
    told: list[tuple[str, str]] = []

    @receiver(signals.channel_subscribe)
    def subscribed(request, channel_id, **kwargs):
        told.append((channel_id, str(request.user)))

    try:
        yield told
    finally:
        signals.channel_subscribe.disconnect(subscribed)


def a_logged_in_page_gets_an_update(origin: str) -> None:
    """Keeps cookies as browsers do: those of one host are not sent to another."""
    direct = urllib.request.ProxyHandler({})
    cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    browser = urllib.request.build_opener(direct, cookies)
    with browser.open(f"{origin}/enter", timeout=20) as page:
        channel = page.read().decode()
    answers = []

    def poll():
        request = urllib.request.Request(channel, headers={"Origin": origin})
        with browser.open(request, timeout=20) as response:
            fields = ("Access-Control-Allow-Origin", "Access-Control-Allow-Credentials")
            answers.append((*map(response.headers.get, fields), response.read()))

    with subscribers() as told:
        page = threading.Thread(target=poll)
        page.start()
        try:
            wait_until(lambda: told)
        finally:
            updates.send_update("room", "hello")
            page.join()
    assert told == [("room", "ana")]
    assert answers == [(origin, "true", b'"hello"')]
