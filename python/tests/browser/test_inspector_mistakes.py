"""The mistakes that are made most often, each made by a real page or client: the inspector says
what went wrong, and how to mend it.
"""

from __future__ import annotations

import http.client
import time
from unittest import mock
from urllib.parse import urlsplit

import pytest
from django.core import signing
from django.test import override_settings

from pushserver.test import PushServer
from pushserver.utils import updates
from tests.browser.inspector import STATUS, Inspector, link_of

SUBSCRIBE = "updates.subscribe({room: arguments[0]})"
SUBSCRIBER = {"type": "subscriber", "prefix": "/updates/", "create_on_get": True}
PUBLISHER = {"type": "publisher", "prefix": "/send-update/"}


@pytest.fixture
def mistaken(browser, page, live_server):
    """Starts a server with these locations; a page of the project subscribes to `/updates/room` or
    another path, and stays open in its tab while the inspector is looked at in another."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUST_LOG", "error")
        first = browser.windows()[0]
        servers = []

        def make(*locations, path="/updates/room", origin=None, client=None, **settings):
            server = PushServer(locations=[*locations, STATUS], **settings)
            server.__enter__()
            servers.append(server)
            if client:
                client(server)
            else:
                url = f"{origin or live_server.url}/page?channel=-&scripts="
                browser.open(url)
                browser.run(SUBSCRIBE, server.url + path)
            inspector = Inspector(browser, link_of(server))
            browser.open_tab(inspector.link)
            return inspector

        yield make
        for window in browser.windows():
            if window != first:
                browser.switch(window)
                browser.close_tab()
        browser.switch(first)
        browser.open("about:blank")
        for server in servers:
            server.__exit__(None, None, None)


def wait_for_group(inspector, *said):
    """The view of refusals has one group with all of this."""
    inspector.go(view="refusals")
    inspector.wait_for_text(*said)
    assert len(inspector.rows("What was refused")) == 1


def test_an_origin_that_is_not_listed(mistaken, live_server):
    place = SUBSCRIBER | {"allow_origin": ["https://example.com"]}
    inspector = mistaken(place, PUBLISHER)
    fix = f'add "{live_server.url}" to locations[0].allow_origin'
    assert "allow_origin" in inspector.wait_for_fix(fix)
    wait_for_group(inspector, fix, "/updates/room", live_server.url)


def test_a_page_opened_as_localhost_where_the_setting_says_127_0_0_1(mistaken, live_server):
    place = SUBSCRIBER | {"allow_origin": [live_server.url]}
    inspector = mistaken(place, PUBLISHER, origin=as_localhost(live_server.url))
    fix = "the page is open as localhost, the setting says 127.0.0.1"
    inspector.wait_for_text(fix, selector="#wrong")
    wait_for_group(inspector, fix, as_localhost(live_server.url))


def as_localhost(url):
    return url.replace("127.0.0.1", "localhost")


def test_a_name_that_is_not_among_the_hosts(mistaken):
    def client(server):
        host = f"shop.test:{urlsplit(server.url).port}"
        assert get(server, "/updates/room", Host=host) == 421

    inspector = mistaken(SUBSCRIBER, PUBLISHER, client=client)
    assert "421" in inspector.wait_for_fix('add "shop.test" to hosts')
    wait_for_group(inspector, "shop.test")


def get(server, path, **headers):
    """The status of the answer to a client that is no browser."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_channel_that_nobody_has_published_to(mistaken, live_server):
    place = SUBSCRIBER | {"create_on_get": False, "allow_origin": [live_server.url]}
    inspector = mistaken(place, PUBLISHER)
    fix = "publish first, or set locations[0].create_on_get to true: nobody has published yet"
    assert "404" in inspector.wait_for_fix(fix)
    wait_for_group(inspector, fix, "/updates/room")


