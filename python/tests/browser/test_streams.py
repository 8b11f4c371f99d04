"""The module's event streams against a server that fails as each test says."""

from __future__ import annotations

import contextlib
import random
import time

import pytest

from tests.browser.streams import StreamServer


@pytest.fixture
def server(live_server):
    with StreamServer(live_server.url) as started:
        yield started


@pytest.fixture
def open_page(page, server):
    """Opens a page that subscribes to these channels, by their names."""

    def open_page(*channels, **query):
        browser = page("-", scripts="", **query)
        subscribe(browser, server, *channels)
        return browser

    return open_page


def subscribe(browser, server, *channels):
    urls = {channel: server.url(channel) for channel in channels}
    browser.run("updates.subscribe(arguments[0])", urls)


def values(browser, name):
    return browser.run(
        """
        const isIts = ({type, name}) => type === "message" && name === arguments[0];
        return events.filter(isIts).map(({data}) => data.value);
        """,
        name,
    )


def states(browser, name="a"):
    """Each state and its transport."""
    found = browser.run(
        "return events.filter((event) => event.type === 'state' && event.name === arguments[0])",
        name,
    )
    return [(event["state"], event.get("transport")) for event in found]


def gaps(browser):
    return browser.run("return events.filter(({type}) => type === 'gap').map(({missed}) => missed)")


def last_error(browser):
    return browser.run("return events.findLast(({error}) => error)?.error.message ?? null")


def test_one_stream_brings_all_channels_to_their_names(open_page, server, wait_for):
    server.publish("a", 1)
    browser = open_page("a", "b/ž", "c")
    server.publish("b/ž", 2)
    server.publish("a", 3)
    wait_for(lambda: values(browser, "a") == [1, 3])
    wait_for(lambda: values(browser, "b/ž") == [2])
    assert values(browser, "c") == []
    assert len(server.asked) == 1
    assert server.asked[0].stream
    assert sorted(server.asked[0].channels) == ["a", "b/ž", "c"]
    assert states(browser, "c") == [("connecting", None), ("open", "eventsource")]
    assert browser.log() == []


def test_200_updates_through_streams_that_break(open_page, server, wait_for):
    randomness = random.Random(14)

    def some_are_refused(asked, client):
        if randomness.random() < 0.3:
            client.end(reset=randomness.random() < 0.5)
            return True
        return False

    server.fault = some_are_refused
    browser = open_page("a", "b", pauses="quick")
    for value in range(200):
        server.publish("ab"[value % 2], value)
        if randomness.random() < 0.1:
            server.cut(reset=randomness.random() < 0.5)
        elif randomness.random() < 0.3:
            # In the middle of an event, and then no more.
            with contextlib.suppress(OSError):
                server.send('id: 9999999999:0\ndata: {"type": "answer", "val')
            server.cut()
        time.sleep(randomness.uniform(0, 0.02))
    for name, first in (("a", 0), ("b", 1)):
        wait_for(lambda name=name: len(values(browser, name)) >= 100)
        assert values(browser, name) == [*range(first, 200, 2)]
    assert len(server.asked) > 20


def test_the_id_is_handed_on_unread(open_page, server, wait_for):
    browser = open_page("a", "x y", pauses="quick")
    server.publish("x y", 1, gap="3")
    wait_for(lambda: values(browser, "x y") == [1])
    server.cut()
    wait_for(lambda: len(server.asked) == 2)
    cursor = server.asked[1].cursor
    assert cursor.endswith(":0;gap=3;channel=x%20y")
    assert gaps(browser) == [3, 3]  # of whose channel nobody can say


def test_a_gap_of_unknown_size_is_told(open_page, server, wait_for):
    browser = open_page("a")
    server.publish("a", 1, gap="unknown")
    wait_for(lambda: gaps(browser) == [None])


BROKEN_JSON = "{\n"


def test_an_update_of_several_lines_and_one_that_is_no_json(open_page, server, wait_for):
    browser = open_page("a")
    server.publish_text("a", BROKEN_JSON)
    server.publish_text("a", '{\n"type": "answer",\n"value": [1,\n2]\n}')
    wait_for(lambda: values(browser, "a") == [[1, 2]])
    assert any("not JSON" in line for line in browser.log())


def no_streams(asked, client):
    if asked.stream:
        client.answer(406, "no streams here")
    return asked.stream


def other_type(asked, client):
    if asked.stream:
        client.begin_stream("<p>Hello</p>", "text/html")
        client.end()
    return asked.stream


def breaks_at_once(asked, client):
    if asked.stream:
        client.begin_stream("")
        client.end()
    return asked.stream


def buffers(asked, client):
    if asked.stream:
        client.begin_stream("")
        client.wait_for_its_end()
    return asked.stream


