"""With the real daemon: the command that runs it, and the helpers for users' tests."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import django
import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import override_settings

from pushserver import binary, conf, handover, keys, schema
from pushserver.daemon import Daemon, DaemonError
from pushserver.management.commands import runpushserver
from pushserver.test import PushServer
from pushserver.utils import pool, updates

PYTHON = Path(__file__).parents[1]


def manage(*arguments, settings="tests.settings", **environment):
    """A command in a process of its own, with pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", "django", *arguments, f"--settings={settings}"],
        cwd=PYTHON,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextlib.contextmanager
def running(*arguments, **options):
    """``runpushserver``, and where it says that it runs."""
    with manage("runpushserver", *arguments, **options) as process:
        banner = []
        try:
            for line in process.stdout:
                banner.append(line.rstrip())
                if line.startswith("Quit"):
                    break
            else:
                raise AssertionError(process.stderr.read())
            yield process, banner
        finally:
            process.kill()


def is_open(url):
    host, _, port = url.removeprefix("http://").rstrip("/").rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host.strip("[]"), int(port))):
        return True
    return False


def url_of(banner):
    return banner[2].rpartition(" ")[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_until_it_is_told_to_end(number):
    with running("0") as (process, banner):
        assert banner[0] == (
            f"Django version {django.get_version()}, using settings 'tests.settings'"
        )
        assert banner[1].startswith("Push server version ")
        assert banner[1][-1].isdigit()
        assert banner[2].startswith("Development push server is running at http://127.0.0.1:")
        assert banner[3].startswith("Inspector: http://127.0.0.1:")
        assert banner[4] == "Quit the server with CONTROL-C."
        assert is_open(url_of(banner))
        process.send_signal(number)
        assert process.wait(20) == 0
        assert not is_open(url_of(banner))


def test_a_unix_socket_is_shown_as_it_is_to_be_connected_to(tmp_path):
    with running(f"unix:{tmp_path}/sock") as (_process, banner):
        assert Path(url_of(banner).removeprefix("unix:")).is_socket()
        assert url_of(banner) == f"unix:{tmp_path}/sock"


def statuses(url, *names, token=None):
    found = []
    for name in names:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            with urllib.request.urlopen(urllib.request.Request(url + name, headers=headers)) as got:
                found.append(got.status)
        except urllib.error.HTTPError as error:
            found.append(error.code)
            error.close()
    return found


def test_the_inspector_opens_by_the_address_that_is_shown_and_nowhere_else_is_its_secret():
    with running("0", "-v", "3") as (process, banner):
        (line,) = (line for line in banner if line.startswith("Inspector: "))
        url, token = line.removeprefix("Inspector: ").split("#token=")
        assert url == url_of(banner) + "pushserver/"
        assert token == keys.text(keys.derived("status", "only for tests"))
        assert statuses(url, "", "events", "channels", "healthz") == [200, 401, 401, 200]
        assert statuses(url, "events", "channels", "status", token=token) == [200] * 3
        assert statuses(url, "events", token=token[:-1]) == [401]
        process.terminate()
        said = process.stdout.read() + process.stderr.read()
    assert "/pushserver/events" in said
    assert token not in said


@pytest.mark.parametrize("arguments", [["0", "--noinspector"], ["0.0.0.0:0"]])
def test_there_may_be_no_inspector(arguments):
    """As where others reach the push server."""
    with running(*arguments) as (_, banner):
        assert not any("Inspector" in line or "#" in line for line in banner)
        port = url_of(banner).rstrip("/").rpartition(":")[2]
        url, token = f"http://127.0.0.1:{port}/pushserver/", keys.of_status()
        assert statuses(url, "", "events", "healthz", token=token) == [404, 404, 200]


@pytest.mark.parametrize(
    ("keys_of_it", "shown"),
    [
        ({"inspector": True, "secret": "a b#ž"}, "/ins%20pect/#token=a%20b%23%C5%BE"),
        ({"inspector": True, "secret": {"env": "OWN_SECRET"}}, "/ins%20pect/#token=hush"),
        ({"secret": "hush"}, None),
    ],
)
def test_a_status_location_of_the_project_is_its_own_affair(monkeypatch, keys_of_it, shown):
    monkeypatch.setenv("OWN_SECRET", "hush")
    own = {"type": "status", "prefix": "/ins pect/"} | keys_of_it
    push_server = conf.push_server() | {"locations": [own]}
    assert handover.with_status(push_server)["locations"] == [own]
    line = runpushserver._inspector("http://127.0.0.1:8001", push_server)
    assert line == (f"Inspector: http://127.0.0.1:8001{shown}\n" if shown else "")
    assert runpushserver._inspector("unix:/run/push", push_server) == ""


def test_a_signal_that_wakes_nobody_is_passed_on(settings, wait_for):
    """As one that comes a moment before the main thread begins to wait for the daemon."""
    settings.PUSH_SERVER = {"port": 0}
    before = signal.getsignal(signal.SIGINT)
    with Daemon(binary.find_binary(), conf.push_server()) as daemon:
        main = Path(f"/proc/self/task/{threading.get_native_id()}/syscall")
        stdout = hex(daemon.process.stdout.fileno())

        def interrupt():
            wait_for(lambda: main.read_text().split()[1:2] == [stdout])
            # In this thread, so that it interrupts nothing.
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        deadline = threading.Timer(20, daemon.process.kill)
        with runpushserver._passing_on_signals(daemon) as received:
            deadline.start()
            thread.start()
            status = daemon.wait()
            deadline.cancel()
            thread.join()
        assert (status, received) == (0, [signal.SIGINT])
    assert signal.getsignal(signal.SIGINT) is before


def test_requests_are_shown_when_asked_for():
    with running("0", "-v", "2") as (process, banner):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(url_of(banner) + "nowhere").close()
        process.terminate()
        assert "/nowhere" in process.stderr.read()


def test_a_killed_command_leaves_no_daemon(wait_for):
    with running("0") as (process, banner):
        process.kill()
        process.wait(20)
        wait_for(lambda: not is_open(url_of(banner)))


@pytest.mark.parametrize(
    ("arguments", "host"),
    [(["127.0.0.1:0"], "127.0.0.1"), (["localhost:0"], "127.0.0.1"), (["[::1]:0"], "[::1]")],
)
def test_where_it_listens(arguments, host):
    with running(*arguments) as (_, banner):
        assert url_of(banner).startswith(f"http://{host}:")


def test_the_checks_know_the_daemons_keys_types_and_defaults():
    asked = [binary.find_binary(), "--print-schema"]
    known = json.loads(subprocess.run(asked, capture_output=True, check=True).stdout)
    assert known == schema.SCHEMA
    parts = known["$defs"]
    assert known["properties"] == schema.SETTINGS
    assert known["properties"]["limits"]["properties"] == schema.LIMITS
    stores = {kind: parts[f"{kind}_store"]["properties"] for kind in ("memory", "redis")}
    assert stores == schema.STORES
    kinds = ("publisher", "subscriber", "pubsub", "status")
    locations = {kind: parts[kind]["properties"] for kind in kinds}
    assert locations == schema.LOCATIONS
    defaults = {key: rule.get("default") for key, rule in known["properties"].items()}
    assert [key for key in conf.DEFAULTS if conf.DEFAULTS[key] != defaults[key]] == ["locations"]


PLACES = {
    "publisher": {"type": "publisher", "prefix": "/p/"},
    "subscriber": {"type": "subscriber", "prefix": "/s/"},
    "status": {"type": "status", "prefix": "/status/"},
}


def places(**keys):
    """One location of each type, with keys over those of its type."""
    return {"locations": [place | keys.get(kind, {}) for kind, place in PLACES.items()]}


KEYS = {"signing_keys": ["WPZ7yA_D0aNIjCHEGbtz24TFkjQ4ZWovxcFaPztwUGg"]}

# Right, or wrong in one way that both look at.
SETTINGS = [
    places(),
    places(subscriber={"presence": True, "presence_grace": 0.5, "presence_cookie": "our_session"}),
    places(subscriber={"passthrough_events": "debounced", "presence": True}),
    places(subscriber={"presence": True}) | {"store": {"type": "redis"}},
    places(subscriber={"passthrough_events": "debounced"}) | {"store": {"type": "redis"}},
    places(subscriber={"passthrough_events": "debounced", "presence": False}),
    places(subscriber={"passthrough_events": "debounce"}),
    places(subscriber={"presence": "yes"}),
    places(status={"inspector": True, "secret": "s"}),
    places(status={"inspector": "yes", "secret": "s"}),
    {"limits": {"presence_members": 10}},
    places(status={"secret": "hush", "allow": ["::1"]}),
    places(status={"prefix": ""}),
    places(status={"url": "/status/"}),
    places(status={"store": "default"}),
    places(publisher={"signed": True}, subscriber={"signed": True}) | KEYS,
    places(publisher={"signed": "yes"}) | KEYS,
    places(publisher={"secret": {"env": "PATH"}}, subscriber={"passthrough_secret": "hush"}),
    places(publisher={"secret": {"env": "PATH", "file": "/dev/null"}}),
    places(publisher={"secret": {"env": 5}}),
    places(publisher={"secret": {"enf": "PATH"}}),
    places(publisher={"secret": {}}),
    {"signing_keys": KEYS["signing_keys"][0]},
    {"signing_keys": [5]},
    {"signing_keys": [{"fil": "/run/key"}]},
    {"limits": {"token_seconds": 60.5}},
    {},
    {"store": {}},
    {"store": {"max_messages": 5}},
    {"store": {"type": "memory"}},
    {"store": {"default": {}}},
    {"store": {"default": {"max_messages": 5}}},
    {"store": {"default": {}, "other": {"type": "memory"}}},
    {"store": {"other": {}}},
    {"store": {"type": {}}},
    {"store": {"type": {}, "default": {}}},
    {"store": {"type": "disk"}},
    {"store": {"type": None}},
    {"store": {"type": "memory", "default": {}}},
    {"store": {"default": {"type": "disk"}}},
    {"store": {"default": "memory"}},
    {"store": {"default": {}, "other": 5}},
    {"store": {"max_message": 5}},
    {"store": {"max_messages": "5"}},
    {"store": {"max_messages": True}},
    {"store": {"message_timeout": float("nan")}},
    {"store": {"message_timeout": float("inf")}},
    {"store": "memory"},
    {"store": []},
    {"store": {"type": "redis"}},
    {"store": {"type": "redis", "host": "::1", "port": 6380, "database": 1, "key_prefix": "a:"}},
    {"store": {"default": {}, "b": {"type": "redis", "tls": False, "timeout": 0.5, "cache": 5}}},
    {"store": {"type": "redis", "host": "unix:/run/redis.sock", "password": "p"}},
    {"store": {"type": "redis", "host": "unix:/run/redis.sock", "port": 6379}},
    {"store": {"type": "redis", "host": "127.0.0.1:6379"}},
    {"store": {"type": "redis", "host": "redis://127.0.0.1"}},
    {"store": {"type": "redis", "host": ""}},
    {"store": {"type": "redis", "key_prefix": "{a}"}},
    {"store": {"type": "redis", "tls": True}},
    {"store": {"type": "redis", "tls": {}}},
    {"store": {"type": "redis", "max_memory": 5}},
    {"store": {"type": "redis", "persist": "/a.db"}},
    {"store": {"host": "127.0.0.1"}},
    {"store": {"type": "memory", "cache": 5}},
    {"store": {"type": "redis", "password": {"env": "PATH"}, "username": "u"}},
    {"store": {"type": "redis", "username": "u"}},
    {"store": {"type": "redis", "password": ""}},
    {"store": {"type": "redis", "password": 5}},
    {"store": {"type": "redis", "password": {}}},
    {"store": {"type": "redis", "password": {"env": "PATH", "file": "/etc/hostname"}}},
    {"store": {"type": "redis", "password": {"env": 5}}},
    {"store": {"type": "redis", "password": {"value": "p"}}},
    {"store": {"type": "redis", "sentinel": {"master": "m", "nodes": ["a", "b:1"]}}},
    {"store": {"type": "redis", "sentinel": {"master": "m", "nodes": ("a",)}, "port": 1}},
    {"store": {"type": "redis", "sentinel": {"master": "m", "nodes": ["a"], "username": "u"}}},
    {"store": {"type": "redis", "sentinel": {"master": "m"}}},
    {"store": {"type": "redis", "sentinel": {"master": "m", "nodes": "a"}}},
    {"store": {"type": "redis", "sentinel": {"master": "m", "nodes": [5]}}},
    {"store": {"type": "redis", "sentinel": "a"}},
    {"store": {"default": {"type": "redis"}, "b": {"type": "redis", "port": 6379}}},
    {"store": {"default": {"type": "redis"}, "b": {"type": "redis", "key_prefix": "b:"}}},
    {"servername": "\ud83d"},
    {"locations": [{"type": "publisher", "prefix": "/p/", "channel_group": "\U0001f600"}]},
    {"limits": {}},
    {"limits": {"headers": "100"}},
    {"limits": {"header": 100}},
    {"subscriber_host": {"location": "a.example", "secure": False}},
    {"subscriber_host": {"url": "a.example"}},
    {"locations": [{"type": "publisher", "prefix": "/p/"}]},
    {"locations": [{"prefix": "/p/"}]},
    {"locations": [{"type": "publisher"}]},
    {"locations": [{"type": "publisher", "prefix": "/p/", "store": "other"}]},
    {"locations": [{"type": "publisher", "prefix": "/p/", "create_on_get": True}]},
    {"locations": [{"type": "subscriber", "prefix": "/s/", "polling": "lon"}]},
]


@pytest.mark.parametrize("push_server", SETTINGS, ids=ascii)
def test_the_checks_take_what_the_daemon_takes(push_server):
    with override_settings(PUSH_SERVER=push_server):
        found = run_checks(tags=["pushserver"])
        given = json.dumps(conf.push_server())
    command = [binary.find_binary(), "--check-config", "--config", "-"]
    said = subprocess.run(command, input=given, capture_output=True, text=True)
    errors = [message for message in found if message.is_serious()]
    assert (said.returncode == 0) == (not errors), (said.stderr, errors)


def test_a_daemon_that_leaves_at_once_is_no_success():
    nothing = shutil.which("true")
    with manage("runpushserver", "0", PUSH_SERVER_BINARY=nothing) as process:
        _, said = process.communicate(timeout=20)
        assert process.returncode == 1
        assert "did not start (exit status 0)" in said
        assert "Traceback" not in said


@pytest.mark.parametrize("value", [float("nan"), object()])
def test_what_json_does_not_have_is_told_where_the_checks_are_skipped(value):
    with pytest.raises(DaemonError, match="PUSH_SERVER cannot be written as JSON"):
        Daemon(binary.find_binary(), {"port": 0, "hosts": [value]})


def test_a_port_in_use_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with manage("runpushserver", str(port)) as process:
            _, said = process.communicate(timeout=20)
            assert process.returncode == 1
            assert str(port) in said
            assert "`manage.py runpushserver ADDRESS:PORT`, or PUSH_SERVER['address']" in said
            assert not OF_THE_DAEMON.search(said)
            assert "Traceback" not in said


# What names something that only the one who starts the daemon can change.
OF_THE_DAEMON = re.compile("--port|--listen|--config|standard input")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        # Python's regular expressions look ahead, the daemon's do not: only it can tell.
        (
            {"locations": [{"type": "publisher", "url": "/(?=x)(.+)"}]},
            r"^PUSH_SERVER: locations\[0\]\.url: ",
        ),
        ({"address": "nowhere"}, r"^PUSH_SERVER: address: "),
        ({"forcehost": "a.test"}, r"^PUSH_SERVER: forcehost: "),
        ({"port": "x"}, r"^PUSH_SERVER: port: "),
        ({"hosts": ["a b"]}, r"^PUSH_SERVER: hosts\[0\]: "),
    ],
)
def test_what_the_daemon_does_not_take_is_told_in_terms_of_django(wrong, said, capfd):
    with pytest.raises(DaemonError, match=said) as caught:
        Daemon(binary.find_binary(), conf.push_server() | wrong)
    assert caught.value.status == 2
    assert not OF_THE_DAEMON.search(str(caught.value))
    assert capfd.readouterr() == ("", "")


