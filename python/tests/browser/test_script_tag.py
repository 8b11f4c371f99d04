"""`{% pushserver_script %}` in a real browser: updates are events of the document."""

from __future__ import annotations

import threading
import time
from urllib.parse import urlencode

import pytest
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage, staticfiles_storage
from django.template import Context, Template

from pushserver.test import PushServer
from pushserver.utils import pool, updates
from tests.browser.conftest import running_nginx
from tests.browser.streams import StreamServer
from tests.browser.tag_urls import Pages
from tests.browser.test_static_files import NGINX, pages_of
from tests.test_static import collect

MAIN = "{% pushserver_script main='room' %}"
GOT = "return window.got"


@pytest.fixture
def open_page(browser, live_server, settings):
    """Opens a page with this body; the page of the test before is left first."""
    settings.ROOT_URLCONF = "tests.browser.tag_urls"
    Pages.opened = 0
    Pages.loads.clear()

    def open_page(body, **query):
        browser.open(f"{live_server.url}/tag?{urlencode({'body': body, **query})}")
        return browser

    yield open_page
    browser.open("about:blank")
    browser.log()
    pool.shared.close()


@pytest.fixture
def push_server(live_server):
    """The real daemon, which gives a page only what is published from now on unless it says so."""
    with PushServer(live_server.url, locations=locations("newest")) as server:
        yield server


def locations(first_message, **more):
    subscriber = {"type": "subscriber", "url": "/updates", "query": "channel"}
    return [
        subscriber | {"create_on_get": True, "first_message": first_message, **more},
        {"type": "publisher", "url": "/send-update/([^/]+)"},
    ]


@pytest.fixture
def server(live_server, settings):
    """One that counts what it is asked."""
    with StreamServer(live_server.url) as started:
        settings.PUSH_SERVER = {
            "subscriber_host": started.host,
            "locations": [{"type": "subscriber", "url": "/updates", "query": "channel"}],
        }
        yield started


def events(name, *values):
    return [{"name": name, "data": value} for value in values]


def test_any_json_is_an_event_with_the_name_of_its_channel(push_server, open_page, wait_for):
    browser = open_page("{% pushserver_script main='room' other=7 %}")
    sent = [{"type": "answer"}, [1, 2], "text", 0, None, {}]
    for value in sent:
        updates.send_update("room", value)
    updates.send_update(7, "end")
    wait_for(lambda: events("other", "end")[0] in browser.run(GOT))
    assert browser.run(GOT) == events("main", *sent) + events("other", "end")
    assert browser.log() == []


def test_any_name_is_one(push_server, open_page, wait_for):
    names = ["constructor", "__proto__", "toString"]
    tag = " ".join(f"{name}='room'" for name in names)
    browser = open_page(f"{{% pushserver_script {tag} %}}")
    updates.send_update("room", 1)
    wait_for(lambda: sorted(got["name"] for got in browser.run(GOT)) == sorted(names))
    assert browser.log() == []


def test_an_update_that_is_no_json_is_told_of_and_stops_nothing(push_server, open_page, wait_for):
    browser = open_page(MAIN)
    updates.send_update("room", "{", already_serialized=True)
    updates.send_update("room", 1)
    wait_for(lambda: browser.run(GOT) == events("main", 1))
    (line,) = browser.log()
    assert "an update is not JSON" in line


def test_a_page_gets_what_is_published_while_it_is_on_its_way(push_server, open_page, wait_for):
    updates.send_update("room", "old")
    began = time.time()
    wait_for(lambda: time.time() > began + 2.1)  # a URL may begin so much too early
    browser = open_page(MAIN, says="page")
    wait_for(lambda: browser.run(GOT) == events("main", "page 1"))
    began = time.time()
    wait_for(lambda: time.time() > began + 2.1)
    browser.run("location.reload()")
    wait_for(lambda: browser.run(GOT) == events("main", "page 2"))
    assert browser.log() == []


