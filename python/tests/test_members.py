"""Who is there, with the real daemon and Django beside it: what signals tell, and when."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from http.cookies import SimpleCookie
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from django.contrib.auth import get_user_model
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from django.test import Client, override_settings

from pushserver import conf, handover, signals
from pushserver.binary import find_binary
from pushserver.daemon import Daemon
from pushserver.utils import pool, updates
from tests.conftest import wait_until
from tests.ports import own_port

pytestmark = pytest.mark.django_db(transaction=True)
# Long enough for a reload on a busy machine.
GRACE_S = 2
# In a URL: behind what is stored, so that the request waits.
BEHIND = "&last_event_id=9999999999:0"


class Django:
    """The project, served at a port of its own, and started again there as often as need be."""

    def __init__(self):
        self.port = own_port()
        self.start()

    def start(self):
        class Quiet(WSGIRequestHandler):
            def log_message(self, *args):
                pass

        application = WSGIHandler()

        def serve(environ, start_response):
            yield from application(environ, start_response)
            connections.close_all()

        self._server = make_server("127.0.0.1", self.port, serve, handler_class=Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def django():
    server = Django()
    yield server
    server.stop()


class Push:
    """The daemon with the settings of the test, and started again at its port."""

    def __init__(self):
        self.start()

    def start(self):
        given = handover.daemon_settings(handover.with_status(conf.push_server()))
        self.daemon = Daemon(find_binary(), given, env={"RUST_LOG": "warn"} | os.environ)

    def kill(self):
        self.daemon.signal(signal.SIGKILL)
        self.daemon.stop()
        pool.shared.close()


@pytest.fixture
def push(django):
    place = {
        "type": "subscriber",
        "url": r"/updates/([^/]+)",
        "create_on_get": True,
        "passthrough": f"http://127.0.0.1:{django.port}/passthrough",
        "passthrough_events": "debounced",
        "presence_grace": GRACE_S,
    }
    locations = [
        place | {"signed": True},
        place | {"url": r"/open/([^/]+)"},
        {"type": "publisher", "url": r"/send-update/([^/]+)", "signed": True},
    ]
    with override_settings(PUSH_SERVER={"port": own_port(), "locations": locations}):
        server = Push()
        yield server
        server.daemon.stop()
        pool.shared.close()


@pytest.fixture
def heard():
    """What signals told, in order: (what, who, arguments)."""
    events = []
    told = {"join": signals.channel_join, "leave": signals.channel_leave}
    receivers = []

    def reset(sender, request, instance, **kwargs):
        events.append(("reset", "", {"instance": instance}))

    signals.presence_reset.connect(reset)
    for name, each in told.items():

        def hear(sender, signal, request, member, name=name, **arguments):
            user = str(request.user)
            events.append((name, member, arguments | {"user": user}))

        each.connect(hear)
        receivers.append(hear)
    yield events
    signals.presence_reset.disconnect(reset)
    for each, hear in zip(told.values(), receivers, strict=True):
        each.disconnect(hear)


def in_short(events):
    return [(what, who) for what, who, _ in events]


class Tab:
    """A page's request, which waits."""

    def __init__(self, url, cookie=""):
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=20)
        head = f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        head += f"Cookie: {cookie}\r\n" if cookie else ""
        self._socket.sendall(f"{head}\r\n".encode())

    def answer(self):
        """The head of the answer, when it comes."""
        return self._socket.recv(65536).decode()

    def close(self):
        self._socket.close()


@pytest.fixture
def tab():
    with contextlib.ExitStack() as stack:

        def open_(url, cookie=""):
            opened = Tab(url, cookie)
            stack.callback(opened.close)
            return opened

        yield open_


def of_user(user, channel="room"):
    return updates.subscriber_url(channel, user=user)


def unsigned(channel="room"):
    return updates.subscriber_url(channel).partition("?")[0].replace("/updates/", "/open/")


def holds(channel="room"):
    return {member.member: member.holds for member in updates.presence(channel)}


