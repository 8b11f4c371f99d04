"""nginx with Nchan, as ``pushserver_nginx_config`` writes it, asks Django about signed URLs."""

from __future__ import annotations

import io

import pytest
from django.core.management import call_command

from pushserver.utils import pool, updates
from tests.browser.conftest import NCHAN, running_nginx
from tests.test_signed import ask, sign

ANYWHERE = "127.0.0.1:9999"


@pytest.fixture
def nginx(live_server, settings, tmp_path):
    passthrough = f"{live_server.url}/passthrough"
    settings.PUSH_SERVER = {
        "locations": [
            {
                "type": "subscriber",
                "url": r"/updates/([^/]+)",
                "create_on_get": True,
                "signed": True,
                "passthrough": passthrough,
            },
            {"type": "publisher", "url": r"/send-update/([^/]+)", "signed": True},
        ]
    }
    out = io.StringIO()
    call_command("pushserver_nginx_config", f"--listen={ANYWHERE}", stdout=out)
    written = (
        out.getvalue().replace("{", "{{").replace("}", "}}").replace(ANYWHERE, "127.0.0.1:{port}")
    )
    with running_nginx(tmp_path, NCHAN + written + "\n}}\n") as host:
        settings.PUSH_SERVER |= {"publisher_host": host, "subscriber_host": host}
        yield host
    pool.shared.close()


def test_who_has_a_url_is_let_in_and_nobody_else(nginx):
    updates.send_update("room", 1)
    url = updates.subscriber_url("room", user=7)
    assert ask(url).body == b"1"
    bare, token = url.split("?token=")
    assert ask(bare, Authorization=f"Bearer {token}").status == 200
    old = sign({"c": "room", "e": 1, "u": "7"}, key="another")
    refused = [
        bare,
        bare.replace("room", "hall") + f"?token={token}",
        f"{bare}?token={old}",
        f"{bare}?token={sign({'c': 'room', 'e': 60, 'a': 'pub'})}",
    ]
    for other in refused:
        assert ask(other).status in (401, 403), other


def test_only_updates_of_django_are_taken(nginx, settings):
    settings.SECRET_KEY_FALLBACKS = []
    url = updates.publisher_url("room")
    for token in (None, sign({"c": "room", "e": 60})):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        assert ask(url, **headers).status in (401, 403)
    updates.send_update("room", 2)
