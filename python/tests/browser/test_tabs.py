"""One connection for all tabs of a browser, whatever becomes of the tab that holds it."""

from __future__ import annotations

import contextlib
import threading

import pytest

from tests.browser.streams import StreamServer
from tests.browser.test_streams import gaps, no_streams, states, subscribe, values


@pytest.fixture
def server(live_server):
    with StreamServer(live_server.url) as started:
        yield started


class Tabs:
    """Tabs of one browser that are closed with the test."""

    def __init__(self, browser, server, url):
        self.browser = browser
        self.server = server
        self._url = url
        self._first = browser.windows()[0]
        self.open_tabs = []

    def open(self, *channels, **query):
        """A new tab that subscribes to these channels, by their names."""
        more = "".join(f"&{name}={value}" for name, value in query.items())
        tab = self.browser.open_tab(f"{self._url}/page?channel=-&scripts={more}")
        self.open_tabs.append(tab)
        subscribe(self.browser, self.server, *channels)
        return tab

    def run(self, tab, script, *arguments):
        self.browser.switch(tab)
        return self.browser.run(script, *arguments)

    def values(self, tab, name):
        self.browser.switch(tab)
        return values(self.browser, name)

    def states(self, tab, name="a"):
        self.browser.switch(tab)
        return states(self.browser, name)

    def gaps(self, tab):
        self.browser.switch(tab)
        return gaps(self.browser)

    def close(self, tab):
        self.open_tabs.remove(tab)
        self.browser.switch(tab)
        self.browser.close_tab()
        self.browser.switch(self._first)

    def crash(self, tab):
        self.open_tabs.remove(tab)
        self.browser.switch(tab)
        with contextlib.suppress(AssertionError):  # nobody is left to answer
            self.browser.command("Page.crash")
        self.browser.switch(self._first)

    def freeze(self, tab, state="frozen"):
        self.browser.switch(tab)
        self.browser.command("Page.setWebLifecycleState", state=state)
        self.browser.switch(self._first)

    def end(self):
        for tab in [*self.open_tabs]:
            self.close(tab)
        self.browser.switch(self._first)
        self.browser.log()


@pytest.fixture
def tabs(browser, server, live_server, settings):
    settings.ROOT_URLCONF = "tests.browser.urls"
    opened = Tabs(browser, server, live_server.url)
    yield opened
    opened.end()


def test_tabs_of_several_channels_have_one_connection(tabs, server, wait_for):
    names = range(3)
    opened = [tabs.open("all", f"own {number}", f"pair {number // 2}") for number in names]
    for number in names:
        server.publish(f"own {number}", number)
        server.publish("all", number)
        server.publish(f"pair {number // 2}", number)
    for number, tab in enumerate(opened):
        wait_for(lambda tab=tab: tabs.values(tab, "all") == [*names])
        assert tabs.values(tab, f"own {number}") == [number]
        assert tabs.states(tab, "all")[-1] == ("open", "eventsource")
    wait_for(lambda: tabs.values(opened[0], "pair 0") == [0, 1])
    wait_for(lambda: tabs.values(opened[2], "pair 1") == [2])
    assert server.streams() == 1
    streams = [asked for asked in server.asked if asked.stream]
    assert sorted(streams[-1].channels) == sorted(
        ["all", "own 0", "own 1", "own 2", "pair 0", "pair 1"]
    )


class Publishing:
    """Publishes numbers on "a" all the time, as a context manager."""

    def __init__(self, server, pause_s=0.01):
        self.count = 0
        self._server = server
        self._pause_s = pause_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._over.set()
        self._thread.join()

    def _run(self):
        while not self._over.wait(self._pause_s):
            self._server.publish("a", self.count)
            self.count += 1


def close(tabs, tab):
    tabs.close(tab)


def leave(tabs, tab):
    tabs.browser.switch(tab)
    tabs.browser.open("about:blank")


def crash(tabs, tab):
    tabs.crash(tab)


def freeze(tabs, tab):
    tabs.freeze(tab)


def break_and_close(tabs, tab):
    tabs.server.cut()
    tabs.close(tab)


