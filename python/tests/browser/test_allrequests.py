"""The whole site through the daemon, in a real browser: nothing shows that it stands in front."""

from __future__ import annotations

import http
import json
import threading
from urllib.parse import urlencode

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from pushserver import conf
from pushserver.binary import find_binary
from pushserver.daemon import Daemon
from tests.browser.webdriver import Browser
from tests.ports import own_port
from tests.project import Project

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Django's runserver behind the daemon."""
    account = {
        "DJANGO_SUPERUSER_USERNAME": "ana",
        "DJANGO_SUPERUSER_EMAIL": "ana@example.com",
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
    }
    project = Project(
        tmp_path_factory.mktemp("site"), TEST_URLS="tests.browser.project_urls", **account
    )
    for command in (["migrate", "-v0"], ["createsuperuser", "--noinput", "-v0"]):
        assert project.manage(*command).wait(60) == 0
    with project:
        yield project


@pytest.fixture(scope="module")
def window(site):
    # Of the site, so that it is gone before the site is.
    with Browser() as started:
        yield started


@pytest.fixture
def open_page(site, window):
    """Opens a page of the site; afterwards nothing must have been complained about."""

    def open_page(path):
        window.open(site.url + path)
        return window

    yield open_page
    complaints = [line for line in window.log() if "favicon.ico" not in line]
    window.open("about:blank")
    assert complaints == []


def test_the_admin_with_its_scripts(open_page, wait_for):
    browser = open_page("/admin/")
    browser.run(
        """
        document.querySelector("#id_username").value = "ana";
        document.querySelector("#id_password").value = arguments[0];
        document.querySelector("[type=submit]").click();
        """,
        PASSWORD,
    )
    wait_for(lambda: browser.run("return document.title").startswith("Site administration"))
    assert browser.run("return location.pathname") == "/admin/"

    open_page("/admin/auth/group/add/")
    browser.run(
        """
        document.querySelector("#id_name").value = "friends";
        document.querySelector(".add-row a").click();
        """
    )
    who = "[...document.querySelector('#id_User_groups-0-user').options]"
    wait_for(
        lambda: browser.run("return Boolean(document.querySelector('#id_User_groups-0-user'))")
    )
    browser.run(
        f"""
        {who}.find((option) => option.text === "ana").selected = true;
        document.querySelector("[name=_save]").click();
        """
    )
    wait_for(lambda: browser.run("return document.querySelector('.success') !== null"))
    assert "friends" in browser.run("return document.querySelector('.success').innerText")
    browser.run("document.querySelector('#result_list tbody th a').click()")
    wait_for(lambda: browser.run("return document.querySelector('#id_name')?.value") == "friends")
    assert browser.run(f"return {who}.find((option) => option.selected).text") == "ana"


def test_static_files(open_page, site, wait_for):
    browser = open_page("/admin/login/")
    style = "return getComputedStyle(document.querySelector('#header')).backgroundColor"
    assert browser.run(style) not in ("rgba(0, 0, 0, 0)", "rgb(255, 255, 255)")
    browser.run(
        """
        (async () => {
            const url = "/static/admin/css/base.css";
            const first = await fetch(url, {cache: "no-store"});
            const headers = {"If-Modified-Since": first.headers.get("Last-Modified")};
            const second = await fetch(url, {cache: "no-store", headers});
            window.statuses = [first.status, second.status];
        })();
        """
    )
    wait_for(lambda: browser.run("return window.statuses") == [200, 304])


def test_sessions_cookies_and_redirects(open_page, site):
    for visits, path in enumerate(("/visit", "/hop/path", "/hop/whole"), start=1):
        browser = open_page(path)
        assert browser.run("return location.href") == site.url + "/visit"
        seen = browser.run("return JSON.parse(document.body.innerText)")
        assert seen == {"visits": visits, "from": site.url + "/"}
    cookies = browser.run("return document.cookie")
    assert {"first=1", "second=2"} <= set(cookies.split("; "))