def says_nothing(asked, client):
    if asked.stream:
        client.wait_for_its_end()
    return asked.stream


@pytest.mark.parametrize(
    ("fault", "attempts"),
    [(no_streams, 1), (other_type, 1), (breaks_at_once, 2), (buffers, 1), (says_nothing, 2)],
)
def test_polls_where_streams_do_not_work(open_page, server, wait_for, fault, attempts):
    server.publish("a", 1)
    server.fault = fault
    # Those that answer are not hurried.
    short = "10000" if fault in (buffers, says_nothing) else ""
    browser = open_page("a", pauses="quick", short=short)
    server.publish("a", 2)
    wait_for(lambda: values(browser, "a") == [1, 2])
    wait_for(lambda: len(server.asked) == attempts + 3)
    assert [asked.stream for asked in server.asked] == [True] * attempts + [False] * 3
    assert states(browser)[-1] == ("open", "poll")
    # Streams are tried again when the network has changed, and some minutes later.
    server.fault = lambda asked, client: False
    browser.run("dispatchEvent(new Event('online'))")
    server.publish("a", 3)
    wait_for(lambda: server.asked[-1].stream)
    wait_for(lambda: states(browser)[-1] == ("open", "eventsource"))
    assert values(browser, "a") == [1, 2, 3]


def test_streams_are_tried_again_after_five_minutes(open_page, server, wait_for):
    server.fault = no_streams
    browser = open_page("a")
    wait_for(lambda: len(server.asked) == 2)
    server.publish("a", 1)
    wait_for(lambda: len(server.asked) == 3)
    server.fault = lambda asked, client: False
    browser.run(
        "const now = performance.now.bind(performance); performance.now = () => now() + 300001"
    )
    server.publish("a", 2)
    wait_for(lambda: len(server.asked) == 4)
    assert [asked.stream for asked in server.asked] == [True, False, False, True]
    wait_for(lambda: values(browser, "a") == [1, 2])


def test_a_silent_connection_is_dead(open_page, server, wait_for):
    server.ping_s = 1
    server.publish("a", 1)
    browser = open_page("a", short="2500")
    wait_for(lambda: values(browser, "a") == [1])

    def silent(asked, client):
        client.begin_stream(": ping 1\n\n")
        client.wait_for_its_end()
        return True

    count = len(server.asked)
    server.fault = silent
    wait_for(lambda: len(server.asked) >= count + 3)
    server.fault = lambda asked, client: False
    server.publish("a", 2)
    wait_for(lambda: values(browser, "a") == [1, 2])
    assert states(browser) == [("connecting", None), ("open", "eventsource")]


def test_the_server_says_how_long_to_pause(open_page, server, wait_for):
    server.retry_ms = 7000
    browser = open_page("a", pauses="quick")
    wait_for(lambda: states(browser)[-1] == ("open", "eventsource"))
    server.fault = lambda asked, client: client.end() or True
    server.cut()
    pauses = "return window.pauses"
    wait_for(lambda: len(browser.run(pauses)) >= 4)
    for pause, most_ms in zip(browser.run(pauses)[:4], [7000, 14000, 28000, 30000], strict=True):
        assert most_ms / 2 <= pause <= most_ms


@pytest.mark.parametrize("again", [True, False])
def test_a_deleted_channel_ends_unless_it_is_there_again(open_page, server, wait_for, again):
    browser = open_page("a", pauses="quick")
    server.publish("a", 1)
    wait_for(lambda: values(browser, "a") == [1])
    if not again:
        server.fault = lambda asked, client: client.answer(404, "no such channel") or True
    server.send("event: push:end\ndata: 410 Gone\n\n")
    server.cut(reset=False)
    if again:
        server.publish("a", 2)
        wait_for(lambda: values(browser, "a") == [1, 2])
        assert states(browser)[-1] == ("open", "eventsource")
    else:
        wait_for(lambda: states(browser)[-1][0] == "closed")
        assert "answered 404" in last_error(browser)
        assert server.held() == 0


def test_who_is_displaced_stays_away(open_page, server, wait_for):
    browser = open_page("a")
    wait_for(lambda: server.streams() == 1)
    server.send("retry: 86400000\nevent: push:end\ndata: 409 Conflict\n\n")
    server.cut(reset=False)
    wait_for(lambda: states(browser)[-1][0] == "waiting")
    (retry,) = browser.run(
        "return events.filter(({retryMs}) => retryMs).map(({retryMs}) => retryMs)"
    )
    assert 43200000 <= retry <= 86400000


def test_a_stream_of_something_else_is_told(open_page, server, wait_for):
    browser = open_page("a", pauses="endless")
    wait_for(lambda: server.streams() == 1)
    server.send("data: hello\n\n")
    wait_for(lambda: states(browser)[-1][0] == "waiting")
    assert "without an id" in last_error(browser)


