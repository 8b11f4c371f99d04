"""Which requests may announce subscribers, and which signals follow."""

from __future__ import annotations

import json
import logging
import uuid
from urllib.parse import quote

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.dispatch import receiver
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from pushserver import keys, signals, views

SUBSCRIBE = {"channel_id": "room", "subscribe": "1"}
MEMBER = {"channel_id": "room", "member": "u:4/2", "members": "3", "instance": "9f1c22ab"}
JOIN = MEMBER | {"join": "1", "user": "4/2"}
LEAVE = MEMBER | {"leave": "1", "reason": "gone"}
RESET = {"reset": "1", "instance": "9f1c22ab"}


@pytest.fixture
def daemon():
    """A client with the secret that the daemon has."""
    secret = keys.text(keys.derived("passthrough", "only for tests"))
    return Client(enforce_csrf_checks=True, headers={"X-Pushserver-Secret": secret})


@pytest.fixture
def heard():
    """What signals told: (event, channel id, user name)."""
    events = []

    @receiver(signals.channel_subscribe)
    def subscribed(sender, request, channel_id, **kwargs):
        events.append(("subscribe", channel_id, str(request.user)))

    @receiver(signals.channel_unsubscribe)
    def unsubscribed(sender, request, channel_id, **kwargs):
        events.append(("unsubscribe", channel_id, str(request.user)))

    yield events
    signals.channel_subscribe.disconnect(subscribed)
    signals.channel_unsubscribe.disconnect(unsubscribed)


@pytest.fixture
def present():
    """What signals told of members: (event, arguments)."""
    events = []
    told = {
        "join": signals.channel_join,
        "leave": signals.channel_leave,
        "reset": signals.presence_reset,
    }
    receivers = {}
    for name, signal in told.items():

        def hear(sender, signal, request, name=name, **arguments):
            assert "X-Pushserver-Secret" not in request.headers
            events.append((name, arguments))

        signal.connect(hear)
        receivers[name] = hear
    yield events
    for name, signal in told.items():
        signal.disconnect(receivers[name])


@pytest.mark.parametrize("path", ["/passthrough", "/passthrough/"])
def test_with_and_without_a_final_slash(path, daemon, heard):
    assert daemon.post(path, SUBSCRIBE).status_code == 200
    assert daemon.post(path, {"channel_id": "ž/b", "unsubscribe": "1"}).status_code == 200
    assert heard == [
        ("subscribe", "room", "AnonymousUser"),
        ("unsubscribe", "ž/b", "AnonymousUser"),
    ]


def test_its_name_is_what_it_was():
    assert reverse("pushserver-passthrough") == "/passthrough"


@pytest.mark.django_db
def test_request_user_is_whose_cookies_the_daemon_passes(daemon, heard):
    daemon.force_login(get_user_model().objects.create_user("ana"))
    bob = get_user_model().objects.create_user("bob")
    daemon.post("/passthrough", SUBSCRIBE)
    # Cookies first, whoever the token is of.
    daemon.post("/passthrough", SUBSCRIBE, headers={"X-Pushserver-User": str(bob.pk)})
    assert heard == [("subscribe", "room", "ana")] * 2


@pytest.mark.django_db
def test_without_cookies_request_user_is_the_tokens(daemon, heard, present):
    users = get_user_model().objects
    bob, away = users.create_user("bob"), users.create_user("away", is_active=False)
    for name in (bob.pk, away.pk, bob.pk + 999, "no number", "9" * 40, "%C5%BE", "%"):
        assert (
            daemon.post(
                "/passthrough", SUBSCRIBE, headers={"X-Pushserver-User": quote(str(name), safe="%")}
            ).status_code
            == 200
        )
    assert [user for _, _, user in heard] == ["bob"] + ["AnonymousUser"] * 6
    # Nobody is looked up whom no receiver asks for.
    with CaptureQueriesContext(connection) as queries:
        daemon.post("/passthrough", JOIN, headers={"X-Pushserver-User": str(bob.pk)})
    assert len(queries) == 0
    assert len(present) == 1


@pytest.mark.django_db(transaction=True)
def test_the_tokens_user_is_there_for_asynchronous_receivers(daemon):
    bob = get_user_model().objects.create_user("bob")
    seen = []

    @receiver(signals.channel_join)
    async def joined(sender, request, **kwargs):
        seen.append(str(await request.auser()))

    try:
        daemon.post("/passthrough", JOIN, headers={"X-Pushserver-User": str(bob.pk)})
    finally:
        signals.channel_join.disconnect(joined)
    assert seen == ["bob"]


def test_a_user_whose_ids_are_of_another_kind_is_nobody(monkeypatch):
    """As where users have UUIDs, and the token names none."""

    class Users:
        @staticmethod
        def filter(pk):
            from django.core.exceptions import ValidationError

            try:
                uuid.UUID(pk)
            except ValueError as error:
                raise ValidationError(str(error)) from error

    class Model:
        _default_manager = Users

    monkeypatch.setattr("django.contrib.auth.get_user_model", lambda: Model)
    assert views._user(None, "ana") == AnonymousUser()


def test_members_are_told_of(daemon, present):
    for form in (RESET, JOIN, LEAVE, LEAVE | {"members": "0", "user": "ž"}):
        assert daemon.post("/passthrough", form).status_code == 200
    member = {"channel_id": "room", "member": "u:4/2", "members": 3, "instance": "9f1c22ab"}
    assert present == [
        ("reset", {"instance": "9f1c22ab"}),
        ("join", member | {"user_id": "4/2"}),
        ("leave", member | {"user_id": None, "reason": "gone"}),
        ("leave", member | {"user_id": "ž", "reason": "gone", "members": 0}),
    ]


