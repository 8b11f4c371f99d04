"""Signed locations with the real daemon: what Django signs it takes, and nothing else."""

from __future__ import annotations

import base64
import functools
import io
import json
import os
import random
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from django.core import signing
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from pushserver import behind, conf, handover, keys
from pushserver.test import PushServer
from pushserver.utils import pool, updates
from tests.conftest import wait_until
from tests.project import Project
from tests.test_allrequests import get
from tests.test_daemon import running, url_of

LOCATIONS = [
    {"type": "subscriber", "url": r"/updates/([^/]+)", "signed": True, "create_on_get": True},
    {"type": "publisher", "url": r"/send-update/([^/]+)", "signed": True},
    {"type": "subscriber", "url": "/several", "query": "channel", "signed": True},
]
sign = functools.partial(signing.dumps, salt="pushserver.channel")


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body


def ask(url, **headers):
    """One answer, whatever its status; polls do not wait where there is a message."""
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


@pytest.fixture
def server(settings):
    settings.PUSH_SERVER = {"locations": LOCATIONS}
    with PushServer() as started:
        yield started


def test_who_has_a_url_of_django_gets_the_update(server):
    updates.send_update("räum/%", {"value": 1})
    assert ask(updates.subscriber_url("räum/%", user="ž")).body == b'{"value":1}'
    updates.send_update("hall", 2)
    several = updates.subscriber_url(["hall", "räum/%"]) + "&last_event_id=0:0"
    assert ask(several).status == 200


def test_nobody_else_does(server):
    updates.send_update("room", 1)
    bare, token = updates.subscriber_url("room").split("?token=")
    assert ask(f"{bare}?token={token}").status == 200
    assert ask(bare, Authorization=f"Bearer {token}").status == 200
    answer = ask(bare)
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert b"{% channel_url %}" in answer.body
    assert ask(bare.replace("room", "hall") + f"?token={token}").status == 401
    answer = ask(f"{bare}?token={token[:-3]}xyz")
    assert (answer.status, answer.body.strip()) == (401, b"the token does not fit this channel")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(updates.publisher_url("room"), b"2")


def test_an_expired_url_says_so(server, monkeypatch):
    updates.send_update("room", 1)
    with monkeypatch.context() as patch:
        patch.setattr("django.core.signing.time.time", lambda now=time.time: now() - 70)
        url = updates.subscriber_url("room", expires=60)
    answer = ask(url)
    assert answer.status == 401
    assert 'error_description="expired"' in answer.headers["WWW-Authenticate"]
    assert "WWW-Authenticate" in answer.headers["Access-Control-Expose-Headers"]
    # Late by Django's clock, not by the daemon's: an update has no more than a minute.
    with monkeypatch.context() as patch:
        patch.setattr("django.core.signing.time.time", lambda now=time.time: now() - 70)
        with pytest.raises(updates.UpdateRejected, match=r"401 \(the token has expired.*clocks"):
            updates.send_update("room", 1)


def test_urls_of_before_a_new_secret_key_are_good_while_it_is_a_fallback(settings):
    settings.PUSH_SERVER = {"locations": LOCATIONS}
    path = "?" + urlsplit(updates.subscriber_url("room")).query
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another, and just as secret"
    with PushServer():
        updates.send_update("room", 1)
        assert ask(updates.subscriber_url("room").partition("?")[0] + path).status == 200
    settings.SECRET_KEY_FALLBACKS = []
    with PushServer():
        updates.send_update("room", 1)
        assert ask(updates.subscriber_url("room").partition("?")[0] + path).status == 401


def test_a_project_with_another_secret_key_is_told(server, settings):
    settings.SECRET_KEY = "of another project"
    with pytest.raises(updates.UpdateRejected, match=r"401 .*the SECRET_KEY of this project"):
        updates.send_update("room", 1)
    with pytest.raises(updates.RevocationError, match="SECRET_KEY"):
        updates.revoke(7)


def tokens_of_all_kinds(randomness):
    """Good ones and all kinds of bad ones."""
    claims = {
        "c": randomness.choice(["room", ["room"], ["hall", "room"], "hall", "rööm", 7, None]),
        "e": randomness.choice([60, 3600, 604800, 604801, 0, -1, 1.5, "60", True]),
        "u": randomness.choice(["7", "", "ž" * 64, "ž" * 65, 7, None]),
        "a": randomness.choice(["pub", "sub", None]),
        "g": randomness.choice(["", "g", None]),
        "s": randomness.choice(["default", "chat", None]),
        "x": randomness.choice([1, {"c": 2}, [[]]]),
    }
    sound = {"c": "room", "e": 60}
    for name in randomness.sample([*"ceuagsx"], randomness.choice([0, 1, 1, 2, 7])):
        sound[name] = claims[name]
    for name in randomness.sample([*"ce"], randomness.choice([0] * 9 + [1])):
        del sound[name]
    text = json.dumps(sound, separators=(",", ":"), ensure_ascii=randomness.random() < 0.5)
    if randomness.random() < 0.1:
        text = text[:-1] + randomness.choice([',"e":60}', ',"u":"7"}', ',"x":1}', "", "}}", ",}"])
    key = randomness.choice(["only for tests"] * 9 + ["another"])
    payload = base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
    token = signing.TimestampSigner(key=key, salt="pushserver.channel").sign(payload)
    if randomness.random() < 0.2:
        at = randomness.randrange(len(token))
        token = token[:at] + randomness.choice("Ab9_-:.= %") + token[at + 1 :]
    return token


