"""``manage.py pushserver_nginx_config``, with the real daemon."""

from __future__ import annotations

import io

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import override_settings


def printed(*arguments):
    out = io.StringIO()
    call_command("pushserver_nginx_config", *arguments, stdout=out)
    return out.getvalue()


@override_settings(
    PUSH_SERVER={
        "port": 8123,
        "store": {"type": "memory", "max_messages": 7},
        "locations": (
            {"type": "subscriber", "url": r"/updates/([^/]+)", "create_on_get": True},
            {"type": "publisher", "url": r"/send-update/([^/]+)"},
        ),
    }
)
def test_the_configuration_is_that_of_these_settings():
    text = printed()
    assert "listen 127.0.0.1:8123 " in text
    assert 'location ~ "^/updates/(?<push_channel>[^/]+)\\z" {' in text
    assert "nchan_message_buffer_length 7;" in text
    assert "nchan_subscribe_existing_channels_only" not in text
    assert text.endswith("}\n")


@override_settings(PUSH_SERVER={})
def test_nginx_may_listen_elsewhere():
    text = printed("--listen", "[::]:80", "--listen=unix:/run/push.sock")
    assert "listen [::]:80 " in text
    assert 'listen "unix:/run/push.sock" ' in text
    assert ":8001" not in text


@override_settings(PUSH_SERVER={})
def test_all_other_requests_may_go_to_django():
    assert "proxy_pass" not in printed()
    assert 'proxy_pass "http://127.0.0.1:8002";' in printed("--allrequests=http://127.0.0.1:8002")


@override_settings(PUSH_SERVER={"port": 0})
def test_what_nginx_cannot_do_without_is_an_error():
    with pytest.raises(CommandError, match=r"^PUSH_SERVER: nginx cannot pick a free port"):
        printed()
