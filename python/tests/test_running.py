"""Commands that are typed beside `runpushserver` find it, wherever it is by default."""

from __future__ import annotations

import contextlib
import os
from unittest import mock

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from pushserver import conf, hosts
from pushserver.test import PushServer
from pushserver.utils import pool
from tests.ports import own_port
from tests.stub import Answer, Stub


@pytest.fixture
def ports(monkeypatch):
    """A context in which these are the default ports, of `runpushserver` and with `--allrequests`.

    Settings and environment are put back at its end, before those of a push server around it.
    """

    @contextlib.contextmanager
    def ports(usual, of_all_requests, **push_server):
        monkeypatch.setitem(conf.DEFAULTS, "port", usual)
        monkeypatch.setattr(conf, "ALL_REQUESTS_PORT", of_all_requests)
        with mock.patch.dict(os.environ), override_settings(PUSH_SERVER=push_server):
            os.environ.pop(hosts.HOST_VARIABLE, None)
            yield
        pool.shared.close()

    return ports


def port_of(host):
    return int(host.rpartition(":")[2])


def test_push_finds_the_push_server_of_all_requests(ports, capsys):
    with PushServer(), ports(own_port(), port_of(hosts.publisher_origin())):
        call_command("push", "room", "1", wait=1)
    assert "kept for later" in capsys.readouterr().out


@pytest.mark.parametrize("setting", [{"port": 1}, {"publisher_host": "127.0.0.1:1"}])
def test_a_setting_says_where_it_is(ports, setting):
    with (
        PushServer(),
        ports(own_port(), port_of(hosts.publisher_origin()), **setting),
        pytest.raises(CommandError, match=r"http://127\.0\.0\.1:1/"),
    ):
        call_command("push", "room", "1")


@pytest.mark.parametrize("answer", [Answer(404), Answer(200, b"<p>ok\n"), Answer(503)])
def test_any_other_server_there_gets_nothing(ports, answer):
    usual = own_port()
    with Stub(lambda request: answer) as other, ports(usual, port_of(other.host)):
        with pytest.raises(CommandError, match=f":{usual}/.*Start the push server"):
            call_command("push", "room", "1")
        assert [request.path for request in other.requests] == ["/pushserver/healthz"]
        assert "authorization" not in other.requests[0].headers


def test_whoever_is_at_the_usual_port_is_asked_first(ports):
    with Stub() as usual, Stub() as other, ports(port_of(usual.host), port_of(other.host)):
        call_command("push", "room", "1")
        assert [request.method for request in usual.requests] == ["GET", "POST"]
        assert other.requests == []