def test_an_address_that_there_is_not_is_told_in_terms_of_django(capfd):
    with pytest.raises(DaemonError):
        Daemon(binary.find_binary(), conf.push_server() | {"address": "192.0.2.1"})
    said = capfd.readouterr().err
    assert "192.0.2.1" in said
    assert not OF_THE_DAEMON.search(said)


def test_the_helper_says_nothing_where_all_is_well(capfd):
    with PushServer():
        updates.send_update("room", 42)
    assert capfd.readouterr() == ("", "")


def test_an_update_arrives_with_the_helper():
    with PushServer() as server:
        updates.send_update("a/b", {"type": "answer", "value": 42})
        url = updates.subscriber_url("a/b")
        assert url == f"{server.url}/updates/a%2Fb"
        with urllib.request.urlopen(url, timeout=10) as response:
            assert response.read() == b'{"type":"answer","value":42}'
            assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert not is_open(server.url)
    pool.shared.close()


def test_tests_may_publish_whatever_production_allows(settings):
    place = {"type": "publisher", "prefix": "/p/", "allow": ["192.0.2.1"]}
    settings.PUSH_SERVER = {"locations": [place]}
    for live in ("", "http://localhost:1"):
        with PushServer(live_server_url=live):
            updates.send_update("room", 1)
    # What a test asks for itself holds.
    with PushServer(locations=[place]), pytest.raises(updates.UpdateRejected, match="403"):
        updates.send_update("room", 1)
    pool.shared.close()