def test_a_user_is_there_from_the_first_tab_to_the_end_of_grace(push, heard, tab):
    bob = get_user_model().objects.create_user("bob")
    url = of_user(bob)
    first = tab(url)
    wait_until(lambda: in_short(heard) == [("reset", ""), ("join", f"u:{bob.pk}")])
    arguments = heard[1][2]
    assert (arguments["channel_id"], arguments["members"]) == ("room", 1)
    assert (arguments["user_id"], arguments["user"]) == (str(bob.pk), "bob")
    # Two tabs, one closed; then a reload; then an update, and the poll behind it.
    second = tab(url)
    wait_until(lambda: holds() == {f"u:{bob.pk}": 2})
    first.close()
    wait_until(lambda: holds() == {f"u:{bob.pk}": 1})
    second.close()
    third = tab(url)
    updates.send_update("room", 1)
    assert third.answer().startswith("HTTP/1.1 200")
    third.close()
    (member,) = updates.presence("room")
    assert (member.user_id, member.member) == (str(bob.pk), f"u:{bob.pk}")
    fourth = tab(url + BEHIND)
    wait_until(lambda: updates.presence("room")[0].here)
    assert updates.is_present(bob)
    fourth.close()
    wait_until(lambda: [(m.holds, m.here) for m in updates.presence("room")] == [(0, False)])
    assert updates.is_present(bob.pk)
    wait_until(lambda: len(heard) > 2)
    what, who, arguments = heard[2]
    assert (what, who, arguments["reason"]) == ("leave", f"u:{bob.pk}", "gone")
    assert (arguments["members"], arguments["user_id"]) == (0, str(bob.pk))
    assert updates.presence("room") == []
    assert not updates.is_present(bob)
    # Nothing else was told: who comes next is the next event.
    tab(of_user(7) + BEHIND)
    wait_until(lambda: len(heard) > 3)
    assert in_short(heard)[2:] == [("leave", f"u:{bob.pk}"), ("join", "u:7")]


def test_a_session_is_a_member_and_its_cookie_is_never_shown(push, heard, tab):
    client = Client()
    client.force_login(get_user_model().objects.create_user("ana"))
    value = client.cookies["sessionid"].value
    cookie = SimpleCookie({"sessionid": value}).output(header="").strip()
    one = tab(unsigned(), cookie)
    two = tab(unsigned(), f"other=1; {cookie}")
    wait_until(lambda: [*holds().values()] == [2])
    (member,) = updates.presence("room")
    assert (member.member[:2], member.user_id) == ("s:", None)
    assert value not in member.member
    wait_until(lambda: in_short(heard)[1:] == [("join", member.member)])
    assert heard[1][2]["user"] == "ana"
    assert heard[1][2]["user_id"] is None
    # Another session is another member, and a connection without one as well.
    tab(unsigned(), "sessionid=another")
    tab(unsigned())
    wait_until(lambda: sorted(who[:2] for who in holds()) == ["c:", "s:", "s:"])
    # The same session has another name where the daemon is another one? No: by the same key.
    assert updates.revoke(member=member.member) == 2
    for each in (one, two):
        assert each.answer().startswith("HTTP/1.1 403")
    leave = ("leave", member.member)
    wait_until(lambda: leave in in_short(heard))
    assert heard[in_short(heard).index(leave)][2]["reason"] == "revoked"
    assert tab(unsigned(), cookie).answer().startswith("HTTP/1.1 403")


def test_what_django_did_not_hear_is_told_late_and_once(push, django, heard, tab):
    seven, eight = tab(of_user(7)), tab(of_user(8))
    wait_until(lambda: len(heard) == 3)
    django.stop()
    # One goes; another goes and is back before anybody could be told.
    seven.close()
    eight.close()
    wait_until(lambda: updates.presence("room") == [])
    eight = tab(of_user(8))
    wait_until(lambda: holds() == {"u:8": 1})
    django.start()
    wait_until(lambda: in_short(heard)[3:] == [("leave", "u:7")])
    assert heard[3][2]["members"] == 1
    tab(of_user(7))
    wait_until(lambda: len(heard) > 4)
    eight.close()
    wait_until(lambda: len(heard) > 5)
    assert in_short(heard)[4:] == [("join", "u:7"), ("leave", "u:8")]


def test_what_a_receiver_did_not_take_comes_again(push, heard, tab):
    tries = []

    def fails_twice(sender, member, **kwargs):
        tries.append(member)
        if len(tries) < 3:
            raise RuntimeError("not yet")

    signals.channel_join.connect(fails_twice)
    try:
        tab(of_user(7))
        wait_until(lambda: len(tries) == 3)
        tab(of_user(8))
        wait_until(lambda: len(tries) == 4)
    finally:
        signals.channel_join.disconnect(fails_twice)
    assert tries == ["u:7"] * 3 + ["u:8"]


def test_a_daemon_that_was_killed_tells_of_everybody_anew(push, heard, tab):
    tab(of_user(7))
    tab(of_user(8), "a=1")
    wait_until(lambda: len(heard) == 3)
    push.kill()
    push.start()
    assert updates.presence("room") == []
    tab(of_user(8))
    wait_until(lambda: in_short(heard)[3:] == [("reset", ""), ("join", "u:8")])
    assert heard[3][2]["instance"] != heard[0][2]["instance"]
    assert heard[4][2]["instance"] == heard[3][2]["instance"]
