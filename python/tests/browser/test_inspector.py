"""The inspector's page: what it shows, that it is safe, and that it can be used by everybody."""

from __future__ import annotations

import http.client
import re
import urllib.parse
from pathlib import Path

import pytest

from pushserver.test import PushServer
from pushserver.utils import updates
from tests.browser.inspector import STATUS, TEXT, Inspector, link_of
from tests.ports import own_port

PAGE = Path(__file__).parents[3] / "src/relay/inspector/page.html"
BYTES_MAX = 40_000
LOCATIONS = [
    {
        "type": "subscriber",
        "prefix": "/updates/",
        "create_on_get": True,
        "transports": ["poll", "eventsource"],
    },
    {"type": "publisher", "prefix": "/send-update/"},
    STATUS,
]
TAB, ENTER, CONTROL, SHIFT = "\ue004", "\ue007", "\ue009", "\ue008"
MARKUP = '<img src=/x onerror="document.title=1"><script>document.title=2</script>"\'&lt;'


@pytest.fixture
def server():
    with PushServer(locations=LOCATIONS, store={"max_messages": 3}) as started:
        yield started


@pytest.fixture
def inspector(browser, server):
    browser.open("about:blank")
    browser.log()
    yield Inspector(browser, link_of(server))
    browser.open("about:blank")
    # Whatever a test did: no error, and nothing that the policy had to keep away.
    assert [line for line in browser.log() if "401 (Unauthorized)" not in line] == []


@pytest.fixture
def poll(server):
    """Subscribes with a client that is no browser; gives what waits for the answer."""
    connections = []

    def start(channel, agent="curl/8.5.0", **headers):
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=20)
        connections.append(connection)
        path = "/updates/" + urllib.parse.quote(channel, safe="")
        connection.request("GET", path, headers={"User-Agent": agent, **headers})
        return connection

    yield start
    for connection in connections:
        connection.close()


# ---- Access ----


def test_the_page_is_small_and_made_of_one_file():
    html = PAGE.read_text()
    assert len(html.encode()) <= BYTES_MAX
    assert re.findall(r"<script[^>]*>|<style[^>]*>|<link[^>]*>", html) == [
        '<link rel="icon" href="data:,">',
        "<style>",
        "<script>",
    ]
    assert not re.search(
        r"""innerHTML|insertAdjacent|document\.write|\beval\b|\son\w+=|style=""", html
    )


def test_the_policy_lets_nothing_in_but_what_the_file_has(inspector):
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(inspector.url).netloc)
    connection.request("GET", "/pushserver/")
    answer = connection.getresponse()
    assert answer.read() == PAGE.read_bytes()
    connection.close()
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    for part in ("default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"):
        assert part in policy
    inspector.open()
    inspector.wait_for_text("No channel yet")
    # A script and a style that somebody brings in do nothing, and the browser says why.
    inspector.browser.run(
        """
        const script = document.createElement("script");
        script.textContent = "document.title = 'taken'";
        document.body.append(script);
        document.body.setAttribute("style", "display: none");
        """
    )
    assert inspector.browser.run("return document.title") != "taken"
    assert inspector.browser.run("return getComputedStyle(document.body).display") == "block"
    refused = [line for line in inspector.browser.log() if "Content Security Policy" in line]
    assert len(refused) == 2


def test_the_token_leaves_the_address_and_is_remembered(inspector):
    entries = "return history.length"
    before = inspector.browser.run(entries)
    inspector.browser.open(inspector.link)
    inspector.wait_for_text("No channel yet")
    assert inspector.browser.run("return location.href") == inspector.url
    assert inspector.browser.run(entries) == before + 1  # no other, which has the token
    inspector.browser.open(inspector.url)
    inspector.wait_for_text("No channel yet")


@pytest.mark.parametrize("pasted", ["link", "token"])
def test_without_a_token_it_can_be_pasted(inspector, pasted):
    browser = inspector.browser
    browser.open(inspector.url)
    browser.run("localStorage.clear()")
    browser.open(inspector.url)
    inspector.wait_for_text("need the token", "runpushserver", selector="#entry")
    assert browser.run("return document.activeElement.id") == "token"
    browser.press(*"wrong", ENTER)
    inspector.wait_for_text("This token is refused", selector="#entry")
    text = {"link": inspector.link, "token": inspector.link.partition("=")[2]}[pasted]
    assert browser.run("return document.activeElement.id") == "token"
    browser.press(*text, ENTER)
    inspector.wait_for_text("No channel yet")
    assert inspector.text("#entry") == ""


