"""The module at signed URLs: which tokens it shows, what it does when they are refused, and that it
never asks over and over."""

from __future__ import annotations

import functools
import json

import pytest
from django.core import signing

from tests.browser.plan import message
from tests.browser.streams import EXPIRED, StreamServer
from tests.browser.test_streams import last_error, states, values
from tests.stub import Answer

sign = functools.partial(signing.dumps, salt="pushserver.channel")

# Subscribes names to URLs; `renew` gives each name the next of its URLs, and counts.
SUBSCRIBE = """
    window.renewed ??= [];
    const [channels, urls] = arguments;
    const renew = async (name) => {
        renewed.push(name);
        return urls[name].shift();
    };
    updates.subscribe(channels, urls && {renew});
"""
RENEWED = "return window.renewed"


@pytest.fixture
def server(live_server):
    with StreamServer(live_server.url) as started:
        yield started


@pytest.fixture
def open_page(page):
    return lambda **query: page("-", scripts="", **query)


def token(channel, expires=60, user="42"):
    return sign({"c": channel, "e": expires, "u": user})


def expire(server, *tokens):
    """The tokens end while streams are open."""
    server.expired.update(tokens)
    server.send("event: push:end\ndata: 401 Unauthorized\n\n")
    server.cut(reset=False)


def test_urls_that_differ_in_channel_and_token_are_one_request(open_page, server, wait_for):
    browser = open_page()
    tokens = {name: token(name) for name in "abc"}
    urls = {name: server.url(name, token=tokens[name]) for name in "abc"}
    browser.run(SUBSCRIBE, urls)
    for value, name in enumerate("abc"):
        server.publish(name, value)
    wait_for(lambda: [values(browser, name) for name in "abc"] == [[0], [1], [2]])
    assert len(server.asked) == 1
    assert sorted(server.asked[0].channels) == ["a", "b", "c"]
    assert sorted(server.asked[0].tokens) == sorted(tokens.values())
    assert browser.log() == []


def test_tokens_of_two_users_are_two_requests(open_page, server, wait_for):
    browser = open_page()
    mine, yours = token("a"), token("b", user="43")
    browser.run(SUBSCRIBE, {"a": server.url("a", token=mine), "b": server.url("b", token=yours)})
    wait_for(lambda: server.streams() == 2)
    assert {*(tuple(asked.tokens) for asked in server.asked)} == {(mine,), (yours,)}


@pytest.mark.parametrize("by_stream", [True, False])
def test_an_expired_token_is_renewed_and_no_update_lost(open_page, server, wait_for, by_stream):
    browser = open_page()
    old, new = token("a"), token("a", expires=61)
    urls = {"a": [server.url("a", token=new)]}
    browser.run(SUBSCRIBE, {"a": server.url("a", token=old)}, urls)
    server.publish("a", 1)
    wait_for(lambda: values(browser, "a") == [1])
    server.expired.add(old)
    if by_stream:
        expire(server, old)
    else:
        server.cut(reset=False)
    server.publish("a", 2)
    wait_for(lambda: values(browser, "a") == [1, 2])
    server.publish("a", 3)
    wait_for(lambda: values(browser, "a") == [1, 2, 3])
    assert browser.run(RENEWED) == ["a"]
    assert server.asked[-1].tokens == [new]
    assert server.asked[-1].cursor is not None
    assert ("closed", None) not in states(browser, "a")


def test_only_the_name_whose_token_expired_is_renewed(open_page, server, wait_for):
    browser = open_page()
    short, long, new = token("a"), token("b", expires=99), token("a", expires=98)
    channels = {"a": server.url("a", token=short), "b": server.url("b", token=long)}
    browser.run(SUBSCRIBE, channels, {"a": [server.url("a", token=new)], "b": []})
    wait_for(lambda: server.streams() == 1)
    expire(server, short)
    wait_for(lambda: sorted(server.asked[-1].tokens) == sorted([long, new]))
    server.publish("a", 1)
    server.publish("b", 2)
    wait_for(lambda: (values(browser, "a"), values(browser, "b")) == ([1], [2]))
    assert browser.run(RENEWED) == ["a"]


def test_each_time_that_a_token_expires_it_is_renewed(open_page, server, wait_for):
    browser = open_page()
    tokens = [token("a", expires=60 + number) for number in range(4)]
    first, *others = (server.url("a", token=each) for each in tokens)
    browser.run(SUBSCRIBE, {"a": first}, {"a": others})
    for number, one in enumerate(tokens):
        wait_for(lambda one=one: server.streams() == 1 and server.asked[-1].tokens == [one])
        server.publish("a", number)
        wait_for(lambda number=number: values(browser, "a") == [*range(number + 1)])
        if number < 3:
            expire(server, one)
    assert browser.run(RENEWED) == ["a"] * 3


@pytest.mark.parametrize("urls", [[], [None], ["renewed"], ["same"], ["not a:// URL"]])
def test_where_the_new_url_is_refused_too_the_name_is_closed(open_page, server, wait_for, urls):
    browser = open_page()
    old, new = token("a"), token("a", expires=61)
    known = {"renewed": server.url("a", token=new), "same": server.url("a", token=old)}
    server.expired = {old, new}
    urls = [known.get(url, url) for url in urls]
    browser.run(SUBSCRIBE, {"a": server.url("a", token=old)}, {"a": urls})
    wait_for(lambda: states(browser, "a")[-1][0] == "closed")
    assert last_error(browser)
    assert browser.run(RENEWED) == ["a"]
    assert len(server.asked) == 1 + (urls != [] and urls[0] in known.values())
    assert server.held() == 0
    assert "token=" not in last_error(browser)
    assert old not in last_error(browser)