def test_the_helper_works_in_another_thread():
    def use():
        with PushServer():
            updates.send_update("room", 1)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    pool.shared.close()


def test_real_errors_name_the_remedy():
    with PushServer(limits={"body_bytes": 100}):
        with pytest.raises(updates.UpdateRejected, match="body_bytes"):
            updates.send_update("room", "x" * 1000)
        elsewhere = {"locations": [{"type": "publisher", "prefix": "/elsewhere/"}]}
        with (
            override_settings(PUSH_SERVER=conf.push_server() | elsewhere),
            pytest.raises(updates.UpdateRejected, match="404"),
        ):
            updates.send_update("room", 1)
    pool.shared.close()


def test_a_unix_socket_works_end_to_end(settings, tmp_path):
    address = f"unix:{tmp_path / 'push.sock'}"
    settings.PUSH_SERVER = {"address": address}
    with Daemon(binary.find_binary(), conf.push_server()) as daemon:
        assert daemon.url == address
        updates.send_update("room", 1)
    pool.shared.close()


def parse(*arguments, **options):
    options = OPTIONS | options
    push_server = runpushserver.Command().daemon_settings(options)
    return push_server["address"], push_server["port"]


OPTIONS = {"addrport": None, "use_ipv6": False, "noinspector": False, "allrequests": False}


