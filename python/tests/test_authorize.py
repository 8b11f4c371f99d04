"""The view that nginx asks: the daemon's rules, and nothing that nginx reads otherwise."""

from __future__ import annotations

import functools
from urllib.parse import urlencode

import pytest
from django.core import signing

from pushserver.utils import updates

sign = functools.partial(signing.dumps, salt="pushserver.channel")

LOCATIONS = [
    {"type": "subscriber", "url": r"/updates/([^/]+)", "signed": True},
    {"type": "publisher", "url": r"/send/([^/]+)", "signed": True, "secret": "hush"},
    {"type": "pubsub", "prefix": "/both/", "signed": True, "channel_group": "g"},
    {"type": "subscriber", "url": "/several", "query": "channel", "signed": True},
    {"type": "subscriber", "url": "/list/(.+)", "delimiter": ",", "signed": True},
    {"type": "subscriber", "prefix": "/open/"},
    # Nothing of a URL can be made of it, but requests have it.
    {"type": "subscriber", "url": "/(?:a|b)/([^/]+)", "signed": True, "channel_group": "h"},
    {"type": "subscriber", "prefix": "/"},
]


@pytest.fixture(autouse=True)
def _settings(settings):
    settings.PUSH_SERVER = {"locations": LOCATIONS}
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]