def test_events_of_any_name_are_updates_and_empty_ones_are_not(open_page, server, wait_for):
    browser = open_page("a")
    wait_for(lambda: server.streams() == 1)
    server.send("event: ping\ndata: \n\n")  # of Nchan
    server.send('event: push:end\nid: 9:0\ndata: {"value": 1}\n\n')
    wait_for(lambda: values(browser, "a") == [1])


def test_an_id_alone_is_a_cursor(open_page, server, wait_for):
    browser = open_page("a", pauses="quick")
    wait_for(lambda: server.streams() == 1)
    server.send("id: 9:7\n\n")
    server.cut(reset=False)
    wait_for(lambda: len(server.asked) == 2)
    assert server.asked[1].cursor == "9:7"
    server.publish("a", 1)
    wait_for(lambda: values(browser, "a") == [1])


def test_another_channel_goes_on_at_the_same_cursor(open_page, server, wait_for):
    server.publish("b", "stored")
    browser = open_page("a")
    server.publish("a", 1)
    wait_for(lambda: values(browser, "a") == [1])
    subscribe(browser, server, "b")
    wait_for(lambda: values(browser, "b") == ["stored"])
    wait_for(lambda: server.streams() == 1)
    streams = [asked for asked in server.asked if asked.stream]
    assert [sorted(asked.channels) for asked in streams] == [["a"], ["a", "b"]]
    assert streams[1].cursor.endswith(";channel=a")
    # What was stored came by polls, from the beginning.
    polls = [asked for asked in server.asked if not asked.stream]
    assert polls[0].cursor is None
    browser.run("updates.unsubscribe('a')")
    wait_for(lambda: [asked.channels for asked in server.asked if asked.stream][2:] == [["b"]])
    server.publish("a", 2)
    server.publish("b", 3)
    wait_for(lambda: values(browser, "b") == ["stored", 3])
    assert values(browser, "a") == [1]


@pytest.mark.parametrize("transport", ["eventsource", "poll"])
def test_the_others_go_on_without_those_that_are_refused(open_page, server, wait_for, transport):
    server.refused = {"b"}
    server.fault = no_streams if transport == "poll" else server.fault
    browser = open_page("a", "b", "c", pauses="quick")
    wait_for(lambda: states(browser, "b")[-1][0] == "closed")
    assert "no b for you" in last_error(browser)
    server.publish("a", 1)
    server.publish("c", 2)
    wait_for(lambda: (values(browser, "a"), values(browser, "c")) == ([1], [2]))
    assert sorted(server.asked[-1].channels) == ["a", "c"]


def test_all_are_refused(open_page, server, wait_for):
    server.refused = {"a", "b"}
    browser = open_page("a", "b")
    wait_for(lambda: {states(browser, name)[-1][0] for name in "ab"} == {"closed"})
    wait_for(lambda: server.streams() == 0)
    count = len(server.asked)
    assert count == 3
    # They may be asked for again.
    server.refused = set()
    subscribe(browser, server, "a")
    server.publish("a", 1)
    wait_for(lambda: values(browser, "a") == [1])


def test_a_name_of_several_channels(open_page, server, wait_for):
    browser = open_page("c")
    browser.run("updates.subscribe({both: arguments[0]})", server.url("a", "b"))
    wait_for(lambda: server.asked[-1].channels == ["a", "b", "c"])
    for value, channel in enumerate("abc"):
        server.publish(channel, value)
    wait_for(lambda: values(browser, "c") == [2])
    wait_for(lambda: values(browser, "both") == [0, 1])


def test_a_server_that_tells_no_channel(open_page, server, wait_for):
    browser = open_page("a", "b", pauses="endless")
    wait_for(lambda: server.streams() == 1)
    server.send("id: 9:0\ndata: {}\n\n")
    wait_for(lambda: states(browser)[-1][0] == "waiting")
    assert '"query"' in last_error(browser)


def test_polls_alone_if_a_page_wants_that(page, server, wait_for):
    browser = page("-", scripts="")
    browser.run(
        """
        const module = "/static/pushserver/updates.module.js";
        import(module).then(({Updates}) => {
            const updates = new Updates({transports: ["poll"]});
            const keep = ({type, detail}) => events.push({type, ...detail});
            updates.addEventListener("message", keep);
            updates.subscribe({a: arguments[0]});
        });
        """,
        server.url("a"),
    )
    server.publish("a", 1)
    wait_for(lambda: values(browser, "a") == [1])
    wait_for(lambda: len(server.asked) == 2)
    assert not any(asked.stream for asked in server.asked)