def test_a_path_that_no_location_has(mistaken, live_server):
    place = SUBSCRIBER | {"allow_origin": [live_server.url]}
    inspector = mistaken(place, PUBLISHER, path="/update/room")
    # The nearest location, and what differs.
    inspector.wait_for_text("404", "/update/room", "/updates/", selector="#wrong")
    wait_for_group(inspector, "/updates/", "locations[0]")


@pytest.fixture
def signed(live_server):
    return SUBSCRIBER | {"signed": True, "allow_origin": [live_server.url]}


def test_no_token(mistaken, signed):
    inspector = mistaken(signed, PUBLISHER)
    inspector.wait_for_text("401", "no token", "channel_url", selector="#wrong")
    wait_for_group(inspector, "/updates/room")


def test_a_token_that_has_expired(mistaken, signed):
    with mock.patch("time.time", return_value=time.time() - 100):
        token = signing.dumps({"c": "room", "e": 60}, salt="pushserver.channel")
    inspector = mistaken(signed, PUBLISHER, path=f"/updates/room?token={token}")
    said = inspector.wait_for_text("401", "expired", "s ago", selector="#wrong")
    assert token not in said
    wait_for_group(inspector, "expired")


def test_a_token_that_is_signed_with_another_key(mistaken, signed):
    with override_settings(SECRET_KEY="another one"):
        token = signing.dumps({"c": "room", "e": 60}, salt="pushserver.channel")
    inspector = mistaken(signed, PUBLISHER, path=f"/updates/room?token={token}")
    inspector.wait_for_text("401", "another SECRET_KEY?", selector="#wrong")
    wait_for_group(inspector, "SECRET_KEY")


def test_a_token_of_another_channel(mistaken, signed):
    token = signing.dumps({"c": "kitchen", "e": 60}, salt="pushserver.channel")
    inspector = mistaken(signed, PUBLISHER, path=f"/updates/room?token={token}")
    inspector.wait_for_text("401", "kitchen", selector="#wrong")
    wait_for_group(inspector, "kitchen")


def test_a_publisher_whose_address_is_not_allowed(mistaken):
    def client(server):
        with pytest.raises(OSError, match="403"):
            updates.send_update("room", "hello")

    inspector = mistaken(SUBSCRIBER, PUBLISHER | {"allow": ["192.0.2.0/24"]}, client=client)
    inspector.wait_for_text("403", "127.0.0.1", "locations[1].allow", selector="#wrong")
    wait_for_group(inspector, "POST /send-update/room", "locations[1].allow")


@pytest.mark.parametrize(
    ("there", "here", "key", "stores"),
    [
        ({"channel_group": "a"}, {}, "channel_group", {}),
        ({"store": "b"}, {"store": "a"}, "store", {"store": {"a": {}, "b": {}}}),
    ],
)
def test_a_publisher_of_another_group_or_store(mistaken, live_server, there, here, key, stores):
    place = SUBSCRIBER | here | {"allow_origin": [live_server.url]}
    inspector = mistaken(place, PUBLISHER | there, **stores)
    what = key.removeprefix("channel_")
    inspector.go(view="live")
    inspector.wait_for_text("waits")
    updates.send_update("room", "hello")
    fix = (
        f"give the subscriber's and the publisher's location the same {key}: publishes go to "
        f'{what} "{there[key]}", this page waits in "{here.get(key, "")}"'
    )
    inspector.wait_for_fix(fix)
    wait_for_group(inspector, "do not reach", live_server.url)


def test_a_passthrough_that_is_answered_403(mistaken, live_server, monkeypatch):
    notice = {"passthrough": f"{live_server.url}/passthrough", "passthrough_secret": "ours"}
    # The project's settings are others than the daemon's.
    monkeypatch.setattr("pushserver.secrets.of_notices", lambda: ["theirs"])
    inspector = mistaken(SUBSCRIBER | notice | {"allow_origin": [live_server.url]}, PUBLISHER)
    inspector.wait_for_text("403", "passthrough_secret", selector="#wrong")
    wait_for_group(inspector, f"{live_server.url}/passthrough")
