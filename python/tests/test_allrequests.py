"""``runpushserver --allrequests``: the daemon in front of Django's own server, and their ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pushserver import hosts
from tests.project import Project
from tests.stub import Stub
from tests.test_daemon import is_open


@pytest.fixture(scope="module")
def elsewhere():
    with Stub() as stub:
        yield stub


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("project")


@pytest.fixture(scope="module")
def project(directory, elsewhere):
    """One for all tests that leave it running. Its host is 127.0.0.1."""
    with Project(directory, "--forcehost", "127.0.0.1", elsewhere=elsewhere.host) as started:
        yield started


@pytest.fixture
def in_background():
    with ThreadPoolExecutor() as threads:
        yield threads.submit


def get(url, data=None, headers=()):
    request = urllib.request.Request(url, data, dict(headers))
    with urllib.request.urlopen(request, timeout=90) as response:
        return response.read().decode()


def status(url, data=None, headers=()):
    try:
        get(url, data, headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    return 200


def told(project):
    return [tuple(event) for event in json.loads(get(project.url + "/told"))]


def is_waited_on(project, channel):
    information = f"{project.url}/send-update/{channel}"
    return status(information) == 200 and "active subscribers: 1" in get(information)


def test_the_daemon_leads_to_djangos_own_server(project):
    seen = json.loads(get(project.url + "/environment"))
    host = project.url.removeprefix("http://")
    assert seen[hosts.HOST_VARIABLE] == host
    assert seen["upstream"] != project.url
    assert "--primary" in get(project.url + "/static/admin/css/base.css")
    for name in (host, host.replace("127.0.0.1", "localhost")):
        page = get(seen["upstream"] + "/channel?id=room", headers={"Host": name})
        assert page == f"http://{name}/updates/room"


def test_django_sees_where_a_client_is_as_with_runserver(tmp_path):
    with Project(tmp_path, address="0.0.0.0") as project:
        port = project.url.rpartition(":")[2]
        for address in ("127.0.0.1", "127.0.0.2"):
            connection = http.client.HTTPConnection("127.0.0.1", port, source_address=(address, 0))
            forged = {"X-Pushserver-Peer": "127.0.0.1", "X-Pushserver-Secret": "guessed"}
            connection.request("GET", "/client", headers=forged)
            assert json.loads(connection.getresponse().read()) == {
                "address": address,
                "internal": address == "127.0.0.1",
                "port": port,
                "fields": [],
                "variables": [],
                "cookies": 0,
            }
            connection.close()
        django = json.loads(get(project.url + "/environment"))["upstream"]
        forged = {"X-Pushserver-Peer": "10.9.9.9", "X-Pushserver-Secret": "guessed"}
        assert json.loads(get(django + "/client", headers=forged))["address"] == "127.0.0.1"


def test_other_hosts_are_sent_to_the_one_that_is_forced(project):
    host = project.url.removeprefix("http://")
    connection = http.client.HTTPConnection(host)
    other = host.replace("127.0.0.1", "localhost")
    connection.request("GET", "/value?x=1", headers={"Host": other})
    response = connection.getresponse()
    assert response.status == 301
    assert response.headers["Location"] == f"{project.url}/value?x=1"
    connection.close()


def test_a_view_that_sends_to_who_waits_is_answered(project, in_background, wait_for):
    poll = in_background(get, project.url + "/updates/said")
    wait_for(lambda: is_waited_on(project, "said"))
    assert get(project.url + "/say?to=said&value=hello") == "said"
    assert json.loads(poll.result(30)) == {"type": "answer", "value": "hello"}


def test_signals_are_told_of_who_waits_and_only_the_daemon_tells(project, in_background, wait_for):
    poll = in_background(get, project.url + "/updates/room")
    wait_for(lambda: ("subscribe", "room") in told(project))
    get(project.url + "/say?to=room&value=1")
    poll.result(30)
    wait_for(lambda: ("unsubscribe", "room") in told(project))

    django = json.loads(get(project.url + "/environment"))["upstream"]
    form = b"channel_id=forged&subscribe=1"
    for place in (project.url, django):
        for secret in ({}, {"X-Pushserver-Secret": "guessed"}):
            for spelled in ("/passthrough", "/passthrough/", "//passthrough", "/%70assthrough"):
                assert status(place + spelled, form, secret) in (403, 404)
    assert ("subscribe", "forged") not in told(project)


def test_a_passthrough_to_elsewhere_stays_as_it_is(project, elsewhere, in_background, wait_for):
    forged = {"X-Pushserver-Secret": "guessed"}
    poll = in_background(get, project.url + "/elsewhere/afar", headers=forged)
    wait_for(lambda: elsewhere.requests)
    (notice,) = elsewhere.requests
    assert notice.path == "/passthrough"
    assert notice.body == b"channel_id=afar&subscribe=1"
    assert notice.headers["x-pushserver-secret"] == "its-own"
    get(project.url + "/send-update/afar", b"1")
    poll.result(30)


def test_a_reload_keeps_who_waits_and_lets_requests_wait(
    project, directory, in_background, wait_for
):
    gate = directory / "gate"
    poll = in_background(get, project.url + "/updates/reload")
    wait_for(lambda: is_waited_on(project, "reload"))
    django = json.loads(get(project.url + "/environment"))["upstream"]
    assert get(project.url + "/value") == ""
    (directory / "reloaded.py").write_text(
        "import pathlib, time\n"
        f"while not pathlib.Path({str(gate)!r}).exists():\n"
        "    time.sleep(0.01)\n"
        "VALUE = 'new'\n"
    )
    # Autoreload watches what was imported once, which this module was not.
    touched = Path(__file__).with_name("allrequests_urls.py")
    touched.touch()
    wait_for(lambda: not is_open(django))
    asked = [in_background(get, project.url + "/value") for _ in range(3)]
    posted = in_background(get, project.url + "/say?to=reload&value=after", b"")
    assert not any(request.done() for request in (*asked, posted, poll))
    gate.touch()
    assert [request.result(60) for request in asked] == ["new"] * 3
    assert posted.result(60) == "said"
    assert json.loads(poll.result(30)) == {"type": "answer", "value": "after"}
    # Where to open the project is shown again; the secret is shown once.
    wait_for(lambda: project.log().count(project.shown) > 1)
    assert project.log().count(f"Inspector: {project.url}/pushserver/#token=") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_with_a_signal(tmp_path, in_background, wait_for, number):
    with Project(tmp_path) as project:
        poll = in_background(status, project.url + "/updates/room")
        wait_for(lambda: is_waited_on(project, "room"))
        project.process.send_signal(number)
        assert poll.result(30) == 304
        assert project.process.wait(30) == 0
        wait_for(lambda: project.processes() == [])


@pytest.mark.parametrize(
    ("who", "number", "status"),
    [
        ("command", signal.SIGKILL, -signal.SIGKILL),
        ("reloader", signal.SIGTERM, 0),
        ("reloader", signal.SIGKILL, 1),
    ],
)
def test_whichever_ends_takes_all_along(tmp_path, wait_for, who, number, status):
    with Project(tmp_path) as project:
        reloader = json.loads(get(project.url + "/environment"))["reloader"]
        # The command, the daemon, and Django's two processes.
        assert len(project.processes()) == 4
        os.kill({"command": project.process.pid, "reloader": reloader}[who], number)
        assert project.process.wait(30) == status
        wait_for(lambda: project.processes() == [])


def test_it_leaves_nothing_if_it_is_killed_while_it_starts(tmp_path, wait_for):
    project = Project(tmp_path)
    project.launch()
    wait_for(lambda: len(project.processes()) == 3)
    project.process.kill()
    project.process.wait(30)
    wait_for(lambda: project.processes() == [])


def test_a_django_that_does_not_start_is_told(tmp_path):
    project = Project(tmp_path, DJANGO_SETTINGS_MODULE="tests.broken_settings")
    project.launch()
    assert project.process.wait(30) == 1
    assert "Django's own server ended" in project.log()


def test_the_last_address_is_the_daemons_and_settings_that_it_has_no_longer_are_told(
    tmp_path, in_background, wait_for
):
    """After a reload that takes longer than the daemon waits by default."""
    source = tmp_path / "changing.py"
    gate = tmp_path / "gate"
    text = "from tests.allrequests_settings import *\ndel PUSH_SERVER['limits']\n"
    source.write_text(text)
    with Project(tmp_path, DJANGO_SETTINGS_MODULE="changing") as project:
        django = json.loads(get(project.url + "/environment"))["upstream"]
        assert " changed: " not in project.log()
        started = project.log().count(project.shown)
        source.write_text(
            text + "PUSH_SERVER['servername'] = 'new'\n"
            "import pathlib, time\n"
            f"while not pathlib.Path({str(gate)!r}).exists():\n"
            "    time.sleep(0.01)\n"
        )
        # What changes before the reloader's first look is no change to it.
        wait_for(lambda: source.touch() or not is_open(django))
        asked_at = time.monotonic()
        asked = in_background(get, project.url + "/value")
        wait_for(lambda: time.monotonic() > asked_at + 6)
        gate.touch()
        assert asked.result(60) == ""
        wait_for(lambda: project.log().count(project.shown) > started)
        log = project.log()
        assert log.rindex("http://") == log.rindex(project.shown) + len("is running at ")
        assert "PUSH_SERVER changed: stop and start runpushserver again." in log
        assert "upstream_" not in log
