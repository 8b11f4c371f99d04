"""Where URLs with `since` begin: alone, together in one connection, in several tabs, and anew."""

from __future__ import annotations

import functools

import pytest
from django.core import signing

from pushserver.test import PushServer
from pushserver.utils import pool, updates
from tests.browser.plan import message
from tests.browser.streams import StreamServer
from tests.browser.test_streams import no_streams, states, values
from tests.browser.test_tabs import Tabs
from tests.stub import Answer

sign = functools.partial(signing.dumps, salt="pushserver.channel")

BEGAN = 1000
"""What the server's clock shows at first."""
STEP = 100
"""Seconds between two messages: clocks may differ by some, within which old ones may come again."""


def after(number):
    """Between the message with this number, counted from 1, and the next."""
    return BEGAN + number * STEP + STEP // 2


@pytest.fixture
def server(live_server):
    with StreamServer(live_server.url) as started:
        started.at = BEGAN
        started.clock = lambda: started.at
        # Without `since` there is nothing that was published before.
        started.last = True
        yield started


@pytest.fixture(params=["eventsource", "poll"])
def transport(request, server):
    if request.param == "poll":
        server.fault = no_streams
    return request.param


@pytest.fixture
def tabs(browser, server, live_server, settings):
    settings.ROOT_URLCONF = "tests.browser.urls"
    opened = Tabs(browser, server, live_server.url)
    yield opened
    opened.end()


def subscribe(browser, server, **beginnings):
    """By the names of the channels; with a digit behind it a name is another one."""
    urls = {name: server.url(name[0], since=since) for name, since in beginnings.items()}
    browser.run("updates.subscribe(arguments[0])", urls)


@pytest.fixture
def open_page(page, server):
    def open_page(**beginnings):
        browser = page("-", scripts="", pauses="quick")
        subscribe(browser, server, **beginnings)
        return browser

    return open_page


def publish(server, *messages):
    for channel, value in messages:
        server.at += STEP
        server.publish(channel, value)


def beginnings(server):
    """Where each request began: its cursor, or what it said of since."""
    asked = [each for each in server.asked if not (server.fault is no_streams and each.stream)]
    return [each.cursor or each.since for each in asked]


def test_a_connection_begins_with_the_first_of_its_urls(open_page, server, transport, wait_for):
    publish(server, ("a", 1), ("b", 2), ("a", 3), ("b", 4))
    browser = open_page(a=after(1), b=after(3))
    wait_for(lambda: (values(browser, "a"), values(browser, "b")) == ([3], [4]))
    assert beginnings(server)[0] == ["1150:0"]
    wait_for(lambda: server.held() == 1)
    # With a cursor it says no more where it began.
    server.cut()
    publish(server, ("b", 5), ("a", 6))
    wait_for(lambda: (values(browser, "a"), values(browser, "b")) == ([3, 6], [4, 5]))
    assert not any(asked.cursor and asked.since for asked in server.asked)
    assert all(isinstance(begin, str) for begin in beginnings(server)[1:])
    assert all(asked.channels == ["a", "b"] for asked in server.asked)


def test_a_name_may_begin_before_those_that_wait_already(open_page, server, transport, wait_for):
    publish(server, ("a", 1), ("a", 2), ("a", 3))
    browser = open_page(a=after(3))
    wait_for(lambda: server.held() == 1)
    subscribe(browser, server, a1=after(1))
    wait_for(lambda: values(browser, "a1") == [2, 3])
    publish(server, ("a", 4))
    wait_for(lambda: (values(browser, "a"), values(browser, "a1")) == ([4], [2, 3, 4]))


def test_a_name_that_joins_later_has_a_beginning_of_its_own(open_page, server, transport, wait_for):
    browser = open_page(a=BEGAN)
    publish(server, ("b", 1), ("b", 2), ("a", 3))
    wait_for(lambda: values(browser, "a") == [3])
    subscribe(browser, server, b=after(1))
    wait_for(lambda: values(browser, "b") == [2])
    publish(server, ("b", 4), ("a", 5))
    wait_for(lambda: (values(browser, "a"), values(browser, "b")) == ([3, 5], [2, 4]))
    assert [] not in beginnings(server)


def test_who_begins_with_nothing_new_asks_nothing_of_its_own(
    open_page, server, transport, wait_for
):
    browser = open_page(a=BEGAN)
    publish(server, ("a", 1), ("b", 2))
    wait_for(lambda: values(browser, "a") == [1])
    subscribe(browser, server, b=after(3))
    publish(server, ("b", 3), ("b", 4))
    # What the shared request brings of before its beginning is not for it.
    wait_for(lambda: values(browser, "b") == [4])
    assert all(asked.cursor or asked.channels == ["a"] for asked in server.asked)
    wait_for(lambda: server.held() == 1)


@pytest.mark.parametrize("ahead", [0, 1, 5])
def test_clocks_that_differ_by_seconds_lose_nothing(open_page, server, wait_for, ahead):
    browser = open_page(a=BEGAN)
    publish(server, ("a", 1))
    wait_for(lambda: values(browser, "a") == [1])
    # The server that writes the URL believes that it is later.
    began = server.at + ahead - 1
    server.publish("b", 2)
    server.publish("b", 3)
    subscribe(browser, server, b=began)
    server.publish("a", 4)
    wait_for(lambda: values(browser, "a") == [1, 4])
    wait_for(lambda: values(browser, "b") == [2, 3])