@pytest.mark.parametrize(
    ("push_server", "options", "listens"),
    [
        ({}, {}, ("127.0.0.1", 8001)),
        ({}, {"use_ipv6": True}, ("::1", 8001)),
        ({}, {"allrequests": True}, ("127.0.0.1", 8000)),
        ({"port": 9000}, {"allrequests": True}, ("127.0.0.1", 9000)),
        ({"port": 9000, "address": "10.0.0.1"}, {}, ("10.0.0.1", 9000)),
        ({"port": 9000, "address": "10.0.0.1"}, {"addrport": "7000"}, ("10.0.0.1", 7000)),
        ({"port": 9000}, {"addrport": "0.0.0.0:7000"}, ("0.0.0.0", 7000)),
        ({}, {"addrport": "0:7000"}, ("0.0.0.0", 7000)),
        ({}, {"addrport": "localhost:7000"}, ("127.0.0.1", 7000)),
        ({}, {"addrport": "[::1]:7000"}, ("::1", 7000)),
        ({}, {"addrport": "unix:/run/p.sock"}, ("unix:/run/p.sock", 8001)),
    ],
)
def test_the_command_line_wins_over_the_settings(settings, push_server, options, listens):
    settings.PUSH_SERVER = push_server
    assert parse(**options) == listens


