"""Pages with signed URLs, by the real daemon: tokens end, and are taken back."""

from __future__ import annotations

import pytest

from pushserver.test import PushServer
from pushserver.utils import updates
from tests.browser.test_streams import states, values
from tests.browser.test_tokens_in_pages import RENEWED, SUBSCRIBE

LOCATIONS = [
    {"type": "subscriber", "url": "/updates", "query": "channel", "signed": True},
    {"type": "publisher", "url": r"/send-update/([^/]+)", "signed": True},
]
SECONDS = 2


@pytest.fixture(params=["eventsource", "poll"])
def server(request, live_server):
    subscriber, publisher = LOCATIONS
    more = {"create_on_get": True, "transports": [request.param]}
    with PushServer(live_server.url, locations=[subscriber | more, publisher]) as started:
        yield started


@pytest.fixture
def browser(page):
    return page("-", scripts="")


def say(value):
    updates.send_update("room", {"type": "answer", "value": value})


def test_no_update_is_lost_where_a_token_ends_and_the_page_has_another(server, browser, wait_for):
    first = updates.subscriber_url("room", expires=SECONDS)
    browser.run(SUBSCRIBE, {"room": first}, {"room": [updates.subscriber_url("room")]})
    said = 0
    while browser.run(RENEWED) == []:
        said += 1
        say(said)
    say(said + 1)
    wait_for(lambda: values(browser, "room") == [*range(1, said + 2)])
    assert browser.run(RENEWED) == ["room"]
    assert browser.run("return updates.state('room')") == "open"
    # The browser itself says that there was a 401, and that there are no streams.
    lines = browser.log()
    assert all("401" in line or "406" in line for line in lines), lines


def test_without_another_the_page_is_told_and_asks_no_more(server, browser, wait_for):
    browser.run(SUBSCRIBE, {"room": updates.subscriber_url("room", expires=SECONDS)})
    wait_for(lambda: browser.run("return updates.state('room')") == "closed")
    assert states(browser, "room")[-1][0] == "closed"
    error = "return events.findLast(({error}) => error).error.message"
    assert "401" in browser.run(error)
    assert "token=" not in browser.run(error)


def test_who_is_put_out_is_told_and_stays_out_while_others_go_on(server, browser, wait_for):
    theirs = {"theirs": updates.subscriber_url("room", user=8)}
    urls = {"mine": updates.subscriber_url("room", user=7), **theirs}
    browser.run(SUBSCRIBE, urls, {"mine": ["never"], "theirs": []})
    say(1)
    for name in urls:
        wait_for(lambda name=name: values(browser, name) == [1])
    assert updates.revoke(7) == 1
    wait_for(lambda: browser.run("return updates.state('mine')") == "closed")
    say(2)
    wait_for(lambda: values(browser, "theirs") == [1, 2])
    assert values(browser, "mine") == [1]
    assert browser.run(RENEWED) == []
    assert "403" in browser.run("return events.findLast(({error}) => error).error.message")


def test_a_url_that_is_signed_is_let_in_by_the_old_script_too(live_server, browser, wait_for):
    subscriber, publisher = LOCATIONS
    with PushServer(live_server.url, locations=[subscriber, publisher]):
        subscribe = "$.updates.subscribe({main_channel: arguments[0]})"
        say(1)
        browser.run(subscribe, updates.subscriber_url("room", expires=SECONDS))
        wait_for(lambda: browser.run("return got.jquery") == [1])
        warnings = []
        wait_for(lambda: warnings.extend(browser.log()) or any("401:" in w for w in warnings))
        assert not any("token=" in line for line in warnings if "pushserver:" in line)
