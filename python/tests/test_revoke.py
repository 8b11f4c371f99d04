"""Taking access back: what is asked of which push server, and what errors say."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs

import pytest
from django.contrib.auth.models import AnonymousUser, User

from pushserver import keys
from pushserver.utils import updates
from tests.ports import nothing_listens
from tests.stub import DROP, NO_STATUS, Answer

ENDED = Answer(200, b'{"ended": 3}', {"Content-Type": "application/json"})


@pytest.fixture
def status(stub):
    stub.answer = lambda request: ENDED
    return stub


def form(request):
    return parse_qs(request.body.decode(), keep_blank_values=True)


def test_a_user_is_put_out_of_all_channels(status):
    assert updates.revoke(user=User(pk=42)) == 3
    (request,) = status.requests
    assert (request.method, request.path) == ("POST", "/pushserver/revoke")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["authorization"] == f"Bearer {keys.of_status()}"
    assert form(request) == {"user": ["42"]}


def test_a_user_is_put_out_of_one_channel(status, settings):
    settings.PUSH_SERVER = {
        "publisher_host": status.host,
        "locations": [
            {"type": "status", "prefix": "/sta tus/", "secret": "hush"},
            {"type": "subscriber", "prefix": "/s/", "channel_group": "g", "store": "chat"},
            {"type": "publisher", "prefix": "/p/"},
        ],
    }
    assert updates.revoke("ž&", "a&b") == 3
    (request,) = status.requests
    assert request.path == "/sta%20tus/revoke"
    assert request.headers["authorization"] == "Bearer hush"
    assert form(request) == {"user": ["ž&"], "channel": ["a&b"], "group": ["g"], "store": ["chat"]}


def test_each_of_several_push_servers_is_told(status, settings):
    settings.PUSH_SERVER = {"publisher_host": nothing_listens()}
    assert updates.revoke(7, host=status.host) == 3
    assert updates.revoke(7, host={"location": status.host, "secure": False}) == 3
    assert asyncio.run(updates.arevoke(7, host=status.host)) == 3
    assert [form(request) for request in status.requests] == [{"user": ["7"]}] * 3
    with pytest.raises(updates.RevocationError, match="https://127"):
        updates.revoke(7, host={"location": nothing_listens(), "secure": True})


@pytest.mark.parametrize("user", [None, "", AnonymousUser(), "x" * 129])
def test_nobody_is_no_user(status, user):
    with pytest.raises(ValueError, match="user"):
        updates.revoke(user)
    assert status.requests == []


def test_a_list_is_no_channel(status):
    with pytest.raises(ValueError, match="one channel"):
        updates.revoke(7, ["a", "b"])
    assert status.requests == []


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        *NO_STATUS,
        (Answer(200, b'{"begun": 3}'), "push server"),
    ],
)
def test_what_was_not_done_is_told_with_a_remedy(status, answer, remedy):
    status.answer = lambda request: answer
    with pytest.raises(updates.RevocationError) as caught:
        updates.revoke(7)
    error = caught.value
    assert error.status == answer.status
    assert error.url == f"http://{status.host}/pushserver/revoke"
    for part in (error.url, str(answer.status), remedy):
        assert part in str(error)
    assert keys.of_status() not in str(error)


def test_a_push_server_that_is_down_or_silent_is_told(status, settings):
    status.answer = lambda request: DROP
    with pytest.raises(OSError, match="not known") as caught:
        updates.revoke(7)
    assert caught.value.status is None
    settings.PUSH_SERVER = {"publisher_host": nothing_listens()}
    with pytest.raises(updates.RevocationError, match=r"refused.*runpushserver"):
        updates.revoke(7)


def test_a_member_is_put_out_as_signals_name_one(status):
    assert updates.revoke(member="u:a:b", channel_id="room") == 3
    assert updates.revoke(member="s:AbC") == 3
    assert asyncio.run(updates.arevoke(member="s:AbC")) == 3
    first, *others = map(form, status.requests)
    assert first == {"user": ["a:b"], "channel": ["room"], "group": [""], "store": ["default"]}
    assert others == [{"member": ["s:AbC"]}] * 2


@pytest.mark.parametrize("member", ["c:7", "", "42", "u:", "s:"])
def test_who_has_nothing_that_could_be_refused_is_told(status, member):
    with pytest.raises(ValueError, match="signed"):
        updates.revoke(member=member)
    with pytest.raises(ValueError, match="not both"):
        updates.revoke(7, member="s:AbC")
    assert status.requests == []