@pytest.mark.parametrize("form", [JOIN, LEAVE, RESET], ids=["join", "leave", "reset"])
@pytest.mark.parametrize("kind", [KeyError, "Http404", "PermissionDenied"])
def test_what_a_receiver_did_not_take_is_told_again(daemon, present, caplog, form, kind):
    """Whatever the receiver raises: a 404 would be the end of it for the daemon."""
    from django.core.exceptions import PermissionDenied
    from django.http import Http404

    error = {"Http404": Http404, "PermissionDenied": PermissionDenied}.get(kind, kind)

    def broken(**kwargs):
        raise error("broken receiver")

    daemon.raise_request_exception = False
    all_of_them = (signals.channel_join, signals.channel_leave, signals.presence_reset)
    for signal in all_of_them:
        signal.connect(broken)
    try:
        with caplog.at_level(logging.ERROR):
            assert daemon.post("/passthrough", form).status_code == 500
    finally:
        for signal in all_of_them:
            signal.disconnect(broken)
    assert "broken receiver" in caplog.text
    assert len(present) == 1  # the others have heard it
    assert daemon.post("/passthrough", form).status_code == 200
    assert len(present) == 2


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"subscribe": "1"},
        {"channel_id": "", "subscribe": "1"},
        {"channel_id": "room"},
        {"channel_id": "room", "subscribe": ""},
        {"channel_id": "room", "subscribe": "1", "unsubscribe": "1"},
        JOIN | {"leave": "1", "reason": "gone"},
        JOIN | {"channel_id": ""},
        JOIN | {"members": "many"},
        {key: value for key, value in JOIN.items() if key != "member"},
        {key: value for key, value in JOIN.items() if key != "instance"},
        {key: value for key, value in LEAVE.items() if key != "reason"},
        {"reset": "1"},
        RESET | {"join": "1"},
    ],
    ids=json.dumps,
)
def test_a_form_that_is_not_the_daemons_is_refused(daemon, heard, present, form):
    assert daemon.post("/passthrough", form).status_code == 403
    assert heard == present == []


@pytest.mark.parametrize("method", ["get", "put", "delete", "head", "options"])
def test_other_methods_are_refused(daemon, method):
    assert getattr(daemon, method)("/passthrough", SUBSCRIBE).status_code == 403


def test_where_somebody_comes_from_is_no_reason_to_believe_him(settings, heard, present):
    """Behind a front server everybody comes from 127.0.0.1."""
    settings.INTERNAL_IPS = ["127.0.0.1"]
    for form in (SUBSCRIBE, JOIN, RESET):
        assert Client(REMOTE_ADDR="127.0.0.1").post("/passthrough", form).status_code == 403
    assert heard == present == []


@pytest.mark.django_db
def test_nobody_but_the_daemon_says_who_a_user_is(heard):
    bob = get_user_model().objects.create_user("bob")
    forged = {"X-Pushserver-User": str(bob.pk), "X-Pushserver-Secret": "guessed"}
    assert Client(headers=forged).post("/passthrough", SUBSCRIBE).status_code == 403
    assert heard == []


def test_a_secret_lets_in_who_has_it_and_nobody_else(settings, client, daemon, heard):
    location = {"type": "subscriber", "prefix": "/s/", "passthrough_secret": "s3cret"}
    settings.PUSH_SERVER = {"locations": [location]}
    status, channel = keys.of_status(), keys.text(keys.of_channels()[0])
    for wrong in ("", "other", status, channel, "ž"):
        headers = {"X-Pushserver-Secret": wrong}
        assert client.post("/passthrough", SUBSCRIBE, headers=headers).status_code == 403
    assert client.post("/passthrough", SUBSCRIBE).status_code == 403
    right = {"X-Pushserver-Secret": "s3cret"}
    assert client.post("/passthrough", SUBSCRIBE, headers=right).status_code == 200
    # Of a location that has none of its own.
    assert daemon.post("/passthrough", SUBSCRIBE).status_code == 200
    assert len(heard) == 2


def test_a_daemon_of_before_a_new_secret_key_is_believed_while_it_is_a_fallback(
    settings, daemon, heard
):
    settings.SECRET_KEY_FALLBACKS = ["", settings.SECRET_KEY]
    settings.SECRET_KEY = "another, and just as secret"
    assert daemon.post("/passthrough", SUBSCRIBE).status_code == 200
    empty = {"X-Pushserver-Secret": keys.text(keys.derived("passthrough", ""))}
    assert Client().post("/passthrough", SUBSCRIBE, headers=empty).status_code == 403
    settings.SECRET_KEY_FALLBACKS = []
    assert daemon.post("/passthrough", SUBSCRIBE).status_code == 403
    assert len(heard) == 1


def test_a_receivers_error_is_logged_and_keeps_nothing_from_others(daemon, caplog, heard):
    """A browser that began or ended waiting is told once."""

    def broken(**kwargs):
        raise KeyError("broken receiver")

    signals.channel_subscribe.connect(broken)
    try:
        with caplog.at_level(logging.ERROR):
            assert daemon.post("/passthrough", SUBSCRIBE).status_code == 200
    finally:
        signals.channel_subscribe.disconnect(broken)
    assert "broken receiver" in caplog.text
    assert len(heard) == 1


@pytest.mark.django_db
def test_a_project_that_requires_logins_still_hears(settings, daemon, heard):
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
    assert daemon.post("/passthrough", SUBSCRIBE).status_code == 200
    assert len(heard) == 1
