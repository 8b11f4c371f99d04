"""The helpers for users' tests with a live server, as users have them: in a ``unittest`` class, and
with pytest."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from django.conf import settings
from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from django.test import override_settings

from pushserver.test import PushServer, PushServerMixin
from pushserver.utils import updates
from tests import live

PYTHON = Path(__file__).parents[1]


@override_settings(PUSH_SERVER=live.PUSH_SERVER, ROOT_URLCONF="tests.live_urls")
class LivePushServerTest(PushServerMixin, StaticLiveServerTestCase):
    def test_a_page_gets_updates_and_signals_see_its_user(self):
        live.a_logged_in_page_gets_an_update(self.live_server_url)
        assert updates.publisher_url("room").startswith(self.push_server.url)


class LivePushServerAtAnAddressTest(LivePushServerTest):
    host = "127.0.0.1"


class InAnotherProcess:
    """As ``ChannelsLiveServerTestCase``."""

    @classmethod
    def setUpClass(cls):
        raise AssertionError("no server is started")

    @property
    def live_server_url(self):
        return "http://localhost:1"


def test_a_live_server_in_another_process_is_refused():
    class Pages(PushServerMixin, InAnotherProcess):
        pass

    with pytest.raises(TypeError, match="Pages: PushServerMixin goes with a live server in this"):
        Pages.setUpClass()


SETTINGS = """
from tests.live import PUSH_SERVER
from tests.settings import *

ROOT_URLCONF = "tests.live_urls"
"""
WITH_PYTEST_DJANGO = """
from pushserver.utils import updates
from tests import live


def test_a_page_of_the_live_server(live_server, push_server):
    live.a_logged_in_page_gets_an_update(live_server.url)
    assert updates.publisher_url("room").startswith(push_server.url)


def test_the_other_order(push_server, live_server):
    assert updates.subscriber_url("room").startswith(live_server.url.rpartition(":")[0])


def test_updates_are_captured(captured_updates):
    updates.send_update("room", {"type": "said"})
    assert captured_updates == [("room", {"type": "said"})]
"""
WITHOUT = """
import urllib.request

from pushserver.utils import updates


def test_there_need_be_no_live_server_and_no_database(push_server):
    updates.send_update("room", 42)
    with urllib.request.urlopen(updates.subscriber_url("room"), timeout=20) as response:
        assert response.read() == b"42"


def test_the_fixture_tells_when_a_page_is_there(push_server):
    push_server.wait_until_subscribed("room", n=0)


def test_updates_are_captured(captured_updates):
    updates.send_update("room", 42)
    assert captured_updates == [("room", 42)]
"""


@pytest.mark.parametrize("arguments", [[], ["--liveserver=127.0.0.1"]])
def test_the_fixtures_beside_pytest_django(tmp_path, arguments):
    said = run_pytest(tmp_path, WITH_PYTEST_DJANGO, *arguments)
    assert "3 passed" in said, said


def test_the_fixtures_without_pytest_django(tmp_path):
    said = run_pytest(tmp_path, WITHOUT, "-p", "no:django")
    assert "3 passed" in said, said


def run_pytest(directory, tests, *arguments):
    """A project of its own, that has the plugin as of the installed package."""
    (directory / "project_settings.py").write_text(SETTINGS)
    (directory / "test_project.py").write_text(tests)
    (directory / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    environment = {
        "PYTHONPATH": os.pathsep.join([str(PYTHON), str(directory)]),
        "DJANGO_SETTINGS_MODULE": "project_settings",
    }
    command = [sys.executable, "-m", "pytest", "-p", "pushserver.pytest_plugin", *arguments]
    done = subprocess.run(
        command,
        cwd=directory,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    return done.stdout


def test_the_plugin_costs_nothing_where_it_is_not_used():
    loaded = (
        "import sys, pushserver.pytest_plugin; print([m for m in sys.modules if 'django' in m])"
    )
    done = subprocess.run(
        [sys.executable, "-c", loaded], cwd=PYTHON, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.fixture
def server():
    with PushServer() as running:
        yield running


def test_it_is_known_when_somebody_is_subscribed(server):
    taken = []

    def subscribe():
        with urlopen(updates.subscriber_url("räum/ 1"), timeout=20) as answer:
            taken.append(answer.read())

    server.wait_until_subscribed("räum/ 1", n=0)
    pages = [threading.Thread(target=subscribe) for _ in range(2)]
    for page in pages:
        page.start()
    server.wait_until_subscribed("räum/ 1", 2)
    asyncio.run(server.await_until_subscribed("räum/ 1"))
    # Of another channel, whose id begins so, nobody is counted.
    with pytest.raises(AssertionError, match=r"^0 of 1 requests wait .* channel 'räum' after 0 "):
        server.wait_until_subscribed("räum", timeout=0)
    with pytest.raises(AssertionError, match="2 of 3 requests"):
        asyncio.run(server.await_until_subscribed("räum/ 1", 3, timeout=0))
    assert updates.send_update("räum/ 1", 42) == 2
    for page in pages:
        page.join()
    assert taken == [b"42", b"42"]


def test_those_of_another_store_are_not_counted():
    places = [
        {"type": "subscriber", "prefix": "/a/", "store": "other", "create_on_get": True},
        {"type": "subscriber", "prefix": "/b/", "create_on_get": True},
        {"type": "publisher", "prefix": "/p/"},
    ]
    stores = {"default": {"type": "memory"}, "other": {"type": "memory"}}

    def subscribe():
        with urlopen(f"{server.url}/b/room", timeout=20) as answer:
            taken.append(answer.read())

    taken = []
    with PushServer(locations=places, store=stores) as server:
        page = threading.Thread(target=subscribe)
        page.start()
        with override_settings(PUSH_SERVER=settings.PUSH_SERVER | {"locations": places[1:]}):
            server.wait_until_subscribed("room")
        with pytest.raises(AssertionError, match="0 of 1"):
            server.wait_until_subscribed("room", timeout=0)
        updates.send_update("room", 42)
        page.join()
    assert taken == [b"42"]


def test_a_pubsub_location_takes_and_gives_updates(settings):
    location = {"type": "pubsub", "prefix": "/both/", "secret": "word", "allow": ["192.0.2.1"]}
    settings.PUSH_SERVER = {"locations": [location]}
    with PushServer("http://127.0.0.1:9999"):
        updates.send_update("a", {"number": 1})
        page = {"Origin": "http://localhost:9999"}
        with urlopen(Request(updates.subscriber_url("a"), headers=page)) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == page["Origin"]
            assert answer.read() == b'{"number":1}'
