"""``runpushserver --allrequests``: Django's own server behind the daemon, and the end of both."""

from __future__ import annotations

import json
import os
import signal
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from pushserver import conf
from pushserver.upstream import LIFELINE_VARIABLE, free_port
from tests.test_daemon import is_open, manage

FAKE_DAEMON = Path(__file__).with_name("fake_daemon.py")


@pytest.fixture
def launched(tmp_path, wait_for):
    """The command, and what it gave to the daemon; Django answers."""
    given_path = tmp_path / "given.json"
    environment = {"PUSH_SERVER_BINARY": str(FAKE_DAEMON), "FAKE_DAEMON_GIVEN": str(given_path)}
    port = str(free_port())
    with manage(
        *("runpushserver", port, "--allrequests", "--forcehost", "example.com"),
        settings="tests.allrequests_settings",
        TEST_PORT=port,
        **environment,
    ) as process:
        try:
            wait_for(given_path.exists)
            wait_for(given_path.read_text)
            given = json.loads(given_path.read_text())
            upstream = given["arguments"][given["arguments"].index("--allrequests") + 1]
            wait_for(lambda: is_open(upstream), seconds=30)
            yield process, given, upstream
        finally:
            process.kill()


def test_the_daemon_leads_to_djangos_own_server(launched, wait_for):
    process, given, upstream = launched
    assert given["arguments"][-2:] == ["--forcehost", "example.com"]
    with urllib.request.urlopen(upstream + "/static/admin/css/base.css") as response:
        assert response.status == 200
    with urllib.request.urlopen(upstream + "/environment") as response:
        seen = json.load(response)
    port = given["settings"]["port"]
    assert seen[conf.HOST_VARIABLE] == f"127.0.0.1:{port}"
    (subscriber, elsewhere, _) = given["settings"]["locations"]
    assert subscriber["passthrough"] == upstream + "/passthrough"
    assert subscriber["passthrough_secret"] == seen[conf.SECRET_VARIABLE]
    assert elsewhere["passthrough"] == "http://127.0.0.1:9/passthrough"
    assert elsewhere["passthrough_secret"] == "its-own"

    secret = {"X-Pushserver-Secret": subscriber["passthrough_secret"]}
    form = b"channel_id=room&subscribe=1"
    request = urllib.request.Request(upstream + "/passthrough", form, secret)
    with urllib.request.urlopen(request) as response:
        assert response.status == 200
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(upstream + "/passthrough", form).close()

    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    wait_for(lambda: not is_open(upstream))


def test_django_ends_with_the_command_even_if_that_is_killed(launched, wait_for):
    process, _, upstream = launched
    process.kill()
    process.wait(20)
    wait_for(lambda: not is_open(upstream))


def test_a_django_that_does_not_start_is_told(tmp_path):
    environment = {
        "PUSH_SERVER_BINARY": str(FAKE_DAEMON),
        "FAKE_DAEMON_GIVEN": str(tmp_path / "given.json"),
        "TEST_PORT": "8000",
    }
    arguments = ("runpushserver", "0", "--allrequests")
    with manage(*arguments, settings="tests.broken_settings", **environment) as process:
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "Django's own server ended" in said


def test_the_command_ends_with_django(launched, wait_for):
    process, _, upstream = launched
    with urllib.request.urlopen(upstream + "/environment") as response:
        reloader = json.load(response)["reloader"]
    os.kill(reloader, signal.SIGTERM)
    assert process.wait(20) == 0
    assert LIFELINE_VARIABLE not in os.environ