def test_the_daemon_and_the_view_for_nginx_agree(server):
    """Of random tokens, each by both: the same status, the same text, the same challenge."""
    updates.send_update("room", 1)
    bare = updates.subscriber_url("room").partition("?")[0]
    view = Client()
    randomness = random.Random(16)
    statuses = []
    for _ in range(400):
        token = tokens_of_all_kinds(randomness)
        url = f"{bare}?token={quote(token, safe=':')}"
        theirs = ask(url)
        uri = url[url.index("/updates") :]
        ours = view.get("/passthrough/authorize", headers={"X-Original-URI": uri})
        assert ours.status_code == theirs.status, token
        challenge = "WWW-Authenticate"
        assert ours.headers.get(challenge) == theirs.headers.get(challenge), token
        if theirs.status != 200:
            assert ours.content == theirs.body.strip(), token
        statuses.append(theirs.status)
    assert statuses.count(200) > 60
    assert statuses.count(401) > 60


def test_access_is_taken_back_at_once_and_for_tokens_of_before(server):
    updates.send_update("room", 1)
    url = updates.subscriber_url("room", user=7)
    theirs = updates.subscriber_url("room", user=8)
    held = []
    cursor = "&last_event_id=9999999999:0"
    polls = [
        threading.Thread(target=lambda one=one: held.append(ask(one + cursor)))
        for one in (url, theirs)
    ]
    for poll in polls:
        poll.start()
    server.wait_until_subscribed("room", 2)
    assert updates.revoke(7, "hall") == 0
    assert updates.revoke(7, "room") == 1
    polls[0].join(20)
    assert [(answer.status, answer.body.strip()) for answer in held] == [
        (403, b"access to this channel was taken back")
    ]
    assert ask(url).status == 403
    assert ask(theirs).status == 200
    # A token of another second is good again.
    wait_until(lambda: ask(updates.subscriber_url("room", user=7)).status == 200)
    assert updates.revoke(8) == 1
    polls[1].join(20)


def test_what_the_daemon_is_given(settings):
    secret = settings.SECRET_KEY = "never-to-be-handed-over"
    settings.PUSH_SERVER = {"locations": LOCATIONS, "signing_keys": ["x" * 43]}
    given = handover.daemon_settings(handover.with_status(conf.push_server()))
    assert given["signing_keys"] == [keys.text(keys.of_channels()[0]), "x" * 43]
    status = {"type": "status", "prefix": "/pushserver/", "secret": keys.of_status()}
    assert given["locations"] == [*LOCATIONS, status | {"inspector": True}]
    assert secret not in json.dumps(given)
    # Where others reach it, there is no inspector.
    settings.PUSH_SERVER |= {"address": "0.0.0.0"}
    given = handover.daemon_settings(handover.with_status(conf.push_server()))
    assert given["locations"] == [*LOCATIONS, status]
    settings.PUSH_SERVER = {}
    plain = handover.daemon_settings(handover.with_status(conf.push_server()))
    assert "signing_keys" not in plain
    assert plain["locations"][:-1] == [*conf.push_server()["locations"]]
    # One of the project's own stays where it stands, and has its own secret.
    own = {"type": "status", "prefix": "/own/"}
    settings.PUSH_SERVER = {"locations": [*LOCATIONS, own, own | {"secret": "hush"}]}
    *_, first, second = handover.daemon_settings(handover.with_status(conf.push_server()))[
        "locations"
    ]
    assert (first["secret"], second["secret"]) == (keys.of_status(), "hush")


@pytest.mark.parametrize(
    ("place", "is_taken"),
    [
        ({"prefix": "/"}, True),
        ({"prefix": "/pushserver/"}, True),
        ({"prefix": "/pushserver/pre"}, True),
        ({"url": "/([a-z]+/)?([^/]+)"}, True),
        ({"url": "/pushserver/(status|updates)"}, True),
        ({"url": "/push.*", "query": "channel"}, True),
        ({"prefix": "/pushserver/updates/"}, False),
        ({"prefix": "/updates/"}, False),
        ({"url": "/([^/]+)"}, False),
        ({"url": "("}, False),
    ],
)
def test_what_is_added_changes_no_index_unless_another_would_take_its_paths(place, is_taken):
    """Messages say locations[0] of what is that in PUSH_SERVER."""
    place = {"type": "subscriber"} | place
    made = handover.with_status(conf.push_server() | {"locations": [place]})["locations"]
    assert [each["type"] for each in made] == (
        ["status", "subscriber"] if is_taken else ["subscriber", "status"]
    )


