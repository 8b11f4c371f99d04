"""What the ``runserver`` behind the daemon believes, and of whom."""

from __future__ import annotations

import json
import os
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIRequest
from django.core.servers.basehttp import get_internal_wsgi_application
from django.utils.module_loading import import_string

from pushserver import behind, hosts, keys
from pushserver.views import passthrough

# What the daemon shows with its notices.
NOTICED = keys.text(keys.derived("passthrough", "only for tests"))


@pytest.fixture(autouse=True)
def _behind_the_daemon(monkeypatch):
    monkeypatch.setenv(behind.PROXY_SECRET_VARIABLE, "proxied")
    monkeypatch.setenv(hosts.HOST_VARIABLE, "0.0.0.0:8000")


def environ(**fields):
    """What Django sees of a request with these X-Pushserver-… fields."""
    found = {"REMOTE_ADDR": "127.0.0.1", "SERVER_PORT": "40000", "HTTP_COOKIE": "a=1"}
    found |= {f"HTTP_X_PUSHSERVER_{name}": value for name, value in fields.items()}
    behind.believe_environ(found)
    return found


def test_the_daemon_says_where_a_client_is():
    assert environ(SECRET="proxied", PEER="10.9.9.9") == {
        "REMOTE_ADDR": "10.9.9.9",
        "SERVER_PORT": "8000",
        "HTTP_COOKIE": "a=1",
    }