@pytest.fixture
def ask(client):
    def ask(uri, method="GET", bearer=None, path="/passthrough/authorize"):
        headers = {"X-Original-URI": uri, "X-Original-Method": method}
        headers |= {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return client.get(path, headers=headers)

    return ask


# Signed when the tests are collected, and used when all others have run.
LASTING = 600000


def token(channel="room", expires=LASTING, **claims):
    return sign({"c": channel, "e": expires, **claims})


def to_publish(channel="room", **claims):
    return token(channel, a="pub", **claims)


def test_the_answers_are_those_of_the_daemon(ask, monkeypatch):
    answer = ask("/updates/room")
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")
    assert answer.content == (
        b"this channel needs a token: ask the application for its URL ({% channel_url %})"
    )
    answer = ask("/updates/room?token=x")
    assert (answer.status_code, answer["WWW-Authenticate"]) == (
        401,
        'Bearer error="invalid_token"',
    )
    assert answer.content == b"the token does not fit this channel"
    expired = token(expires=60)
    monkeypatch.setattr("pushserver.authorize.time", lambda: signing.time.time() + 62)
    answer = ask(f"/updates/room?token={expired}")
    signed_s = signing.b62_decode(expired.split(":")[1])
    for late_s, status in ((59.999, 200), (60, 401)):
        monkeypatch.setattr("pushserver.authorize.time", lambda late_s=late_s: signed_s + late_s)
        assert ask(f"/updates/room?token={expired}").status_code == status
    assert (answer.status_code, answer["WWW-Authenticate"]) == (
        401,
        'Bearer error="invalid_token", error_description="expired"',
    )
    assert answer.content == b"the token has expired: ask the application for a new URL"


def test_no_cache_lets_anybody_in(ask, settings):
    settings.MIDDLEWARE = [
        "django.middleware.cache.UpdateCacheMiddleware",
        *settings.MIDDLEWARE,
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]
    assert ask(f"/updates/room?token={token()}").status_code == 200
    answer = ask("/updates/room")
    assert answer.status_code == 401
    assert "no-store" in answer["Cache-Control"]


def test_a_url_of_channel_url_is_let_in(ask):
    for channel in ("room", "räum 1"):
        url = updates.subscriber_url(channel, user="7")
        uri = url.removeprefix("http://127.0.0.1:8001")
        assert ask(uri).status_code == 200
        assert ask(uri + "&last_event_id=1:0&_=7").status_code == 200
        assert ask(uri.replace(":", "%3A")).status_code == 200
        assert ask(uri, path="/passthrough/authorize/").status_code == 200
        assert ask(uri.replace("/updates/", "/send/"), "POST").status_code == 401
    assert ask("/updates/r%6F%6fm?token=" + token()).status_code == 200
    assert ask("/updates/r%C3%A4um?token=" + token("räum")).status_code == 200
    assert ask("/updates/r%c3%a4um", bearer=token("räum")).status_code == 200


FITS = {
    "another channel": ("/updates/hall", "GET", token(), 401),
    "to publish": ("/updates/room", "GET", to_publish(), 401),
    "another group": ("/updates/room", "GET", token(g="g"), 401),
    "another store": ("/updates/room", "GET", token(s="chat"), 401),
    "named as by default": ("/updates/room", "GET", token(s="default", g=""), 200),
    "to subscribe": ("/send/room", "POST", token(), 401),
    "publishes": ("/send/room", "POST", to_publish(), 200),
    "looks at the channel": ("/send/room", "GET", to_publish(), 200),
    "deletes it": ("/send/room", "DELETE", token(), 401),
    "one side": ("/both/room", "GET", token(g="g"), 200),
    "the other side": ("/both/room", "POST", token(g="g"), 401),
    "both sides": ("/both/room", "GET", to_publish(g="g"), 200),
    "both sides, published": ("/both/room", "PUT", to_publish(g="g"), 200),
    "of no method": ("/both/room", "", token(g="g"), 401),
    "no reversible pattern": ("/a/room", "GET", token(g="h"), 200),
    "no reversible pattern, another group": ("/b/room", "GET", token(), 401),
    "a preflight": ("/updates/room", "OPTIONS", None, 200),
    "the secret": ("/send/room", "POST", "hush", 200),
    "another secret": ("/send/room", "POST", "hush!", 401),
    "the secret of the other side": ("/updates/room", "GET", "hush", 401),
    "one of several": ("/list/a", "GET", token(["a", "b"]), 200),
    "several": ("/list/a,b", "GET", token(["a", "b"]), 200),
    "one too many": ("/list/a,b,c", "GET", token(["a", "b"]), 401),
    "a delimiter in an id": ("/list/a%2Cb", "GET", token("a,b"), 200),
    # For these nginx does not ask, or it would serve another path.
    "not signed": ("/open/room", "GET", token(), 403),
    "nowhere": ("", "GET", token(), 403),
    "two slashes": ("//updates/room", "GET", token(), 403),
    "a dot": ("/updates/./room", "GET", token(), 403),
    "two dots": ("/both/x/../room", "GET", token("x/../room", g="g"), 403),
    "encoded dots": ("/both/x/%2e%2E/room", "GET", token("x/../room", g="g"), 403),
    "no UTF-8": ("/updates/%FF", "GET", token("\ufffd"), 401),
}


@pytest.mark.parametrize("case", FITS)
def test_a_token_fits_or_does_not(ask, case):
    uri, method, shown, status = FITS[case]
    assert ask(uri, method, bearer=shown).status_code == status


def several(channels, *tokens, **more):
    pairs = [*(("channel", channel) for channel in channels), *(("token", one) for one in tokens)]
    return "/several?" + urlencode([*pairs, *more.items()])


def test_several_tokens_of_one_user(ask, monkeypatch):
    a, b = token("a", u="1", expires=60), token("b", u="1", expires=90)
    assert ask(several("ab", a, b)).status_code == 200
    assert ask(several("ab", token(["b", "a", "c"]))).status_code == 200
    assert ask(several("a", a, b)).status_code == 200
    assert ask(several("ab", a)).status_code == 401
    assert ask(several("ab", a, "x")).status_code == 401
    assert ask(several("ab", a, token("b", u="2"))).status_code == 401
    assert ask(several("ab", a, token("b"))).status_code == 401
    monkeypatch.setattr("pushserver.authorize.time", lambda: signing.time.time() + 75)
    assert b"expired" in ask(several("ab", a, b)).content
    assert ask(several("b", b)).status_code == 200


def test_there_are_no_more_tokens_than_channels_in_one_request(ask, settings):
    settings.PUSH_SERVER |= {"limits": {"channels_per_request": 2}}
    tokens = [token(["a", "b"], expires=expires) for expires in (60, 70, 80)]
    assert ask(several("ab", *tokens[:2])).status_code == 200
    answer = ask(several("ab", *tokens))
    assert (answer.status_code, b"channels_per_request" in answer.content) == (400, True)


def test_a_clock_that_is_far_ahead_signs_no_token(ask, monkeypatch):
    signed_s = signing.time.time()
    for ahead_s, status in ((50, 200), (70, 401)):
        with monkeypatch.context() as patch:
            patch.setattr("django.core.signing.time.time", lambda by=ahead_s: signed_s + by)
            ahead = token(expires=604800)
        assert ask(f"/updates/room?token={ahead}").status_code == status


def test_two_tokens_for_one_channel_are_none(ask):
    assert ask(f"/updates/room?token={token()}&token={token()}").status_code == 400
    # One in the query counts, not the header's.
    assert ask("/updates/room?token=x", bearer=token()).status_code == 401


@pytest.mark.parametrize("other", ["CHANNEL", "Channel"])
def test_a_parameter_that_nginx_takes_for_the_channel_is_refused(ask, other):
    assert ask(several("a", token("a"))).status_code == 200
    assert ask(several("a", token("a"), **{other: "secret"})).status_code == 403
    assert ask(f"/several?{other}=secret&channel=a&token={token('a')}").status_code == 403


@pytest.mark.parametrize("uri", ["/several", "/several?channel=", "/several?x=1"])
def test_a_request_for_no_channel_is_refused(ask, uri):
    assert ask(uri, bearer=token("")).status_code == 403