def test_a_listener_that_loads_slowly_misses_nothing(server, browser, open_page, wait_for):
    body = MAIN + "<script type='module' src='/late.js'></script>"
    # A page is open when its scripts are loaded.
    opening = threading.Thread(target=open_page, args=(body,))
    opening.start()
    wait_for(lambda: Pages.opened == 1)
    server.publish("room", 1)
    # Whoever subscribed at once would have the event before there is a listener.
    loading = time.monotonic() + 1
    wait_for(lambda: time.monotonic() > loading)
    Pages.loads.set()
    opening.join()
    wait_for(lambda: browser.run(GOT) != [])
    assert browser.run("return window.late") == browser.run(GOT)


@pytest.mark.parametrize("sources", ["'self'", "'nonce-n'", "'nonce-n' 'strict-dynamic'"])
def test_a_strict_content_security_policy_lets_it_run(push_server, open_page, wait_for, sources):
    connect = updates.subscriber_url("room").partition("/updates")[0]
    policy = f"default-src 'none'; img-src data:; script-src {sources}; connect-src {connect}"
    browser = open_page(MAIN, csp=policy)
    # The page's own inline script needs a nonce, and is not what is tested.
    is_blocked = sources == "'self'"
    browser.log()
    if is_blocked:
        browser.run(
            """
            window.got = [];
            document.addEventListener("pushserver", ({detail}) => got.push(detail));
            """
        )
    updates.send_update("room", 1)
    wait_for(lambda: browser.run(GOT) == events("main", 1))
    assert browser.log() == []


def test_what_is_there_twice_happens_once(server, open_page, wait_for):
    again = "<script type='module' src='{% static \"pushserver/auto.js\" %}?again'></script>"
    browser = open_page(MAIN + MAIN + again + "{% pushserver_script alias='room' %}")
    server.publish("room", 1)
    wait_for(lambda: len(browser.run(GOT)) == 2)
    server.publish("room", 2)
    wait_for(lambda: len(browser.run(GOT)) == 4)
    for name in ("main", "alias"):
        values = [got["data"]["value"] for got in browser.run(GOT) if got["name"] == name]
        assert values == [1, 2]
    assert [asked.channels for asked in server.asked] == [["room"]]
    assert browser.log() == []


def test_a_name_for_two_channels_is_told_of(server, open_page, wait_for):
    browser = open_page(MAIN + "{% pushserver_script main='other' %}")
    server.publish("other", 1)
    server.publish("room", 2)
    wait_for(lambda: [got["data"]["value"] for got in browser.run(GOT)] == [2])
    (line,) = browser.log()
    assert "the name main is given to two channels" in line


MODULES = """
<script type="module">
    import one from "{% static 'pushserver/auto.js' %}";
    import other from "{% static 'pushserver/updates.module.js' %}";

    window.updates = one;
    window.isOne = one === other;
    window.processed = [];
    one.registerProcessor("main", "answer", () => { throw new Error("a processor's fault"); });
    one.registerProcessor("main", "answer", ({value}) => processed.push(value));
    one.subscribe({mine: "{% channel_url 'room' since='now' %}"});
    document.addEventListener("pushserver", () => { throw new Error("a listener's fault"); });
    document.addEventListener("pushserver", ({detail: {data}}) => processed.push(data.value));
</script>
"""


@pytest.mark.parametrize("order", [MAIN + MODULES, MODULES + MAIN])
def test_it_is_one_with_the_modules_of_the_page(server, open_page, wait_for, order):
    browser = open_page(order)
    server.publish("room", 1)
    server.publish("room", 2)
    wait_for(lambda: browser.run("return processed") == [1, 1, 2, 2])
    assert browser.run("return window.isOne")
    # A name that the page itself has subscribed is no name of the tag's.
    assert [got["name"] for got in browser.run(GOT)] == ["main", "main"]
    assert len(server.asked) == 1
    faults = [line for line in browser.log() if "fault" in line]
    assert len(faults) == 4