def test_an_upload_and_a_download_of_many_megabytes(open_page, wait_for):
    browser = open_page("/visit")
    browser.run(
        """
        (async () => {
            const sent = new Uint32Array(2 << 20).map((_, index) => index * 2654435761);
            const body = new FormData();
            body.append("file", new Blob([sent]), "numbers.bin");
            const token = document.cookie.match(/csrftoken=(\\w+)/)[1];
            const response = await fetch("/upload", {
                method: "POST", body, headers: {"X-CSRFToken": token},
            });
            const got = new Uint32Array(await response.arrayBuffer());
            window.uploaded = response.ok && got.length === sent.length
                && got.every((value, index) => value === sent[index]);
        })();
        """
    )
    wait_for(lambda: browser.run("return window.uploaded ?? null") is not None)
    assert browser.run("return window.uploaded")


STREAM = """
    window.got = [];
    (async () => {
        const response = await fetch("/stream/plain");
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        for (let piece; !(piece = await reader.read()).done;) {
            got.push(piece.value);
        }
        got.push("end");
    })();
"""
EVENTS = """
    window.got = [];
    const source = new EventSource("/stream/event-stream");
    source.onmessage = (event) => got.push(event.data);
    source.onerror = () => { source.close(); got.push("end"); };
"""


@pytest.mark.parametrize(("kind", "script"), [("plain", STREAM), ("event-stream", EVENTS)])
def test_a_stream_arrives_piece_by_piece(open_page, wait_for, kind, script):
    browser = open_page("/visit")
    browser.run(script)
    expected = []
    for piece in ("one", "two", "three"):
        # The next piece is not made before this one has arrived.
        browser.run("fetch('/more/' + arguments[0])", kind)
        expected.append(piece)
        if piece == "three":
            expected.append("end")
        wait_for(lambda: browser.run("return window.got") == expected)