def test_urls_without_since_are_another_request(open_page, server, wait_for):
    publish(server, ("a", 1), ("a", 2))
    browser = open_page(a=BEGAN, a1=None)
    wait_for(lambda: values(browser, "a") == [1, 2])
    wait_for(lambda: server.streams() == 2)
    publish(server, ("a", 3))
    wait_for(lambda: (values(browser, "a"), values(browser, "a1")) == ([1, 2, 3], [3]))
    assert sorted(beginnings(server)) == [[], ["1000:0"]]


def test_a_since_that_is_none_stops_no_other_name(open_page, server, wait_for):
    def refuses(asked, client):
        if asked.since == ["x"]:
            client.answer(400, "since is no time")
        return asked.since == ["x"]

    server.fault = refuses
    publish(server, ("a", 1), ("a", 2))
    browser = open_page(a=after(1), b="x")
    wait_for(lambda: values(browser, "a") == [2])
    wait_for(lambda: "waiting" in [state for state, _ in states(browser, "b")])


@pytest.mark.parametrize("since", [after(1), None])
def test_a_new_token_changes_nothing_of_the_beginning(open_page, server, wait_for, since):
    browser = open_page()
    server.last = False
    publish(server, ("a", 1), ("a", 2), ("a", 3))
    old, new = (sign({"c": "a", "e": seconds}) for seconds in (60, 61))
    server.expired = {old}
    browser.run(
        "const [a, next] = arguments; updates.subscribe({a}, {renew: () => next});",
        server.url("a", token=old, since=since),
        server.url("a", token=new, since=after(3)),
    )
    wait_for(lambda: values(browser, "a") == ([2, 3] if since else [1, 2, 3]))
    assert [asked.tokens for asked in server.asked] == [[old], [new]]


def test_a_page_that_comes_back_with_nothing_begins_where_it_began(open_page, server, wait_for):
    browser = open_page(a=BEGAN)
    wait_for(lambda: server.streams() == 1)
    browser.run("dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    wait_for(lambda: server.held() == 0)
    publish(server, ("a", 1))
    browser.run("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    wait_for(lambda: values(browser, "a") == [1])


def test_the_next_holder_begins_where_the_first_of_the_tabs_does(tabs, server, wait_for):
    server.fault = no_streams
    server.stalls = lambda asked: True
    publish(server, ("a", 1), ("a", 2), ("a", 3))
    opened = [tabs.open() for _ in range(3)]
    for tab, since in zip(opened, (after(2), after(3), after(1)), strict=True):
        tabs.browser.switch(tab)
        subscribe(tabs.browser, server, a=since)
        first = f"{min(after(2), since)}:0"
        wait_for(lambda first=first: beginnings(server)[-1:] == [[first]])
    tabs.close(opened[0])
    wait_for(lambda: server.held() == 1)
    server.stalls = lambda asked: False
    wait_for(lambda: tabs.values(opened[2], "a") == [2, 3])
    publish(server, ("a", 4))
    wait_for(lambda: tabs.values(opened[2], "a") == [2, 3, 4])
    wait_for(lambda: tabs.values(opened[1], "a") == [4])


def test_the_old_script_says_it_beside_its_cursor(plan, page, wait_for):
    plan.answers = [message(1), Answer(304), message(2, etag="1")]
    browser = page("-", scripts="", pauses="quick")
    url = f"http://{plan.stub.host}/updates/a?since=99"
    browser.run("$.updates.subscribe({main_channel: arguments[0]})", url)
    wait_for(lambda: len(plan.times) == 4)
    assert browser.run("return got.jquery") == [1, 2]
    assert plan.cursors() == [None, "100:0", "100:0", "100:1"]
    assert all("since=99" in request.path for request in plan.stub.requests)


@pytest.mark.parametrize(
    ("script", "kind"), [("jquery", "poll"), ("module", "poll"), ("module", "eventsource")]
)
def test_the_real_daemon_begins_there(live_server, page, wait_for, script, kind):
    locations = [
        {
            "type": "subscriber",
            "url": "/updates/([^/]+)",
            "create_on_get": True,
            "first_message": "newest",
            "transports": [kind],
        },
        {"type": "publisher", "url": "/send-update/([^/]+)"},
    ]
    with PushServer(live_server.url, locations=locations):
        browser = page("-", scripts="")
        url = updates.subscriber_url("room", since="now")
        updates.send_update("room", {"type": "answer", "value": 1})
        names = ["$.updates", "main_channel"] if script == "jquery" else ["updates", "main"]
        browser.run("{}.subscribe({{{}: arguments[0]}})".format(*names), url)
        wait_for(lambda: browser.run("return got[arguments[0]]", script) == [1])
        updates.send_update("room", {"type": "answer", "value": 2})
        wait_for(lambda: browser.run("return got[arguments[0]]", script) == [1, 2])
        pool.shared.close()