@pytest.mark.parametrize("end", [close, leave, crash, freeze, break_and_close])
def test_the_others_lose_nothing_if_the_holder_goes(tabs, server, wait_for, end):
    opened = [tabs.open("a", f"own {number}", pauses="quick") for number in range(3)]
    with Publishing(server) as publishing:
        for holder in opened[:2]:
            seen = publishing.count
            wait_for(lambda seen=seen: publishing.count > seen + 10)
            end(tabs, holder)
            for tab in opened[opened.index(holder) + 1 :]:
                count = publishing.count
                wait_for(lambda tab=tab, count=count: len(tabs.values(tab, "a")) > count)
    last = opened[2]
    wait_for(lambda: len(tabs.values(last, "a")) == publishing.count)
    assert tabs.values(last, "a") == [*range(publishing.count)]
    assert tabs.gaps(last) == []
    wait_for(lambda: server.streams() == 1)
    # What only the tabs wanted that are gone is not asked for any more.
    wait_for(lambda: sorted(server.asked[-1].channels) == ["a", "own 2"])
    if end is freeze:
        tabs.freeze(opened[0], "active")
        wait_for(lambda: len(tabs.values(opened[0], "a")) == publishing.count)
        assert tabs.values(opened[0], "a") == [*range(publishing.count)]
        assert server.streams() == 1


def test_a_tab_that_joins_gets_what_is_stored(tabs, server, wait_for):
    first = tabs.open("a", "other")
    for value in range(5):
        server.publish("a", value)
    server.publish("other", 0)
    wait_for(lambda: tabs.values(first, "other") == [0])
    second = tabs.open("a", "third")
    wait_for(lambda: tabs.values(second, "a") == [0, 1, 2, 3, 4])
    assert tabs.values(second, "other") == []
    # It asks alone only until it has reached the shared place: nothing is held for it.
    wait_for(lambda: server.held() == 1)
    server.publish("a", 5)
    server.publish("third", 6)
    wait_for(lambda: tabs.values(second, "third") == [6])
    assert tabs.values(second, "a") == [0, 1, 2, 3, 4, 5]
    assert tabs.values(first, "a") == [0, 1, 2, 3, 4, 5]
    assert server.streams() == 1


@pytest.mark.parametrize("last", [False, True])
def test_a_tab_that_joins_where_all_has_expired_holds_no_poll(tabs, server, wait_for, last):
    server.last = last
    if not last:
        server.ping_s = 1  # says that there is nothing; else the begin of a stream says so
    first = tabs.open("a", "other")
    wait_for(lambda: server.streams() == 1)
    server.publish("other", 0)
    wait_for(lambda: tabs.values(first, "other") == [0])
    if not last:
        server.forget()
    second = tabs.open("a")
    wait_for(lambda: [asked for asked in server.asked if not asked.stream])
    wait_for(lambda: server.held() == 1)
    server.publish("a", 1)
    wait_for(lambda: tabs.values(second, "a") == [1])
    wait_for(lambda: tabs.values(first, "a") == [1])
    server.publish("a", 2)
    wait_for(lambda: tabs.values(second, "a") == [1, 2])
    wait_for(lambda: server.held() == 1)


OLD = "return window.isOld ?? false"
"""Whether a tab has waited longer than all the pauses that it has."""


@pytest.mark.parametrize("transport", ["eventsource", "poll"])
@pytest.mark.parametrize("kept", [True, False])
def test_silence_does_not_end_a_catching_up(tabs, server, wait_for, transport, kept):
    if transport == "poll":
        server.fault = no_streams
    first = tabs.open("a", "other")
    server.publish("other", 0)
    server.publish("a", 1)
    wait_for(lambda: tabs.values(first, "a") == [1])
    is_slow = True
    # The last message was one of "a": the second tab alone asks for nothing else.
    server.stalls = lambda asked: is_slow and asked.channels == ["a"]
    second = tabs.open("a", short="500,1000", pauses="quick")

    def alone():
        return [asked for asked in server.asked if asked.channels == ["a"]]

    wait_for(lambda: len(alone()) >= 2)
    assert alone()[-1].stream == (transport == "eventsource")
    tabs.run(second, "setTimeout(() => { window.isOld = true; }, 2000)")
    wait_for(lambda: tabs.run(second, OLD))
    assert len(alone()) == 2
    server.publish("a", 2)
    wait_for(lambda: tabs.values(first, "a") == [1, 2])
    if not kept:
        server.forget()
    server.publish("a", 3)
    wait_for(lambda: tabs.values(first, "a") == [1, 2, 3])
    assert tabs.values(second, "a") == []
    is_slow = False
    expected = [1, 2, 3] if kept else [2, 3]
    wait_for(lambda: tabs.values(second, "a") == expected)
    wait_for(lambda: server.held() == 1)