def test_pages_of_the_same_origin_get_updates(open_page, wait_for):
    browser = open_page("/page?channel=same")
    for value in ("1", "2"):
        browser.run("fetch('/say?to=same&value=' + arguments[0])", value)
        for script in ("jquery", "module"):
            read = "return window.got[arguments[0]]"
            wait_for(
                lambda script=script, read=read, value=value: value in browser.run(read, script)
            )
    assert browser.run("return window.got") == {"jquery": ["1", "2"], "module": ["1", "2"]}
    polls = browser.run(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    origin = browser.run("return location.origin")
    assert all(url.startswith((origin, "data:")) for url in polls)


def test_twelve_tabs_of_three_channels_load_at_once_and_get_every_update(site, window, wait_for):
    def tab_of(number):
        channels = ["all", f"own {number}", f"pair {number // 2}"]
        urls = {name: "/several?" + urlencode({"channel": name}) for name in channels}
        query = urlencode({"channel": "-", "scripts": "", "urls": json.dumps(urls)})
        return f"{site.url}/page?{query}"

    def values(name):
        return window.run(
            """
            const isIts = ({type, name}) => type === "message" && name === arguments[0];
            return (window.events ?? []).filter(isIts).map(({data}) => data.value);
            """,
            name,
        )

    window.open(site.url + "/visit")
    (first,) = window.windows()
    urls = [tab_of(number) for number in range(12)]
    window.run("arguments[0].forEach((url) => open(url, '', 'noopener'))", urls)
    wait_for(lambda: len(window.windows()) == 13)
    opened = {}
    for tab in window.windows():
        window.switch(tab)
        wait_for(lambda: window.run("return document.readyState") == "complete")
        opened[window.run("return location.href")] = tab
    tabs = [opened[url] for url in urls]
    window.switch(first)
    for number in range(12):
        for name in (f"own {number}", f"pair {number // 2}", "all"):
            window.run("fetch(arguments[0])", f"/say?{urlencode({'to': name, 'value': number})}")
    for number, tab in enumerate(tabs):
        window.switch(tab)
        wait_for(lambda: len(values("all")) == 12)
        assert sorted(map(int, values("all"))) == [*range(12)]
        wait_for(lambda number=number: values(f"own {number}") == [str(number)])
        wait_for(lambda number=number: len(values(f"pair {number // 2}")) == 2)
        window.close_tab()
    window.switch(first)
    assert [line for line in window.log() if "favicon.ico" not in line] == []


class EchoServer:
    """Says back what it is told; a context manager."""

    def __init__(self):
        self.closed = []
        self._server = serve(
            self._echo,
            "127.0.0.1",
            0,
            subprotocols=["chat"],
            process_request=self._page,
            max_size=None,
        )

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"
        return self

    def __exit__(self, *exception):
        self._server.shutdown()
        self._thread.join()

    def _page(self, connection, request):
        if "Upgrade" in request.headers:
            return None
        return connection.respond(http.HTTPStatus.OK, "")

    def _echo(self, connection):
        try:
            for message in connection:
                if message == "close":
                    connection.close(4001, "as asked")
                connection.send(message)
        except ConnectionClosed:
            pass
        self.closed.append((connection.protocol.close_code, connection.protocol.close_reason))


def test_web_sockets_pass(window, wait_for):
    with (
        EchoServer() as echo,
        Daemon(
            find_binary(), conf.push_server() | {"port": 0}, ["--allrequests", echo.url]
        ) as daemon,
    ):
        window.open(daemon.url + "/")
        window.run(
            """
            window.got = [];
            window.sockets = ["/first", "/second"].map((path) => {
                const socket = new WebSocket(`ws://${location.host}${path}`, ["other", "chat"]);
                socket.binaryType = "arraybuffer";
                socket.onopen = () => {
                    got.push(socket.protocol);
                    socket.send("ž");
                    socket.send(new Uint8Array(3_000_000));
                };
                socket.onmessage = ({data}) => got.push(data.byteLength ?? data);
                socket.onclose = ({code, reason}) => got.push(`${code} ${reason}`);
                return socket;
            });
            """
        )
        got = "return window.got.map(String).sort()"
        both = ["3000000", "3000000", "chat", "chat", "ž", "ž"]
        wait_for(lambda: window.run(got) == both)
        window.run("sockets[0].send('close'); sockets[1].close(4002, 'enough');")
        wait_for(lambda: window.run(got) == sorted([*both, "4001 as asked", "4002 enough"]))
        wait_for(lambda: sorted(echo.closed) == [(4001, "as asked"), (4002, "enough")])
        assert window.log() == []
        window.open("about:blank")


def test_locations_take_streams_before_the_upstream(window, wait_for):
    location = {"type": "pubsub", "url": "/both/([^/]+)", "create_on_get": True}
    with EchoServer() as echo:
        # Pages of the site itself, whose port is known only now.
        port = own_port()
        origin = f"http://127.0.0.1:{port}"
        settings = {"port": port, "locations": [location | {"allow_origin": origin}]}
        with Daemon(find_binary(), settings, ["--allrequests", echo.url]) as daemon:
            window.open(daemon.url + "/")
            window.run(
                """
                window.got = {events: [], messages: [], echo: []};
                new EventSource("/both/a").onmessage = ({data}) => got.events.push(data);
                const socket = new WebSocket(`ws://${location.host}/both/a`);
                socket.onopen = () => socket.send("to all");
                socket.onmessage = ({data}) => got.messages.push(data);
                const other = new WebSocket(`ws://${location.host}/other`, "chat");
                other.onopen = () => other.send("back");
                other.onmessage = ({data}) => got.echo.push(data);
                """
            )
            expected = {"events": ["to all"], "messages": ["to all"], "echo": ["back"]}
            wait_for(lambda: window.run("return window.got") == expected)
            window.run("fetch('/both/a', {method: 'POST', body: 'more'})")
            expected["events"] += ["more"]
            expected["messages"] += ["more"]
            wait_for(lambda: window.run("return window.got") == expected)
            assert window.log() == []
            window.open("about:blank")
