"""A browser, and what it subscribes to."""

from __future__ import annotations

import contextlib
import copy
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from pushserver.test import PushServer
from pushserver.utils import pool
from tests.browser.plan import Plan
from tests.browser.webdriver import Browser
from tests.ports import own_port
from tests.test_checks import OLD_DOCUMENTATION

NCHAN = """
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr error;
events {{}}
http {{
    access_log off;
    client_body_temp_path tmp;
    proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
"""
NGINX = (
    NCHAN
    + """
    server {{
        listen 127.0.0.1:{port};
        location ~ ^/updates/([^/]+)$ {{
            nchan_subscriber eventsource longpoll;
            nchan_eventsource_ping_interval 25s;
            nchan_eventsource_ping_event "";
            gzip off;
            nchan_channel_id $1;
            nchan_message_buffer_length 1000;
        }}
        location ~ ^/send-update/([^/]+)$ {{
            nchan_publisher;
            nchan_channel_id $1;
            nchan_message_buffer_length 1000;
        }}
    }}
}}
"""
)


@pytest.fixture(scope="session")
def browser(live_server: Any) -> Iterator[Browser]:
    # Of the live server, so that it is gone before the server is.
    with Browser() as started:
        yield started


@pytest.fixture
def page(browser: Browser, live_server: Any, settings: Any) -> Iterator[Any]:
    """Opens a page that subscribes to a channel; the page of the test before is left first."""
    settings.ROOT_URLCONF = "tests.browser.urls"

    def open_page(channel: str, **query: str) -> Browser:
        browser.open(f"{live_server.url}/page?{urlencode({'channel': channel, **query})}")
        return browser

    yield open_page
    browser.open("about:blank")
    browser.log()
    pool.shared.close()


@pytest.fixture
def push_server(live_server: Any) -> Iterator[PushServer]:
    """The real daemon as the old documentation sets it up, for pages of the live server."""
    changed = {"port": 0, "locations": for_pages_of(live_server)}
    with PushServer(**OLD_DOCUMENTATION | changed) as server:
        yield server


def for_pages_of(live_server: Any) -> list[dict[str, Any]]:
    """The old documentation's locations, with the live server for Django."""
    subscriber, publisher = copy.deepcopy(OLD_DOCUMENTATION["locations"])
    subscriber |= {
        "allow_origin": live_server.url,
        "passthrough": live_server.url + "/passthrough",
    }
    return [subscriber, publisher]


@pytest.fixture(params=["pushserver", "nginx"])
def relay(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> Iterator[None]:
    """Development's push server, and production's."""
    if request.param == "pushserver":
        request.getfixturevalue("push_server")
        yield
        return
    with running_nginx(tmp_path, NGINX) as host:
        settings.PUSH_SERVER = {"publisher_host": host, "subscriber_host": host}
        yield


@contextlib.contextmanager
def running_nginx(directory: Path, configuration: str) -> Iterator[str]:
    """nginx with this configuration, whose ``{port}`` is a free one; gives its ``host:port``."""
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    port = own_port()
    (directory / "nginx.conf").write_text(configuration.format(port=port))
    with subprocess.Popen([nginx, "-p", str(directory), "-c", "nginx.conf"]) as process:
        try:
            wait_until_listening(port)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


def wait_until_listening(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert time.monotonic() < deadline, "it does not listen"
            time.sleep(0.01)
        else:
            return


@pytest.fixture
def plan(stub, settings, live_server):
    settings.PUSH_SERVER = {"subscriber_host": stub.host}
    planned = Plan(stub, live_server.url)
    yield planned
    planned.over.set()