def test_what_django_serves_under_a_name_the_push_server_serves_too(settings):
    settings.ALLOWED_HOSTS = [".dev.test", "odd:8000", "shop.test"]
    settings.PUSH_SERVER = {"port": 0, "hosts": ["mine.test"]}
    options = dict(OPTIONS)
    push_server = runpushserver.Command().daemon_settings(options)
    assert push_server["hosts"] == ["mine.test", ".dev.test", "shop.test"]
    with Daemon(binary.find_binary(), push_server) as daemon:
        port = daemon.url.rpartition(":")[2]
        for name, status in (("a.dev.test", 404), ("mine.test", 404), ("evil.test", 421)):
            request = urllib.request.Request(f"{daemon.url}/send-update/none")
            request.add_header("Host", f"{name}:{port}")
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request)
            with refused.value:
                assert refused.value.code == status, name


@pytest.mark.parametrize("addrport", ["x", "127.0.0.1", "127.0.0.1:x", "70000", ":", "1:2:3"])
def test_a_wrong_address_is_told(addrport):
    with pytest.raises(CommandError, match="not a valid port"):
        parse(addrport=addrport)


def test_forcehost_needs_allrequests():
    with pytest.raises(CommandError, match="--allrequests"):
        call_command("runpushserver", "--forcehost", "example.com")


def test_the_binary_is_where_the_setting_says(settings, monkeypatch, tmp_path):
    program = tmp_path / "program"
    monkeypatch.delenv(binary.SETTING, raising=False)
    settings.PUSH_SERVER_BINARY = str(program)
    with pytest.raises(ImproperlyConfigured, match="no program"):
        binary.find_binary()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    assert binary.find_binary() == program
    monkeypatch.setenv(binary.SETTING, "/nowhere")
    with pytest.raises(ImproperlyConfigured, match="/nowhere"):
        binary.find_binary()


def test_a_binary_that_does_not_run_is_told(settings, monkeypatch, tmp_path):
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF for another machine")
    program.chmod(0o700)
    monkeypatch.setenv(binary.SETTING, str(program))
    with pytest.raises(CommandError, match="cannot be run"):
        call_command("runpushserver", "0")


def test_a_missing_binary_is_told_with_how_to_get_it(monkeypatch):
    monkeypatch.delenv(binary.SETTING, raising=False)
    monkeypatch.setattr(binary, "_candidates", lambda: iter(()))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ImproperlyConfigured, match=r"pip install \."):
        binary.find_binary()
    with pytest.raises(CommandError, match=r"pip install \."):
        call_command("runpushserver", "0")
