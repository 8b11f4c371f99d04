"""Tokens of signed locations: what is signed, what is verified, all in Django's own form."""

from __future__ import annotations

import base64
import json
import random
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.middleware import SessionMiddleware
from django.core import signing
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.template import Context, RequestContext, Template, engines
from django.test import override_settings

from pushserver import keys, tokens
from pushserver.utils import updates

SECRET_KEY = "a secret key of tests"
OLDER = "an older one"
SIGNED_S = 1795936048
# The same as in the tests of src/relay/request/token.rs.
VECTORS = [
    (
        {"c": "room", "e": 3600},
        "eyJjIjoicm9vbSIsImUiOjM2MDB9:1xXZ0S:NCZ7aEQU9pmIbthwlNh46cTQ6QpzapzIWyxlF-bM2JQ",
    ),
    (
        {"c": "räum/%", "e": 60, "u": "42", "a": "pub", "g": "g", "s": "chat"},
        "eyJjIjoiclx1MDBlNHVtLyUiLCJlIjo2MCwidSI6IjQyIiwiYSI6InB1YiIsImciOiJnIiwicyI6ImNoYXQifQ"
        ":1xXZ0S:6BaMPw1UUbJM0m99fEgQom_FOLr4oBxRKedqch66Ruo",
    ),
    (
        {"c": ["a", "b"], "e": 1, "x": [1]},
        "eyJjIjpbImEiLCJiIl0sImUiOjEsIngiOlsxXX0:1xXZ0S:nHHkP7BSVipY-_QBFyP0W9fO2L2_1oF3eUkIuL6NPXk",
    ),
]
SIGNED = {
    "locations": [
        {"type": "subscriber", "url": r"/updates/([^/]+)", "signed": True},
        {"type": "publisher", "url": r"/send-update/([^/]+)", "signed": True},
    ]
}
SEVERAL = {"type": "subscriber", "url": "/updates", "query": "channel", "signed": True}


@pytest.fixture(autouse=True)
def _keys(settings):
    settings.SECRET_KEY = SECRET_KEY
    settings.SECRET_KEY_FALLBACKS = []
    settings.PUSH_SERVER = SIGNED


def token_of(url):
    (token,) = parse_qs(urlsplit(str(url)).query)["token"]
    return token


def claims_of(url):
    """As Django reads them."""
    return signing.loads(token_of(url), salt="pushserver.channel")


def sign(claims, **options):
    return signing.dumps(claims, salt="pushserver.channel", **options)


def sign_text(text, key=SECRET_KEY):
    """A token of any JSON, or of none."""
    payload = base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
    return signing.TimestampSigner(key=key, salt="pushserver.channel").sign(payload)


def verified(token, seconds=604800):
    return tokens.verified(token, keys.of_channels(), seconds)


def test_keys_are_derived_as_django_derives_them(settings):
    settings.SECRET_KEY_FALLBACKS = [OLDER, SECRET_KEY.encode()]
    assert [keys.text(key) for key in keys.of_channels()] == [
        "WPZ7yA_D0aNIjCHEGbtz24TFkjQ4ZWovxcFaPztwUGg",
        "Iz4EmekEW4lQnuGhvyKvDmMpS2p_dacV8fgJFHPNvQM",
    ]
    assert keys.of_status() != keys.text(keys.of_channels()[0])
    settings.SECRET_KEY_FALLBACKS = [str(number) for number in range(50)]
    assert len(keys.of_channels()) == 16


@pytest.mark.parametrize("empty", ["", b"", None])
def test_an_empty_fallback_lets_nobody_sign(settings, empty):
    settings.SECRET_KEY_FALLBACKS = [empty, OLDER]
    assert keys.derived("channel", "") not in keys.of_channels()
    assert keys.derived("channel", OLDER) in keys.of_channels()


@pytest.mark.parametrize(("claims", "token"), VECTORS)
def test_the_vectors_of_the_daemon(monkeypatch, claims, token):
    monkeypatch.setattr("time.time", lambda: SIGNED_S + 0.9)
    assert sign(claims) == token
    found = verified(token)
    assert found.channels == ([claims["c"]] if isinstance(claims["c"], str) else claims["c"])
    assert found.ends_s == SIGNED_S + claims["e"]
    assert found.user == claims.get("u")
    assert found.publishes == ("a" in claims)
    assert found.scope == (claims.get("g", ""), claims.get("s", "default"))


