"""Asking who is there: what is asked of which push server, and what errors say."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timezone
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured

from pushserver import keys
from pushserver.utils import updates
from tests.ports import nothing_listens
from tests.stub import DROP, NO_STATUS, Answer

ANA = {"member": "u:42", "user": "42", "since": 1795316300, "holds": 2, "here": True}
SESSION = {"member": "s:AbC", "since": 1795316301, "holds": 0, "here": False}
PRESENT = [
    updates.Member("u:42", "42", datetime(2026, 11, 22, 2, 58, 20, tzinfo=timezone.utc), 2, True),
    updates.Member("s:AbC", None, datetime(2026, 11, 22, 2, 58, 21, tzinfo=timezone.utc), 0, False),
]
LOCATIONS = [
    {"type": "subscriber", "prefix": "/plain/"},
    {"type": "subscriber", "prefix": "/s/", "presence": True},
    {"type": "publisher", "prefix": "/p/"},
]


@pytest.fixture
def status(stub, settings):
    settings.PUSH_SERVER = {"publisher_host": stub.host, "locations": LOCATIONS}
    return stub


def page(key, entries, following=None):
    body = {key: entries, "count": len(entries), "next": following}
    return Answer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})


def query(request):
    return {
        name: values[0]
        for name, values in parse_qs(urlsplit(request.path).query, keep_blank_values=True).items()
    }


def test_the_members_of_a_channel(status):
    status.answer = lambda request: page("members", [ANA, SESSION])
    assert updates.presence("ž&") == PRESENT
    (request,) = status.requests
    assert (request.method, urlsplit(request.path).path) == ("GET", "/pushserver/presence")
    assert request.headers["authorization"] == f"Bearer {keys.of_status()}"
    assert request.body == b""
    channel = {"channel": "ž&", "group": "", "store": "default"}
    assert query(request) == channel | {"limit": "1000"}
    assert asyncio.run(updates.apresence("ž&")) == PRESENT


def test_all_pages_are_asked_for(status):
    """Also those behind a short or an empty one; each with the place of the channel."""
    pages = {None: ([ANA], 4096), "4096": ([], 8192), "8192": ([SESSION], None)}

    def answer(request):
        assert query(request)["channel"] == "room"
        return page("members", *pages[query(request).get("after")])

    status.answer = answer
    assert updates.presence("room") == PRESENT
    assert len(status.requests) == 3
    # A large page comes whole.
    many = [ANA | {"user": "ž" * 64, "member": "u:" + "ž" * 64}] * 1000
    status.answer = lambda request: page("members", many)
    assert len(updates.presence("room")) == 1000


def test_a_channel_is_where_the_location_that_keeps_members_has_it(status, settings):
    status.answer = lambda request: page("members", [])
    place = {"prefix": "/s/", "passthrough_events": "debounced", "channel_group": "g", "store": "b"}
    locations = [
        {"type": "status", "prefix": "/sta tus/", "secret": "hush"},
        {"type": "subscriber", "prefix": "/none/", "presence": False},
        {"type": "pubsub", **place},
    ]
    settings.PUSH_SERVER |= {"locations": locations}
    assert updates.presence(7) == []
    (request,) = status.requests
    assert request.path.startswith("/sta%20tus/presence?")
    assert request.headers["authorization"] == "Bearer hush"
    assert query(request) == {"channel": "7", "group": "g", "store": "b", "limit": "1000"}


def test_whether_a_user_is_there(status):
    status.answer = lambda request: page("channels", [{"channel": "room", "since": 1795316300}])
    assert updates.is_present(User(pk=42))
    assert asyncio.run(updates.ais_present("42"))
    assert [query(request) for request in status.requests] == [{"user": "42", "limit": "1000"}] * 2
    status.answer = lambda request: page("channels", [])
    assert not updates.is_present(42)
    # Who has not logged in is nobody: there is no need to ask.
    asked = len(status.requests)
    assert not updates.is_present(AnonymousUser())
    assert len(status.requests) == asked


def test_each_of_several_push_servers_knows_its_own(status, settings):
    settings.PUSH_SERVER |= {"publisher_host": nothing_listens()}
    status.answer = lambda request: page("members", [ANA])
    assert updates.presence("room", host=status.host) == PRESENT[:1]
    status.answer = lambda request: page("channels", [{"channel": "room", "since": 1795316300}])
    assert updates.is_present(42, host={"location": status.host, "secure": False})
    with pytest.raises(updates.PresenceError, match="https://127"):
        updates.presence("room", host={"location": nothing_listens(), "secure": True})


def test_where_nobody_keeps_members_nobody_is_asked(status, settings):
    settings.PUSH_SERVER |= {"locations": LOCATIONS[:1]}
    for ask in (updates.presence, updates.is_present):
        with pytest.raises(ImproperlyConfigured, match="'presence': True"):
            ask("room")
    with pytest.raises(ValueError, match="one channel"):
        updates.presence(["a", "b"])
    assert status.requests == []


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        *NO_STATUS,
        (Answer(200, b'{"members": 3}'), "push server"),
        (Answer(200, b'{"members": [{"member": "u:1"}]}'), "push server"),
        (page("members", [ANA | {"since": 1e300}]), "push server"),
        (page("members", [], -1), "push server"),
        (page("members", [], "2"), "push server"),
    ],
)
def test_what_was_not_told_is_an_error_with_a_remedy(status, answer, remedy):
    status.answer = lambda request: answer
    with pytest.raises(updates.PresenceError) as caught:
        updates.presence("room")
    error = caught.value
    assert error.status == answer.status
    assert error.url == f"http://{status.host}/pushserver/presence"
    for part in ("who is there", error.url, str(answer.status), remedy):
        assert part in str(error)
    assert keys.of_status() not in str(error)


def test_pages_without_end_are_not_followed(status):
    status.answer = lambda request: page("members", [ANA], 7)
    with pytest.raises(updates.PresenceError, match="push server"):
        updates.presence("room")
    assert len(status.requests) == 2


def test_a_push_server_that_is_down_or_silent_is_told(status, settings):
    status.answer = lambda request: DROP
    with pytest.raises(OSError, match="not known") as caught:
        updates.presence("room")
    assert caught.value.status is None
    settings.PUSH_SERVER |= {"publisher_host": nothing_listens()}
    with pytest.raises(updates.StatusError, match=r"refused.*runpushserver"):
        updates.is_present(7)
