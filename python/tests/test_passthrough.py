"""Which requests may announce subscribers, and which signals follow."""

from __future__ import annotations

import logging

import pytest
from django.contrib.auth import get_user_model
from django.dispatch import receiver
from django.test import Client
from django.urls import reverse

from pushserver import signals

SUBSCRIBE = {"channel_id": "room", "subscribe": "1"}


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


@pytest.mark.parametrize("path", ["/passthrough", "/passthrough/"])
def test_with_and_without_a_final_slash(path, heard):
    client = Client(enforce_csrf_checks=True)
    assert client.post(path, SUBSCRIBE).status_code == 200
    assert client.post(path, {"channel_id": "ž/b", "unsubscribe": "1"}).status_code == 200
    assert heard == [
        ("subscribe", "room", "AnonymousUser"),
        ("unsubscribe", "ž/b", "AnonymousUser"),
    ]


def test_its_name_is_what_it_was():
    assert reverse("pushserver-passthrough") == "/passthrough"


@pytest.mark.django_db
def test_request_user_is_whose_cookies_the_daemon_passes(heard):
    client = Client()
    client.force_login(get_user_model().objects.create_user("ana"))
    client.post("/passthrough", SUBSCRIBE)
    assert heard == [("subscribe", "room", "ana")]


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"subscribe": "1"},
        {"channel_id": "", "subscribe": "1"},
        {"channel_id": "room"},
        {"channel_id": "room", "subscribe": ""},
        {"channel_id": "room", "subscribe": "1", "unsubscribe": "1"},
    ],
)
def test_a_form_that_is_not_the_daemons_is_refused(client, heard, form):
    assert client.post("/passthrough", form).status_code == 403
    assert heard == []


@pytest.mark.parametrize("method", ["get", "put", "delete", "head", "options"])
def test_other_methods_are_refused(client, method):
    assert getattr(client, method)("/passthrough", SUBSCRIBE).status_code == 403


def test_other_addresses_are_refused(heard):
    assert Client(REMOTE_ADDR="192.0.2.1").post("/passthrough", SUBSCRIBE).status_code == 403
    assert heard == []


def test_a_secret_lets_in_who_has_it_and_nobody_else(settings, client, heard, monkeypatch):
    location = {"type": "subscriber", "prefix": "/s/", "passthrough_secret": "s3cret"}
    settings.PUSH_SERVER = {"locations": [location]}
    for wrong in ({}, {"X-Pushserver-Secret": ""}, {"X-Pushserver-Secret": "other"}):
        assert client.post("/passthrough", SUBSCRIBE, headers=wrong).status_code == 403
    right = {"X-Pushserver-Secret": "s3cret"}
    assert client.post("/passthrough", SUBSCRIBE, headers=right).status_code == 200
    assert len(heard) == 1


def test_the_secret_of_allrequests_comes_with_the_environment(client, monkeypatch):
    monkeypatch.setenv("PUSH_SERVER_PASSTHROUGH_SECRET", "random")
    assert client.post("/passthrough", SUBSCRIBE).status_code == 403
    right = {"X-Pushserver-Secret": "random"}
    assert client.post("/passthrough", SUBSCRIBE, headers=right).status_code == 200


def test_a_receivers_error_is_logged_and_keeps_nothing_from_others(client, caplog, heard):
    def broken(**kwargs):
        raise KeyError("broken receiver")

    signals.channel_subscribe.connect(broken)
    try:
        with caplog.at_level(logging.ERROR):
            assert client.post("/passthrough", SUBSCRIBE).status_code == 200
    finally:
        signals.channel_subscribe.disconnect(broken)
    assert "broken receiver" in caplog.text
    assert len(heard) == 1


@pytest.mark.django_db
def test_a_project_that_requires_logins_still_hears(settings, client, heard):
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
    assert client.post("/passthrough", SUBSCRIBE).status_code == 200
    assert len(heard) == 1