def test_a_token_of_an_older_key_is_good_as_long_as_that_is_a_fallback(settings):
    token = sign({"c": "room", "e": 60}, key=OLDER)
    assert verified(token) is None
    settings.SECRET_KEY_FALLBACKS = [OLDER]
    assert verified(token).channels == ["room"]


@pytest.mark.parametrize("backend", ["nowhere.Signer", "django.core.signing.TimestampSigner"])
def test_a_url_has_djangos_own_token_whatever_signs_cookies(settings, backend):
    settings.SIGNING_BACKEND = backend
    url = updates.subscriber_url("räum/ 1")
    assert url.startswith("http://127.0.0.1:8001/updates/r%C3%A4um%2F%201?token=")
    assert claims_of(url) == {"c": "räum/ 1", "e": 86400}


def test_a_location_that_is_not_signed_has_no_token(settings, rf):
    settings.SECRET_KEY = ""
    settings.PUSH_SERVER = {}
    request = rf.get("/")  # without a user, whom nobody asks for
    assert updates.subscriber_url("room", request) == "http://127.0.0.1:8001/updates/room"
    updates.subscriber_url("room", user="x" * 999, expires=0)


def test_how_long_it_is_good_for(settings):
    assert claims_of(updates.subscriber_url("room", expires=60))["e"] == 60
    settings.PUSH_SERVER_TOKEN_SECONDS = 7
    assert claims_of(updates.subscriber_url("room"))["e"] == 7
    for expires in (0, -1, 604801, 1.5, True, "60"):
        with pytest.raises(ValueError, match="seconds"):
            updates.subscriber_url("room", expires=expires)
    # The default follows a bound that is lower; a setting does not.
    settings.PUSH_SERVER = SIGNED | {"limits": {"token_seconds": 6}}
    with pytest.raises(ValueError, match="1 to 6"):
        updates.subscriber_url("room")
    del settings.PUSH_SERVER_TOKEN_SECONDS
    assert claims_of(updates.subscriber_url("room"))["e"] == 6


def test_whose_token_it_is(rf):
    request = rf.get("/")
    assert "u" not in claims_of(updates.subscriber_url("room", request))
    request.user = AnonymousUser()
    assert "u" not in claims_of(updates.subscriber_url("room", request))
    request.user = User(pk=42)
    assert claims_of(updates.subscriber_url("room", request))["u"] == "42"
    assert "u" not in claims_of(updates.subscriber_url("room", request, user=None))
    assert claims_of(updates.subscriber_url("room", request, user="ž"))["u"] == "ž"
    assert claims_of(updates.subscriber_url("room", user=User(pk=7)))["u"] == "7"
    for name in ("", "ž" * 65):
        with pytest.raises(ValueError, match="1 to 128 bytes"):
            updates.subscriber_url("room", user=name)


def test_a_page_depends_on_the_cookie_only_where_its_user_is_asked_for(settings, rf):
    class Lazy:
        """As ``request.user`` is."""

        def __init__(self, request):
            self._request = request

        def __getattr__(self, name):
            return getattr(User(pk=self._request.session.get("user", 1)), name)

    def vary(text):
        def view(request):
            request.user = Lazy(request)
            template = Template("{% load pushserver %}" + text)
            return HttpResponse(template.render(Context({"request": request})))

        return SessionMiddleware(view)(rf.get("/")).headers.get("Vary")

    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    assert vary("{% channel_url 7 %}") == "Cookie"
    assert vary("{% channel_url 7 user=None %}") is None
    settings.PUSH_SERVER = {}
    assert vary("{% channel_url 7 %}") is None


def test_one_token_for_several_channels(settings):
    settings.PUSH_SERVER = {"locations": [SEVERAL | {"channel_group": "g", "store": "chat"}]}
    url = updates.subscriber_url(["a", "&b", "a"])
    assert url.startswith("http://127.0.0.1:8001/updates?channel=a&channel=%26b&token=")
    assert claims_of(url) == {"c": ["a", "&b"], "e": 86400, "g": "g", "s": "chat"}
    assert claims_of(updates.subscriber_url("a"))["c"] == "a"


