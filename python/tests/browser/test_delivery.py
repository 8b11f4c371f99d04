"""Through the real push server (and nginx) into a real browser: none lost, repeated, reordered.

The pages are of another origin than the push server, and send cookies.
"""

from __future__ import annotations

import itertools
import random
import re
import time

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.dispatch import receiver
from django.test import Client, override_settings

from pushserver import conf, hosts, signals
from pushserver.listening import Listener
from pushserver.test import PushServer
from pushserver.utils import updates
from tests.browser.conftest import for_pages_of
from tests.faults import Cutter

SCRIPTS = ("jquery", "module")


def answer(value):
    return {"type": "answer", "value": value}


def publish(channel, count, most_s):
    """Updates at random gaps, many of them in one second, some at once."""
    randomness = random.Random(7)
    for value in range(count):
        updates.send_update(channel, answer(value))
        if randomness.random() < 0.6:
            time.sleep(randomness.uniform(0, most_s))


def got(browser, script):
    return browser.run("return window.got[arguments[0]]", script)


# jQuery 3 comes with Django's admin, 4 is newer.
@pytest.mark.parametrize(
    ("relay", "jquery"),
    [("pushserver", 3), ("pushserver", 4), ("nginx", 3)],
    indirect=["relay"],
)
def test_200_updates_at_random_gaps(page, relay, wait_for, jquery, live_server):
    scripts = {"jquery": live_server.url + "/jquery4.js"} if jquery == 4 else {}
    channel = f"random gaps, {jquery} ž"
    browser = page(channel, **scripts)
    publish(channel, 200, most_s=0.07)
    updates.send_update(channel, answer("last"))
    for script in SCRIPTS:
        wait_for(lambda script=script: "last" in got(browser, script))
        assert got(browser, script) == [*range(200), "last"]
    states = "return events.map(({transport}) => transport).filter(Boolean)"
    assert set(browser.run(states)) == {"eventsource"}
    assert browser.log() == []


def test_updates_through_connections_that_break(page, relay, wait_for):
    with (
        Cutter(hosts.explicit_host("subscriber_host")[0]) as cutter,
        override_settings(PUSH_SERVER=conf.push_server() | {"subscriber_host": cutter.host}),
    ):
        browser = page("cut")
        for part in range(3):
            publish("cut", 25, most_s=0.02)
            cutter.cut()
            updates.send_update("cut", answer(f"after cut {part}"))
        updates.send_update("cut", answer("last"))
        expected = [value for part in range(3) for value in (*range(25), f"after cut {part}")] + [
            "last"
        ]
        for script in SCRIPTS:
            wait_for(lambda script=script: "last" in got(browser, script), seconds=30)
            assert got(browser, script) == expected


def test_updates_sent_before_the_page_was_open_arrive(page, relay, wait_for):
    for value in range(3):
        updates.send_update("before", answer(value))
    browser = page("before")
    for script in SCRIPTS:
        wait_for(lambda script=script: len(got(browser, script)) == 3)
        assert got(browser, script) == [0, 1, 2]


def test_both_scripts_begin_where_the_page_says(page, push_server, wait_for):
    for value in range(3):
        updates.send_update("since", answer(value))
    _, first = itertools.islice(Listener("since", "oldest").follow(), 2)
    browser = page("since", since=first.id)
    for script in SCRIPTS:
        wait_for(lambda script=script: len(got(browser, script)) == 2)
        assert got(browser, script) == [1, 2]
    assert browser.log() == []


def test_locations_whose_text_browsers_encode(page, live_server, wait_for):
    subscriber, publisher = for_pages_of(live_server)
    text = '/möte ^`{|}"<>/'
    subscriber["url"] = re.escape(text) + "([^/]+)"
    publisher = {"type": "publisher", "prefix": "/käse/"}
    with PushServer(locations=[subscriber, publisher]) as server:
        browser = page("room ž")
        updates.send_update("room ž", answer(1))
        for script in SCRIPTS:
            wait_for(lambda script=script: got(browser, script) == [1])
        # As a page may write it by hand: the browser encodes what it has to.
        browser.run(
            "fetch(arguments[0]).then(answer => { window.status = answer.status })",
            f"{server.url}{text}room ž",
        )
        wait_for(lambda: browser.run("return window.status") == "200")


@pytest.fixture
def events():
    """What signals told: (event, channel id, user name)."""
    told = []

    @receiver(signals.channel_subscribe)
    def subscribed(sender, request, channel_id, **kwargs):
        told.append(("subscribe", channel_id, str(request.user)))

    @receiver(signals.channel_unsubscribe)
    def unsubscribed(sender, request, channel_id, **kwargs):
        told.append(("unsubscribe", channel_id, str(request.user)))

    yield told
    signals.channel_subscribe.disconnect(subscribed)
    signals.channel_unsubscribe.disconnect(unsubscribed)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("script", "secret"), [("jquery", None), ("module", "s3cret")])
def test_signals_have_the_logged_in_user(
    page, live_server, browser, events, wait_for, script, secret
):
    client = Client()
    client.force_login(get_user_model().objects.create_user("ana"))
    browser.open(live_server.url + "/passthrough")  # a cookie needs a page of its host
    name = django_settings.SESSION_COOKIE_NAME
    browser.add_cookie(name, client.cookies[name].value)
    locations = for_pages_of(live_server)
    if secret:
        locations[0]["passthrough_secret"] = secret
    with PushServer(locations=locations):
        page("some channel", scripts=script)
        wait_for(lambda: events == [("subscribe", "some channel", "ana")])
        browser.open("about:blank")  # leaving the page ends its poll
        wait_for(lambda: events[1:] == [("unsubscribe", "some channel", "ana")])