# ---- What it shows ----


def test_a_channel_with_who_waits_its_messages_and_what_happens_now(inspector, poll, wait_for):
    waiting = poll("room", "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0")
    inspector.open()
    wait_for(
        lambda: (
            inspector.rows("Channels")[:1] and inspector.rows("Channels")[0][:2] == ["room", "1"]
        )
    )
    inspector.browser.run("document.querySelector('main table a').click()")
    wait_for(lambda: len(inspector.rows("Who waits")) == 1)
    [[_, address, browser, how, _, behind]] = inspector.rows("Who waits")
    assert (address, browser, how, behind) == (
        "127.0.0.1",
        "Firefox 120 on Linux",
        "long poll",
        "nothing",
    )
    updates.send_update("room", {"text": "hello"})
    assert waiting.getresponse().read()
    wait_for(lambda: len(inspector.rows("Messages")) == 1)
    [[_, message, size, body, _]] = inspector.rows("Messages")
    assert (size, body) == ("16 B", '{"text":"hello"}')
    inspector.wait_for_text("1 waited", "still kept", f"was sent {message}")
    inspector.wait_for_text("Channel room", selector="h2")


def test_the_life_of_a_message(inspector, poll, wait_for):
    stays, leaves = poll("room", "stays/1"), poll("room", "leaves/2")
    inspector.open(view="channel", ch="room")
    wait_for(lambda: len(inspector.rows("Who waits")) == 2)
    leaves.close()
    inspector.wait_for_text("leaves 2, 127.0.0.1 left")
    updates.send_update("room", "first")
    stays.getresponse().read()
    assert poll("room", "late/3").getresponse().read() == b'"first"'
    wait_for(lambda: len(inspector.rows("Messages")) == 1)
    inspector.browser.run("document.querySelectorAll('main table')[2].querySelector('a').click()")
    inspector.wait_for_text("1 more took it later", selector=".story")
    said = inspector.text(".story")
    time = r"\d\d:\d\d:\d\d"
    span = r"[\d.]+ m?s"
    assert re.fullmatch(
        rf"published {time}\.\d{{3}} from 127\.0\.0\.1, 7 B of application/json; charset=utf-8 → "
        rf"1 waited, last sent after {span} · "
        rf"1 client \(leaves 2, 127\.0\.0\.1\) had left {span} before and did not come back · "
        r"1 more took it later · still kept",
        said,
    ), said
    taken = [(row[2], row[3]) for row in inspector.rows("Who took it")]
    assert taken == [("stays 1", "waited"), ("late 3", "came later")]
    for text in ("second", "third", "fourth"):
        updates.send_update("room", text)
    inspector.wait_for_text("dropped by max_messages at ", selector=".story")


def test_who_left_is_as_far_behind_as_there_are_messages_since(inspector, poll, wait_for):
    gone = poll("room")
    inspector.open(view="channel", ch="room")
    wait_for(lambda: inspector.rows("Who waits"))
    updates.send_update("room", 1)
    gone.getresponse().read()
    gone.close()
    updates.send_update("room", 2)
    updates.send_update("room", 3)
    wait_for(lambda: inspector.rows("Who waits")[0][4:][1:] == ["2 messages"])
    assert inspector.rows("Who waits")[0][4].startswith("ended")


def test_the_publish_box(inspector, poll, wait_for):
    inspector.open()
    inspector.wait_for_text("No channel yet")
    fill = "[document.forms[2].elements[0].value, document.forms[2].elements[2].value] = arguments"
    inspector.browser.run(fill, "room", "said here")
    inspector.browser.run("document.forms[2].elements[2].focus()")
    inspector.browser.press(CONTROL + ENTER)
    inspector.wait_for_text("nobody waits for it now (202)", selector="output")
    wait_for(lambda: [row[0] for row in inspector.rows("Channels")] == ["room"])
    assert poll("room").getresponse().read() == b"said here"
    waiting = poll("other")
    wait_for(lambda: len(inspector.rows("Channels")) == 2)
    inspector.browser.run(fill, "other", "and here")
    inspector.browser.press(CONTROL + ENTER)
    assert waiting.getresponse().read() == b"and here"
    inspector.wait_for_text("somebody waited for it (201)", selector="output")