def test_the_first_location_says_and_another_for_several(settings):
    plain = {"type": "subscriber", "url": r"/plain/([^/]+)"}
    settings.PUSH_SERVER = {"locations": [plain, SEVERAL]}
    assert "token" not in updates.subscriber_url("a")
    assert claims_of(updates.subscriber_url(["a", "b"]))["c"] == ["a", "b"]


TAGS = [
    "{% channel_url 'a b' expires=60 user=None %}",
    "{% channel_url 'a b' expires=60 user=42 as url %}{{ url }}",
    "{% filter escapejs %}{% channel_url 'a b' %}{% endfilter %}",
]


@pytest.mark.parametrize("tag", TAGS)
def test_in_a_template_it_is_one_parameter_that_needs_no_escape(rf, tag):
    text = Template("{% load pushserver %}" + tag).render(RequestContext(rf.get("/")))
    url = text.encode().decode("unicode_escape")
    assert re.fullmatch(r"http://127.0.0.1:8001/updates/a%20b\?token=[A-Za-z0-9_:-]+", url)
    expected = {"c": "a b", "e": 60 if "60" in tag else 86400}
    assert claims_of(url) == expected | ({"u": "42"} if "42" in tag else {})


def test_in_jinja2(settings, rf):
    engine = {
        "BACKEND": "django.template.backends.jinja2.Jinja2",
        "OPTIONS": {"extensions": ["pushserver.jinja2.PushServerExtension"]},
    }
    settings.TEMPLATES = [*settings.TEMPLATES, engine]
    request = rf.get("/")
    request.user = User(pk=3)
    template = engines["jinja2"].from_string(
        "{{ channel_url('a') }} {{ channel_url('a', expires=9, user=None) }}"
    )
    first, second = template.render(request=request).split()
    assert claims_of(first) == {"c": "a", "e": 86400, "u": "3"}
    assert claims_of(second) == {"c": "a", "e": 9}


def test_without_a_secret_key_nothing_is_signed(settings):
    settings.SECRET_KEY = ""
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY"):
        updates.subscriber_url("room")


NO_TOKENS = [
    "",
    ":",
    "::",
    "a:b:c",
    sign({"c": "a", "e": 60}, key="another"),
    signing.dumps({"c": "a", "e": 60}, key=SECRET_KEY, salt="another"),
    sign({"c": "a" * 999, "e": 60}, key=SECRET_KEY, compress=True),
]


def with_id(text):
    return f'{{"c": {text}, "e": 60}}'


def with_seconds(text):
    return f'{{"c": "a", "e": {text}}}'


def with_claim(text):
    return f'{{"c": "a", "e": 60, {text}}}'


NO_CLAIMS = [
    *[
        "",
        "[]",
        ' {"c": "a", "e": 60}',
        "null",
        '"c"',
        "{",
        "{}",
        '{"c": "a"}',
        '{"e": 60}',
        '{"c": "a", "e": 60} x',
    ],
    *map(with_id, ["null", "7", "{}", '[["a"]]', '["a", 7]', '"\\ud800"']),
    *map(with_seconds, ["0", "-1", "60.0", "6e1", "true", '"60"', "null", "NaN"]),
    *map(with_seconds, ["604801", "9" * 30]),
    *map(with_claim, ['"c": "a"', '"e": 60', '"u": "1", "u": "1"', '"x": NaN']),
    *[with_claim(f'"u": {user}') for user in ("null", "7", '""', f'"{"ž" * 65}"')],
    *[with_claim(f'"a": {action}') for action in ("null", '"sub"', '""', "[]")],
    *[with_claim(f'"{name}": {text}') for name in "gs" for text in ("null", "7", "[]")],
    "[" * 100000,
]


@pytest.mark.parametrize("token", NO_TOKENS, ids=range(len(NO_TOKENS)))
def test_what_no_key_has_signed_is_no_token(token):
    assert verified(token) is None