def test_members_are_named_by_the_cookie_of_the_project(settings):
    settings.SESSION_COOKIE_NAME = "our_session"
    here = {"type": "subscriber", "prefix": "/here/", "presence": True}
    debounced = {"type": "subscriber", "prefix": "/told/", "passthrough_events": "debounced"}
    own = here | {"presence_cookie": "theirs"}
    off = {"type": "subscriber", "prefix": "/off/", "presence": False}
    settings.PUSH_SERVER = {"locations": [here, debounced, own, off]}
    given = handover.daemon_settings(conf.push_server())
    cookies = [place.get("presence_cookie") for place in given["locations"]]
    assert cookies == ["our_session", "our_session", "theirs", None]
    # By a key that stays, so that a session has one name in each run of the daemon.
    assert given["signing_keys"] == [keys.text(keys.of_channels()[0])]


def test_notices_have_a_secret_that_opens_nothing_else(settings):
    url = "http://127.0.0.1:8000/passthrough"
    told = {"type": "subscriber", "prefix": "/told/", "passthrough": url}
    settings.PUSH_SERVER = {"locations": [told, told | {"passthrough_secret": "hush"}]}
    given = handover.daemon_settings(conf.push_server())["locations"]
    assert [place["passthrough_secret"] for place in given] == [keys.of_notices()[0], "hush"]
    assert keys.of_notices()[0] not in {keys.of_status(), keys.text(keys.of_channels()[0])}
    # While the key is changed, it is one that the Django of before knows, too.
    before = keys.of_notices()
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another, and just as secret"
    given = handover.daemon_settings(conf.push_server())["locations"]
    assert given[0]["passthrough_secret"] in before
    assert given[0]["passthrough_secret"] in keys.of_notices()


def test_a_daemon_of_its_own_runs_with_what_is_written(settings):
    settings.PUSH_SERVER = {"locations": LOCATIONS}
    out = io.StringIO()
    call_command("pushserver_settings", stdout=out)
    written = json.loads(out.getvalue())
    assert written["signing_keys"] == [keys.text(keys.of_channels()[0])]
    # Only who asks for it has a location that a front server might pass on.
    assert [place["type"] for place in written["locations"]] == [
        place["type"] for place in LOCATIONS
    ]
    settings.SECRET_KEY = ""
    with pytest.raises(CommandError, match="SECRET_KEY"):
        call_command("pushserver_settings", stdout=out)


def test_nginx_is_configured_with_no_key(settings):
    settings.PUSH_SERVER = {"locations": LOCATIONS}
    out = io.StringIO()
    call_command("pushserver_nginx_config", stdout=out)
    assert keys.text(keys.of_channels()[0]) not in out.getvalue()


PROJECT = """
from tests.allrequests_settings import *

for place in PUSH_SERVER["locations"]:
    place["signed"] = True
"""


def test_views_behind_the_daemon_sign_for_it(tmp_path):
    (tmp_path / "signed.py").write_text(PROJECT)
    with Project(tmp_path, DJANGO_SETTINGS_MODULE="signed") as project:
        assert get(project.url + "/say?to=room&value=3") == "said"
        url = get(project.url + "/channel?id=room")
        assert url.startswith(f"{project.url}/updates/room?token=")
        assert json.loads(get(url)) == {"type": "answer", "value": "3"}
        assert ask(url.partition("?")[0]).status == 401
        # No key in any command line, nor in the environment of any part.
        own = [keys.text(keys.derived(purpose, "only for tests")) for purpose in _PURPOSES]
        for process in project.processes():
            for name in ("cmdline", "environ"):
                text = Path(f"/proc/{process}/{name}").read_bytes()
                assert not any(key.encode() in text for key in [*own, "only for tests"])


_PURPOSES = ("channel", "status", "passthrough")


def test_another_secret_key_needs_another_start(settings):
    settings.PUSH_SERVER = {}
    plain = behind.started_with()
    settings.SECRET_KEY = "another"
    assert behind.started_with() == plain
    told = {"type": "subscriber", "prefix": "/", "passthrough": "http://127.0.0.1:8000/passthrough"}
    for locations in (LOCATIONS, [told]):
        settings.PUSH_SERVER = {"locations": locations}
        settings.SECRET_KEY = "another"
        before = behind.started_with()
        settings.SECRET_KEY = "a third"
        after = behind.started_with()
        assert [name for name in after if after[name] != before[name]] == ["SECRET_KEY"]
    assert not any("third" in digest for digest in after.values())


def test_runpushserver_takes_revocations(monkeypatch, settings):
    with running("0", settings="tests.signed_settings") as (process, banner):
        url = url_of(banner).rstrip("/")
        settings.PUSH_SERVER = {"locations": LOCATIONS, "publisher_host": url.partition("//")[2]}
        assert updates.revoke(7) == 0
        daemon = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for pid in daemon:
            assert b"signing" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert os.environ.get("PUSH_SERVER_CURRENT_HOST") is None
    pool.shared.close()


def test_the_token_is_one_parameter(server):
    query = parse_qs(urlsplit(updates.subscriber_url(["a", "b"])).query)
    assert [*query] == ["channel", "token"]
    assert len(query["token"]) == 1