def test_a_renewed_url_may_be_of_another_user_and_place(open_page, server, wait_for, live_server):
    browser = open_page()
    with StreamServer(live_server.url) as other:
        old, new = token("a"), token("a", user="43")
        renewed = {"a": [other.url("a", token=new)]}
        browser.run(SUBSCRIBE, {"a": server.url("a", token=old)}, renewed)
        server.publish("a", 1)
        wait_for(lambda: values(browser, "a") == [1])
        expire(server, old)
        wait_for(lambda: other.streams() == 1)
        assert other.asked[0].cursor is not None
        assert other.asked[0].tokens == [new]
        other.go_on_from(server)
        other.publish("a", 2)
        wait_for(lambda: values(browser, "a") == [1, 2])
        assert "closed" not in [state for state, _ in states(browser, "a")]


def test_a_page_that_gives_no_url_yet_is_waited_for_and_nothing_asked(open_page, server, wait_for):
    browser = open_page()
    short, long = token("a"), token("b", expires=99)
    urls = {"a": server.url("a", token=short), "b": server.url("b", token=long)}
    never = "updates.subscribe(arguments[0], {renew: () => new Promise(() => {})})"
    browser.run(never, urls)
    wait_for(lambda: server.streams() == 1)
    expire(server, short)
    server.publish("b", 1)
    wait_for(lambda: values(browser, "b") == [1])
    assert browser.run("return updates.state('a')") == "connecting"
    assert [ask.tokens for ask in server.asked if short in ask.tokens] == [[short, long]]
    browser.run("updates.unsubscribe('a')")
    assert browser.run("return updates.state('a')") == "closed"


def test_without_renew_an_expired_name_is_closed_with_the_reason(open_page, server, wait_for):
    browser = open_page()
    short, long = token("a"), token("b", expires=99)
    urls = {"a": server.url("a", token=short), "b": server.url("b", token=long)}
    browser.run(SUBSCRIBE, urls)
    wait_for(lambda: server.streams() == 1)
    expire(server, short)
    wait_for(lambda: states(browser, "a")[-1][0] == "closed")
    assert "401" in last_error(browser)
    server.publish("b", 1)
    wait_for(lambda: values(browser, "b") == [1])
    assert server.asked[-1].tokens == [long]


def test_who_is_put_out_stays_out(open_page, server, wait_for):
    browser = open_page()
    browser.run(SUBSCRIBE, {"a": server.url("a", token=token("a"))}, {"a": ["never"]})
    wait_for(lambda: server.streams() == 1)
    server.send("event: push:end\ndata: 403 Forbidden\n\n")
    server.cut(reset=False)
    wait_for(lambda: states(browser, "a")[-1][0] == "closed")
    assert "403 Forbidden" in last_error(browser)
    assert browser.run(RENEWED) == []
    assert len(server.asked) == 1


@pytest.mark.parametrize("script", ["jquery", "module"])
@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_channel_that_is_refused_is_not_asked_for_again(plan, page, wait_for, script, status):
    plan.answers = [message(1), Answer(status, b"not for you"), message(2, etag="1")]
    browser = page("room", scripts=script, pauses="quick")
    if script == "module":
        wait_for(lambda: browser.run("return updates.state('main')") == "closed")
        assert f"{status}: not for you" in last_error(browser)
    else:
        wait_for(lambda: any(str(status) in line for line in warnings(browser)))
    browser.run("dispatchEvent(new Event('online'))")
    browser.run("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    assert browser.run("return window.got[arguments[0]]", script) == [1]
    assert browser.run("return window.pauses") == []
    assert len(plan.times) == 2
    # The page may subscribe again.
    subscribe = "$.updates" if script == "jquery" else "updates"
    name = "main_channel" if script == "jquery" else "main"
    plan.answers = [message(3)]
    browser.run(f"{subscribe}.subscribe({{{name}: arguments[0]}})", f"http://{plan.stub.host}/x")
    wait_for(lambda: browser.run("return window.got[arguments[0]]", script) == [1, 3])
    wait_for(lambda: len(plan.times) == 4)


def warnings(browser):
    """What the script says, which is not what the browser says of requests."""
    return [line for line in browser.log() if "pushserver:" in line]


def test_the_old_script_shows_its_token_and_tells_it_to_nobody(plan, page, wait_for):
    plan.answers = [message(1), Answer(401, b"expired", {"WWW-Authenticate": EXPIRED})]
    browser = page("-", scripts="")
    shown = token("a")
    url = f"http://{plan.stub.host}/updates/a?token={shown}"
    browser.run("$.updates.subscribe({main_channel: arguments[0]})", url)
    said = []
    wait_for(lambda: said.extend(warnings(browser)) or said)
    assert all(f"token={shown}" in request.path for request in plan.stub.requests)
    assert shown not in json.dumps(said)
    assert "401" in said[0]