@pytest.mark.parametrize("text", NO_CLAIMS, ids=range(len(NO_CLAIMS)))
def test_what_a_key_has_signed_may_be_no_token_all_the_same(text):
    assert verified(sign_text(text)) is None


@pytest.mark.parametrize(
    "text", ['"x": 1, "x": 2', '"y": [{"c": 1, "c": 2}]', '"u": "\\u017e"', '"g": "", "s": "é"']
)
def test_what_is_not_known_is_passed_over(text):
    assert verified(sign_text(with_claim(text))).channels == ["a"]


def test_a_signature_has_one_form_only():
    token = sign({"c": "a", "e": 60})
    assert verified(token)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    # The last character has two bits that say nothing: of four that decode alike, one is right.
    last = alphabet.index(token[-1])
    same = [token[:-1] + alphabet[last & ~3 | bits] for bits in range(4)]
    assert [bool(verified(each)) for each in same] == [each == token for each in same]
    for other in (token + "=", token + "\n", " " + token, token.replace(":", "%3A")):
        assert verified(other) is None


def test_no_change_of_a_token_is_taken():
    randomness = random.Random(16)
    token = sign({"c": ["a", "b"], "e": 60, "u": "42"})
    for _ in range(2000):
        at = randomness.randrange(len(token))
        other = randomness.choice("ABCxyz019_-:.=")
        changed = token[:at] + other + token[at + randomness.randint(0, 1) :]
        assert (verified(changed) is not None) == (changed == token), changed


def test_an_update_is_sent_with_a_token_of_its_own(stub, settings):
    settings.PUSH_SERVER = {"publisher_host": stub.host, **SIGNED}
    updates.send_update("a/b", 1)
    kind, token = stub.requests[0].headers["authorization"].split()
    assert kind == "Bearer"
    claims = signing.loads(token, salt="pushserver.channel")
    assert claims == {"c": "a/b", "e": 60, "a": "pub"}
    assert "?" not in stub.requests[0].path


def test_the_secret_of_a_location_goes_instead(stub, settings, monkeypatch, tmp_path):
    file = tmp_path / "secret"
    file.write_text("of a file\r\n")
    monkeypatch.setenv("TEST_SECRET", "of a variable")
    for secret in ("hush", {"env": "TEST_SECRET"}, {"file": str(file)}):
        place = {"type": "publisher", "prefix": "/p/", "signed": True, "secret": secret}
        settings.PUSH_SERVER = {"publisher_host": stub.host, "locations": [place]}
        updates.send_update("room", 1)
    told = [request.headers["authorization"] for request in stub.requests]
    assert told == ["Bearer hush", "Bearer of a variable", "Bearer of a file"]
    monkeypatch.setenv("EMPTY_hush", "")
    for secret, where in (
        ({"env": "hush"}, "env"),
        ({"env": "EMPTY_hush"}, "env"),
        ({"file": "/hush"}, "file"),
    ):
        place["secret"] = secret
        settings.PUSH_SERVER = {"publisher_host": stub.host, "locations": [place]}
        with pytest.raises(ImproperlyConfigured, match=rf"secret\.{where}: ") as caught:
            updates.send_update("room", 1)
        assert "hush" not in str(caught.value)


@pytest.mark.django_db(transaction=True)
def test_the_token_of_an_update_is_signed_when_it_is_sent(stub, settings, monkeypatch):
    from django.db import transaction

    settings.PUSH_SERVER = {"publisher_host": stub.host, **SIGNED}
    with transaction.atomic():
        updates.send_update("room", 1, on_commit=True)
        monkeypatch.setattr("django.core.signing.time.time", lambda: SIGNED_S)
    monkeypatch.undo()
    time = stub.requests[0].headers["authorization"].split(":")[1]
    assert signing.b62_decode(time) == SIGNED_S


@override_settings(SECRET_KEY=SECRET_KEY)
def test_no_claim_is_made_of_what_is_not_given():
    token = tokens.to_subscribe({}, ["a"], None, None, 5)
    payload = token.split(":")[0]
    text = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    assert json.loads(text) == {"c": "a", "e": 5}