@pytest.mark.parametrize("secret", ["proxied", "guessed"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_daemon_says_whether_a_client_came_by_https(secret, scheme):
    found = {
        "HTTP_X_PUSHSERVER_SECRET": secret,
        "HTTP_X_FORWARDED_PROTO": scheme,
        "wsgi.url_scheme": "http",
    }
    behind.believe_environ(found)
    expected = scheme if secret == "proxied" else "http"
    assert found["wsgi.url_scheme"] == expected
    for plain, secure in (("http", "https"), ("ws", "wss")):
        headers = [(b"x-pushserver-secret", secret.encode()), (b"host", b"a")]
        headers.append((b"x-forwarded-proto", scheme.encode()))
        scope = {"type": "http", "headers": headers, "scheme": plain}
        behind.believe_scope(scope)
        assert scope["scheme"] == (secure if expected == "https" else plain)


@pytest.mark.parametrize("secret", ["", "guessed", "proxied,proxied", "prox\xe9", NOTICED])
def test_nobody_else_says_so_and_no_view_sees_it(secret):
    seen = environ(SECRET=secret, PEER="10.9.9.9", OTHER="1")
    # The view of notices looks at its secret itself.
    notice = {"HTTP_X_PUSHSERVER_SECRET": NOTICED} if secret == NOTICED else {}
    assert seen == {
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_PORT": "40000",
        "HTTP_COOKIE": "a=1",
        **notice,
    }


def test_pages_do_not_depend_on_the_secret_of_notices(settings):
    place = {"type": "subscriber", "prefix": "/", "passthrough_secret": {"file": "/nowhere"}}
    settings.PUSH_SERVER = {"locations": [place]}
    assert environ(PEER="10.9.9.9")["REMOTE_ADDR"] == "127.0.0.1"


def test_without_a_secret_of_this_run_nothing_is_believed(monkeypatch):
    for known in (None, ""):
        monkeypatch.setenv(behind.PROXY_SECRET_VARIABLE, known or "")
        if known is None:
            monkeypatch.delenv(behind.PROXY_SECRET_VARIABLE)
        assert environ(SECRET="", PEER="10.9.9.9")["REMOTE_ADDR"] == "127.0.0.1"


def test_a_client_at_a_unix_socket_has_no_address(monkeypatch):
    monkeypatch.setenv(hosts.HOST_VARIABLE, "unix:/run/push.sock")
    assert environ(SECRET="proxied")["REMOTE_ADDR"] == ""


def scope(*fields, kind="http"):
    found = {
        "type": kind,
        "method": "GET",
        "path": "/",
        "client": ["127.0.0.1", 50000],
        "server": ["127.0.0.1", 40000],
        "headers": [(b"cookie", b"a=1"), *fields],
    }
    behind.believe_scope(found)
    return found


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_asgi_is_told_alike(kind):
    seen = scope(
        (b"x-pushserver-secret", b"proxied"), (b"x-pushserver-peer", b"10.9.9.9"), kind=kind
    )
    assert (seen["client"], seen["server"]) == (["10.9.9.9", 0], ["127.0.0.1", 8000])
    assert seen["headers"] == [(b"cookie", b"a=1")]
    if kind == "http":
        request = ASGIRequest(seen, None)
        assert request.META["REMOTE_ADDR"] == "10.9.9.9"
        assert request.get_port() == "8000"


def test_asgi_believes_nobody_else():
    for name in (b"x-pushserver-secret", b"X_Pushserver-Secret"):
        seen = scope((name, b"guessed"), (b"x-pushserver-peer", b"10.9.9.9"))
        assert (seen["client"], seen["server"]) == (["127.0.0.1", 50000], ["127.0.0.1", 40000])
        assert seen["headers"] == [(b"cookie", b"a=1")]
    notice = (b"x-pushserver-secret", NOTICED.encode())
    assert scope(notice)["headers"] == [(b"cookie", b"a=1"), notice]
    assert scope((b"x-pushserver-secret", b"proxied"))["client"] is None
    lifespan = {"type": "lifespan"}
    behind.believe_scope(lifespan)
    assert lifespan == {"type": "lifespan"}


def test_the_user_of_a_token_comes_with_a_notice_and_from_nobody_else():
    name = "HTTP_X_PUSHSERVER_USER"
    assert environ(SECRET=NOTICED, USER="42")[name] == "42"
    for secret in ("proxied", "guessed", ""):
        assert name not in environ(SECRET=secret, USER="42")
    user, notice = (b"x-pushserver-user", b"42"), (b"x-pushserver-secret", NOTICED.encode())
    assert scope(user, notice)["headers"] == [(b"cookie", b"a=1"), user, notice]
    assert scope(user)["headers"] == [(b"cookie", b"a=1")]


def test_receivers_do_not_see_the_secret_of_a_notice(rf):
    form = {"channel_id": "room", "subscribe": "1"}
    request = rf.post("/", form, headers={"X-Pushserver-Secret": NOTICED})
    assert request.headers["X-Pushserver-Secret"] == NOTICED
    assert passthrough(request).status_code == 200
    assert "X-Pushserver-Secret" not in request.headers
    assert not [name for name in request.META if "PUSHSERVER" in name]


@pytest.fixture
def wrapped(settings, monkeypatch):
    """Wraps the applications that these settings name."""

    def wrap(**given):
        monkeypatch.setattr(behind, "_theirs", {})
        settings.WSGI_APPLICATION = None
        for name, value in given.items():
            setattr(settings, name, value)
        behind._wrap_applications()

    return wrap


def test_every_servers_application_is_wrapped(settings, wrapped, rf):
    seen = []

    def theirs(environ, start_response):
        seen.append(environ["REMOTE_ADDR"])
        return [b""]

    sys.modules[__name__].their_wsgi = theirs
    wrapped(WSGI_APPLICATION=f"{__name__}.their_wsgi")
    fields = {"x-pushserver-secret": "proxied", "x-pushserver-peer": "10.9.9.9"}
    get_internal_wsgi_application()(rf.get("/", headers=fields).environ, None)
    assert seen == ["10.9.9.9"]
    wrapped()
    assert get_internal_wsgi_application().__name__ == "wsgi_application"
    assert not hasattr(settings, "ASGI_APPLICATION")
    wrapped(ASGI_APPLICATION=f"{__name__}.their_wsgi")
    # As Daphne and Channels take it.
    assert import_string(settings.ASGI_APPLICATION).__name__ == "asgi_application"


def test_an_application_that_cannot_be_loaded_is_named(wrapped):
    wrapped(WSGI_APPLICATION="nowhere.application")
    with pytest.raises(ImproperlyConfigured, match=r"'nowhere\.application' could not be loaded"):
        get_internal_wsgi_application()


def test_a_descriptor_of_the_same_number_is_no_pipe(monkeypatch):
    # What a view starts inherits the variable, and not the pipe.
    reading, writing = os.pipe()
    for inode, found in ((os.fstat(reading).st_ino, (reading, 7)), (1, None)):
        monkeypatch.setenv(behind.PIPES_VARIABLE, f"{reading}:{inode}:7")
        assert behind.inherited_pipes() == found
    os.close(reading)
    os.close(writing)
    assert behind.inherited_pipes() is None
    monkeypatch.delenv(behind.PIPES_VARIABLE)
    assert behind.inherited_pipes() is None


def test_what_the_daemon_has_no_longer_right_is_named(settings, monkeypatch):
    settings.PUSH_SERVER = {"port": 9000, "locations": [{"secret": object()}]}
    monkeypatch.setenv(behind.STARTED_WITH_VARIABLE, json.dumps(behind.started_with()))
    assert behind._changed() == []
    settings.ALLOWED_HOSTS = ["a.test"]
    assert behind._changed() == ["ALLOWED_HOSTS"]
    for wrong in ({"port": 9001}, {}, 5, {"port": "9" * 5000}, {"hosts": {1}}):
        settings.PUSH_SERVER = wrong
        assert behind._changed() == ["ALLOWED_HOSTS", "PUSH_SERVER"]