def test_many_tabs_that_join_while_much_is_published(tabs, server, wait_for):
    with Publishing(server, 0.005) as publishing:
        opened = [tabs.open("a", pauses="quick") for _ in range(3)]
        server.cut()
        for tab in opened:
            wait_for(lambda tab=tab: len(tabs.values(tab, "a")) > 100)
    for tab in opened:
        wait_for(lambda tab=tab: len(tabs.values(tab, "a")) == publishing.count)
        assert tabs.values(tab, "a") == [*range(publishing.count)]
    wait_for(lambda: server.streams() == 1)


def test_a_gap_is_told_in_each_tab(tabs, server, wait_for):
    opened = [tabs.open("a"), tabs.open("a")]
    for tab in opened:
        wait_for(lambda tab=tab: tabs.states(tab)[-1][0] == "open")
    server.publish("a", 1, gap="3")
    for tab in opened:
        wait_for(lambda tab=tab: tabs.gaps(tab) == [3])


def test_a_channel_that_is_refused_ends_in_each_tab(tabs, server, wait_for):
    server.refused = {"b"}
    first = tabs.open("a")
    second = tabs.open("a", "b", pauses="quick")
    third = tabs.open("b", pauses="quick")
    for tab in (second, third):
        wait_for(lambda tab=tab: tabs.states(tab, "b")[-1][0] == "closed")
    server.publish("a", 1)
    for tab in (first, second):
        wait_for(lambda tab=tab: tabs.values(tab, "a") == [1])


def test_a_holder_that_does_not_answer_loses_its_place(tabs, server, wait_for):
    stuck = tabs.open("other")
    # As a tab that the system has stopped: it has the lock, and says nothing.
    tabs.run(
        stuck,
        """
        updates.unsubscribe("other");
        const name = `pushserver 2 include channel ${arguments[0]}`;
        navigator.locks.request(name, () => new Promise(() => { window.isHeld = true; }));
        """,
        f"http://{server.host}/updates",
    )
    wait_for(lambda: tabs.run(stuck, "return window.isHeld ?? false"))
    tab = tabs.open("a", short="5000")
    server.publish("a", 1)
    wait_for(lambda: tabs.values(tab, "a") == [1])
    assert server.streams() == 1


def test_a_holder_whose_lock_is_taken_joins_the_others(tabs, server, wait_for):
    first = tabs.open("a")
    server.publish("a", 1)
    wait_for(lambda: tabs.values(first, "a") == [1])
    second = tabs.open("a")
    wait_for(lambda: tabs.values(second, "a") == [1])
    tabs.run(
        second,
        """
        const name = `pushserver 2 include channel ${arguments[0]}`;
        navigator.locks.request(name, {steal: true}, () => new Promise((resolve) => {
            window.giveBack = resolve;
        }));
        """,
        f"http://{server.host}/updates",
    )
    wait_for(lambda: server.streams() == 0)
    tabs.run(second, "window.giveBack()")
    wait_for(lambda: server.streams() == 1)
    server.publish("a", 2)
    for tab in (first, second):
        wait_for(lambda tab=tab: tabs.values(tab, "a") == [1, 2])


@pytest.mark.parametrize("missing", ["locks", "BroadcastChannel"])
def test_without_locks_or_channels_each_tab_is_for_itself(tabs, server, wait_for, missing):
    url = tabs._url
    opened = [tabs.browser.open_tab(f"{url}/page?channel=-&scripts=") for _ in range(2)]
    tabs.open_tabs += opened
    for tab in opened:
        tabs.run(
            tab,
            """
            if (arguments[0] === "locks") {
                Object.defineProperty(navigator, "locks", {value: undefined});
            } else {
                window.BroadcastChannel = undefined;
            }
            """,
            missing,
        )
        subscribe(tabs.browser, server, "a")
    wait_for(lambda: server.streams() == 2)
    server.publish("a", 1)
    for tab in opened:
        wait_for(lambda tab=tab: tabs.values(tab, "a") == [1])