def test_tabs_share_a_connection_and_each_misses_nothing(server, open_page, wait_for, live_server):
    server.last = True
    browser = open_page(MAIN)
    (first,) = browser.windows()
    wait_for(lambda: server.streams() == 1)
    # Before the other tab has its connection, and behind where its URL begins.
    browser.open_tab(f"{live_server.url}/tag?{urlencode({'body': MAIN})}")
    server.publish("room", 1)
    values = "return got.map(({data}) => data.value)"
    wait_for(lambda: browser.run(values) == [1])
    browser.close_tab()
    browser.switch(first)
    wait_for(lambda: browser.run(values) == [1])
    server.publish("room", 2)
    wait_for(lambda: browser.run(values) == [1, 2])


def test_a_page_that_comes_back_goes_on_where_it_was(server, open_page, wait_for):
    server.last = True
    browser = open_page(MAIN)
    wait_for(lambda: server.streams() == 1)
    browser.run("dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    wait_for(lambda: server.held() == 0)
    server.publish("room", 1)
    browser.run("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    wait_for(lambda: [got["data"]["value"] for got in browser.run(GOT)] == [1])


def test_a_page_whose_token_ends_asks_itself_for_another(
    live_server, settings, open_page, wait_for
):
    settings.PUSH_SERVER_TOKEN_SECONDS = 2
    subscriber, publisher = locations("newest", signed=True)
    with PushServer(live_server.url, locations=[subscriber, publisher]):
        browser = open_page("{% pushserver_script main='room' other='room' %}")
        said = 0

        def is_asked_again():
            nonlocal said
            said += 1
            updates.send_update("room", said)
            return Pages.opened == 2

        wait_for(is_asked_again)
        updates.send_update("room", said + 1)
        for name in ("main", "other"):
            expected = [*range(1, said + 2)]
            wait_for(lambda name=name, expected=expected: data(browser, name) == expected)
        assert Pages.opened == 2


def data(browser, name):
    return [got["data"] for got in browser.run(GOT) if got["name"] == name]


def test_a_channel_that_is_refused_says_why(server, open_page, wait_for):
    server.refused = {"room"}
    browser = open_page(MAIN)
    lines = []
    wait_for(lambda: lines.extend(browser.log()) or any("no more updates" in one for one in lines))
    (line,) = (line for line in lines if "no more updates" in line)
    assert "pushserver: no more updates of main: " in line
    assert "no room for you" in line


STATIC = """<!doctype html>
{{% load static pushserver %}}
<title>Static</title>
<link rel="icon" href="data:,">
{tag}
<script type="module">
    import updates from "{{% static 'pushserver/updates.module.js' %}}";

    window.isOne = updates === globalThis[Symbol.for("pushserver")];
    document.addEventListener("pushserver", ({{detail}}) => {{ window.got = detail; }});
</script>
"""


def test_nothing_but_files_with_hashed_names_is_needed(browser, settings, tmp_path, wait_for):
    collect(settings, tmp_path, ManifestStaticFilesStorage)
    for name in ("auto.js", "updates.module.js", "updates.mjs"):
        (tmp_path / "static" / "pushserver" / name).unlink()
    with running_nginx(tmp_path, NGINX) as host, PushServer(locations=pages_of(host)):
        text = Template(STATIC.format(tag=MAIN)).render(Context())
        assert staticfiles_storage.url("pushserver/auto.js") in text
        (tmp_path / "page.html").write_text(text)
        browser.open(f"http://{host}/page.html")
        updates.send_update("room", 42)
        wait_for(lambda: browser.run("return window.got ?? null") == events("main", 42)[0])
        assert browser.run("return window.isOne")
        assert browser.log() == []
        browser.open("about:blank")
        browser.log()
        pool.shared.close()