def test_ten_thousand_channels_come_in_pages_and_are_found_by_their_beginning(
    inspector, server, wait_for
):
    publish_many(server, [f"c{number}" for number in range(10_000)])
    inspector.open()
    wait_for(lambda: len(inspector.rows("Channels")) == 100)
    inspector.wait_for_text("100 channels on this page")
    first = inspector.rows("Channels")
    inspector.browser.run("document.querySelector('main > p a').click()")
    wait_for(lambda: len(inspector.rows("Channels")) == 100 and inspector.rows("Channels") != first)
    inspector.browser.back()
    wait_for(lambda: inspector.rows("Channels") == first)
    inspector.browser.run("document.querySelector('input[type=search]').focus()")
    inspector.browser.press(*"c777")
    wait_for(lambda: len(inspector.rows("Channels")) == 11)
    assert inspector.browser.run("return location.hash") == "#view=channels&prefix=c777"
    # What was published is more than is recorded; of it, the newest are shown.
    inspector.go(view="live")
    wait_for(lambda: len(inspector.rows("What happens")) == 200)
    assert inspector.rows("What happens")[0][1] == "c9999"


def publish_many(server, channels):
    """One message for each, on one connection."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=20)
    for channel in channels:
        connection.request("POST", f"/send-update/{channel}", b"x")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 202
    connection.close()


def test_the_rates_are_drawn(inspector, wait_for):
    inspector.open()
    labels = (
        "return [...document.querySelectorAll('svg')].map((svg) => svg.getAttribute('aria-label'))"
    )
    wait_for(lambda: all("in 2 minutes" in label for label in inspector.browser.run(labels)))
    updates.send_update("room", 1)
    wait_for(lambda: "at most 0/s" not in inspector.browser.run(labels)[0])
    assert [label.split(":")[0] for label in inspector.browser.run(labels)] == [
        "published",
        "delivered",
        "held",
        "turn",
    ]


# ---- Links, and what comes and goes ----


def test_a_channel_can_be_bookmarked_and_the_back_button_goes_back(inspector, wait_for):
    updates.send_update("a&b=c#d", 1)
    inspector.open()
    inspector.wait_for_text("a&b=c#d")
    inspector.browser.run("document.querySelector('main table a').click()")
    inspector.wait_for_text("Channel a&b=c#d", selector="h2")
    bookmark = inspector.browser.run("return location.href")
    inspector.browser.back()
    inspector.wait_for_text("Channels", selector="h2")
    inspector.browser.open("about:blank")
    inspector.browser.open(bookmark)
    inspector.wait_for_text("Channel a&b=c#d", selector="h2")
    wait_for(lambda: inspector.rows("Messages"))


def test_it_says_that_the_server_is_away_and_goes_on_with_the_next_one(browser):
    port = own_port()
    with PushServer(locations=LOCATIONS, port=port) as server:
        inspector = Inspector(browser, link_of(server))
        updates.send_update("before", 1)
        inspector.open()
        inspector.wait_for_text("before")
    inspector.wait_for_text("does not answer at", "Next try in", selector="#trouble")
    with PushServer(locations=LOCATIONS, port=port):
        updates.send_update("after", 1)
        inspector.wait_for_text("after")
        assert inspector.text("#trouble") == ""
        inspector.go(view="live")
        inspector.wait_for_text("after")
        # What the one before had is gone with it.
        assert "before" not in inspector.text()
        browser.open("about:blank")
    browser.log()


def test_it_asks_only_while_it_is_looked_at(inspector, wait_for):
    browser = inspector.browser
    inspector.open(view="live")
    wait_for(lambda: browser.run("return status !== null"))
    # A tab in front hides the others only where there are windows: here the page is told so.
    browser.run(
        """
        Object.defineProperty(document, "visibilityState", {value: "hidden", configurable: true});
        document.dispatchEvent(new Event("visibilitychange"));
        """
    )
    wait_for(lambda: browser.run("return stop.signal.aborted"))
    seen = browser.run("return performance.getEntriesByType('resource').length")
    updates.send_update("room", 1)
    browser.run("return tick()")
    assert browser.run("return performance.getEntriesByType('resource').length") <= seen + 1
    assert inspector.rows("What happens") == []
    browser.run(
        """
        delete document.visibilityState;
        document.dispatchEvent(new Event("visibilitychange"));
        """
    )
    wait_for(lambda: len(inspector.rows("What happens")) >= 1)


# ---- Safe ----


def test_ids_and_bodies_with_markup_are_text(inspector, poll, wait_for):
    poll(MARKUP, agent=MARKUP)
    updates.send_update(MARKUP, MARKUP)
    connection = http.client.HTTPConnection(inspector.url.split("/")[2])
    connection.request("GET", "/nowhere/" + urllib.parse.quote(MARKUP), headers={"Origin": MARKUP})
    connection.getresponse().read()
    connection.close()
    inspector.open()
    wait_for(lambda: [row[0] for row in inspector.rows("Channels")] == [MARKUP])
    inspector.browser.run("document.querySelector('main table a').click()")
    wait_for(lambda: inspector.rows("Messages"))
    assert MARKUP in inspector.text("h2")
    inspector.browser.run("document.querySelectorAll('main table')[2].querySelector('a').click()")
    inspector.wait_for_text("<img src=/x onerror", selector="main pre")
    for view in ("live", "refusals"):
        inspector.go(view=view)
        inspector.wait_for_text("<img src=/x")
    made = "return document.querySelectorAll('img, iframe, object, script, style').length"
    assert inspector.browser.run(made) == 2
    asked = inspector.browser.run(
        "return performance.getEntriesByType('resource').map(({name}) => new URL(name).pathname)"
    )
    names = {"events", "status", "channels", "presence"}
    assert set(asked) <= {f"/pushserver/{name}" for name in names}
    assert inspector.browser.run("return document.title").endswith("pushserver inspector")


# ---- For everybody ----

# By their titles.
VIEWS = {
    "Channels": {"view": "channels"},
    "Live": {"view": "live"},
    "Refusals": {"view": "refusals"},
    "Channel room": {"view": "channel", "ch": "room"},
}


@pytest.fixture
def busy(inspector, server, poll, wait_for):
    """The page of a server at which something happened, and something went wrong."""
    poll("room")
    updates.send_update("room", {"text": "hello"})
    poll("room", **{"If-None-Match": "x"})
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=20)
    connection.request("GET", "/update/room")
    assert connection.getresponse().status == 404
    connection.close()
    inspector.open()
    wait_for(lambda: inspector.fault()["fix"])
    return inspector


CONTROLS = {
    "button", "link", "textbox", "searchbox", "combobox", "checkbox", "image", "table", "region",
    "form", "navigation", "search",
}  # fmt: skip


@pytest.mark.parametrize("title", VIEWS)
def test_every_control_has_a_name_and_every_table_a_caption(busy, title):
    busy.go(**VIEWS[title])
    busy.wait_for_text(title, selector="h2")
    tree = busy.browser.command("Accessibility.getFullAXTree")["nodes"]
    shown = [node for node in tree if not node.get("ignored")]
    named = {
        (node["role"]["value"], node.get("name", {}).get("value", "").strip())
        for node in shown
        if node["role"]["value"] in CONTROLS
    }
    assert {role for role, _ in named} >= {"link", "button", "table", "navigation"}
    assert [role for role, name in named if not name] == []
    assert busy.browser.run(
        """
        return [...document.querySelectorAll("th")].every((one) => one.scope === "col")
            && [...document.querySelectorAll("table")].every((one) => one.caption.textContent);
        """
    )


def test_all_of_it_by_keyboard(busy, wait_for):
    browser = busy.browser
    here = """
        const at = document.activeElement;
        return at.labels?.[0]?.textContent ?? at.getAttribute("aria-label") ?? at.textContent;
    """

    def step_to(name, *keys):
        for _ in range(60):
            browser.press(*(keys or (TAB,)))
            if (browser.run(here) or "").startswith(name):
                outline = "return getComputedStyle(document.activeElement).outlineStyle"
                assert browser.run(outline) != "none"
                return
        raise AssertionError(f"{name} is not reached")

    step_to("Copy the fix")
    browser.press(ENTER)
    wait_for(lambda: "Copied" in busy.text("#wrong"))
    step_to("All refusals")
    browser.press(ENTER)
    busy.wait_for_text("Refusals", selector="h2")
    step_to("Channels", SHIFT + TAB)
    browser.press(ENTER)
    busy.wait_for_text("Channels", selector="h2")
    wait_for(lambda: busy.rows("Channels"))
    step_to("Ids that begin with")
    browser.press(*"roo")
    step_to("room")
    browser.press(ENTER)
    busy.wait_for_text("Channel room", selector="h2")
    step_to("Body")
    browser.press(CONTROL + "a", *'"typed"', CONTROL + ENTER)
    wait_for(lambda: '"typed"' in [row[3] for row in busy.rows("Messages")])
    step_to(busy.rows("Messages")[0][0])
    browser.press(ENTER)
    busy.wait_for_text("published", "by an inspector", selector=".story")
    busy.wait_for_text('"typed"', selector="pre")


CONTRAST = """
    const light = (color) => {
        const parts = color.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
            .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
    };
    const behind = (element) => {
        const color = getComputedStyle(element).backgroundColor;
        return /, 0\\)$/.test(color) ? behind(element.parentElement) : color;
    };
    return [...document.querySelectorAll("body *:not(script):not(option)")]
        .filter((one) => one.checkVisibility() && one.textContent.trim())
        .map((one) => {
            const [a, b] = [light(getComputedStyle(one).color), light(behind(one))];
            return [one.outerHTML.slice(0, 80), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
        });
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(busy, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    busy.browser.command("Emulation.setEmulatedMedia", features=features)
    try:
        back = busy.browser.run("return getComputedStyle(document.body).backgroundColor")
        assert back == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 22, 26)"}[scheme]
        for title, view in VIEWS.items():
            busy.go(**view)
            busy.wait_for_text(title, selector="h2")
            # WCAG 2.2, 1.4.3.
            pale = [each for each in busy.browser.run(CONTRAST) if each[1] < 4.5]
            assert pale == []
    finally:
        busy.browser.command("Emulation.setEmulatedMedia", features=[])


def test_nothing_jumps_when_something_happens(inspector, poll, wait_for):
    inspector.open(view="channel", ch="room")
    inspector.wait_for_text("There is no such channel now")
    inspector.browser.run(
        """
        window.jumps = 0;
        new PerformanceObserver((list) => {
            for (const {value} of list.getEntries()) jumps += value;
        }).observe({type: "layout-shift"});
        """
    )
    where = "return document.querySelector('form[aria-label=Publish]').getBoundingClientRect().y"
    before = inspector.browser.run(where)
    for _ in range(3):
        poll("room")
    wait_for(lambda: len(inspector.rows("Who waits")) == 3)
    updates.send_update("room", 1)
    wait_for(lambda: inspector.rows("Messages"))
    wait_for(lambda: "1 message kept" in inspector.text())
    assert inspector.browser.run(where) == before
    assert inspector.browser.run("return jumps") < 0.1


def test_a_button_keeps_the_focus_while_rows_come(busy, wait_for):
    busy.go(view="refusals")
    wait_for(lambda: len(busy.rows("What was refused")) == 2)
    busy.browser.run("document.querySelector('main td button').focus()")
    focused = "return document.activeElement.getAttribute('aria-label')"
    before = busy.browser.run(focused)
    assert before
    host = busy.url.split("/")[2]
    for path in ("/updates/a", "/updates/b", "/updates/room"):
        connection = http.client.HTTPConnection(host)
        # With the port that it came to: a host that is not known.
        connection.request("GET", path, headers={"Host": host.replace("127.0.0.1", "shop.test")})
        connection.getresponse().read()
        connection.close()
    wait_for(lambda: len(busy.rows("What was refused")) == 3)
    assert busy.browser.run(focused) == before
    assert busy.browser.run(TEXT, "main td button") == "Copy"
