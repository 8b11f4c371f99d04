"""Each check speaks where it should, and is silent otherwise."""

from __future__ import annotations

import functools
import ipaddress
import json
import uuid
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import django.urls
import pytest
from django.core.checks import run_checks
from django.core.serializers.json import DjangoJSONEncoder
from django.test import override_settings
from django.urls import include, reverse_lazy
from django.utils.translation import gettext_lazy

from pushserver import conf, hosts, secrets

# As in the documentation of django-pushserver 0.3, letter by letter.
OLD_DOCUMENTATION = {
    "port": 8001,
    "address": "127.0.0.1",
    "publisher_host": {
        "location": "127.0.0.1:8001",
        "secure": True,
    },
    "subscriber_host": {
        "location": "127.0.0.1:8001",
        "secure": False,
    },
    "store": {
        "type": "memory",
        "min_messages": 0,
        "max_messages": 100,
        "message_timeout": 10,
    },
    "locations": (
        {
            "type": "subscriber",
            "url": r"/updates/([^/]+)",
            "polling": "long",
            "create_on_get": True,
            "allow_origin": "http://127.0.0.1:8000",
            "allow_credentials": True,
            "passthrough": "http://127.0.0.1:8000/passthrough",
        },
        {
            "type": "publisher",
            "url": r"/send-update/([^/]+)",
        },
    ),
}


def ids(push_server, **other):
    return [message.id for message in messages(push_server, **other)]


def messages(push_server, **other):
    with override_settings(PUSH_SERVER=push_server, **other):
        found = run_checks(tags=["pushserver"])
    for message in found:
        str(message).encode()  # as a terminal needs it
    return found


def locations(subscriber=None, publisher=None):
    """The default locations with keys over them."""
    return {
        "locations": [
            {"type": "subscriber", "prefix": "/s/"} | (subscriber or {}),
            {"type": "publisher", "prefix": "/p/"} | (publisher or {}),
        ]
    }


def test_no_setting_is_right():
    assert run_checks(tags=["pushserver"]) == []


def test_a_store_may_have_a_file():
    store = {"persist": "/var/lib/pushserver/default.db", "persist_sync": "always"}
    assert ids({"store": {"type": "memory", **store}}) == []
    assert ids({"store": {"default": store}}) == []
    (fault,) = messages({"store": {"persist_sync": "never"}})
    assert "store.persist_sync" in fault.msg


def redis(**keys):
    return {"store": {"type": "redis", **keys}}


SENTINEL = {"master": "m", "nodes": ["10.0.0.1", "10.0.0.2:5"]}


def test_a_store_may_be_in_redis():
    login = {"username": "push", "password": {"file": "/run/secrets/redis"}}
    limits = {"min_messages": 0, "max_messages": 9, "message_timeout": 60, "channel_timeout": 5}
    for keys in (
        {},
        {"host": "redis.example", "port": 6380, "database": 2, "key_prefix": "a:", **login},
        {"host": "unix:/run/redis.sock", "password": {"env": "REDIS_PASSWORD"}},
        {"host": "::1", "timeout": 2.5, "cache": 1 << 20, "tls": False, **limits},
        {"tls": True},
        {"tls": {"ca": "/etc/ca.pem", "cert": "/c.pem", "key": "/k.pem", "server_name": "a"}},
        {"sentinel": SENTINEL | login, "password": gettext_lazy("hush")},
    ):
        assert ids(redis(**keys)) == []
        assert ids({"store": {"default": {}, "b": redis(**keys)["store"]}}) == []


@pytest.mark.parametrize(
    ("keys", "id_", "words"),
    [
        ({"max_memory": 1}, "E001", "store.max_memory:|Set maxmemory in redis.conf"),
        ({"persist": "/a.db"}, "E001", "store.persist:|Set appendonly in redis.conf"),
        ({"persist_sync": "always"}, "E001", "store.persist_sync:|Set appendfsync in redis.conf"),
        ({"databse": 1}, "E001", "store.databse:|Is 'database' meant?"),
        ({"type": "memory", "host": "a"}, "E001", "store.host:|It belongs to a store of type 'r"),
        ({"type": "rediss"}, "E002", "store.type: 'rediss' is none of memory, redis"),
        ({"tls": 1}, "E002", "store.tls: 1 is not of type bool or dict"),
        ({"tls": {"cert_file": "/c.pem"}}, "E001", "store.tls.cert_file:|Is 'cert' meant?"),
        ({"password": 12345}, "E002", "store.password: the value is not of type str or dict"),
        ({"password": {"value": "hush"}}, "E001", "store.password.value:|Known: env, file"),
        ({"sentinel": {"nodes": ["a"]}}, "E002", "store.sentinel.master: it is missing"),
        ({"sentinel": SENTINEL | {"nods": []}}, "E001", "store.sentinel.nods:|Is 'nodes' meant?"),
        ({"sentinel": SENTINEL, "host": "a"}, "E012", "store.host: not beside sentinel"),
        ({"sentinel": SENTINEL, "port": 1}, "E012", "store.port: not beside sentinel"),
        ({"sentinel": SENTINEL | {"username": "u"}}, "E012", "store.sentinel.username: without"),
        ({"key_prefix": "a{"}, "E012", "store.key_prefix: '{' cannot be in it"),
        ({"host": "a:1"}, "E012", "store.host: no host: write a name"),
        ({"host": "redis://:hush@a"}, "E012", "store.host: no host"),
        ({"host": "unix:/s", "port": 1}, "E012", "store.port: without effect"),
        ({"username": "u"}, "E012", "store.username: without effect"),
        ({"password": ""}, "E012", "store.password: empty"),
        ({"password": {}}, "E012", "store.password: write one of {'env': 'NAME'} and"),
    ],
    ids=ascii,
)
def test_what_a_redis_store_cannot_be_told(keys, id_, words):
    (message,) = messages(redis(**keys))
    assert message.id == f"pushserver.{id_}"
    of_message, _, of_hint = words.partition("|")
    assert message.msg.startswith(f"PUSH_SERVER: {of_message}")
    assert of_hint in (message.hint or "")
    assert "hush" not in str(message)
    assert "12345" not in str(message)


def test_two_stores_do_not_share_their_channels():
    (message,) = messages({"store": {"default": redis()["store"], "b": redis(port=6379)["store"]}})
    assert message.id == "pushserver.E012"
    assert message.msg.startswith("PUSH_SERVER: store.b.key_prefix: its keys are those of store.de")
    for key, value in {"host": "a", "port": 1, "database": 1, "key_prefix": "b:"}.items():
        both = {"default": redis()["store"], "b": redis(**{key: value})["store"]}
        assert ids({"store": both}) == []


@pytest.mark.parametrize("key", ["secret", "passthrough_secret"])
def test_of_a_secret_nothing_is_shown(key):
    kinds = {"passthrough_secret": "subscriber", "secret": "publisher"}
    wrong = {"type": kinds[key], "prefix": "/a/", key: ["hush"]}
    (message,) = messages({"locations": [wrong]})
    assert message.msg == f"PUSH_SERVER: locations[0].{key}: the value is not of type str or dict."


def test_of_a_key_nothing_is_shown():
    for wrong in ({"signing_keys": ["x", 12345]}, {"signing_keys": "12345"}):
        (message,) = messages(wrong)
        assert message.id == "pushserver.E002"
        assert "signing_keys" in message.msg
        assert "12345" not in message.msg


@pytest.mark.parametrize("where", [{"env": "PUSH_SECRET"}, {"file": "/run/secrets/push"}])
def test_a_secret_may_stand_elsewhere(where):
    assert ids(locations({"passthrough_secret": where}, {"secret": where})) == []
    assert ids({"signing_keys": [where, "x"], **locations()}) == []
    both = {"env": "A", "file": "/b"}
    assert ids(locations(None, {"secret": both})) == ["pushserver.E009"]
    assert ids(locations(None, {"secret": {}})) == ["pushserver.E009"]
    (message,) = messages({"signing_keys": [where | {"enf": "hush"}]})
    assert "signing_keys[0].enf: there is no such key" in message.msg


SIGNED = locations({"signed": True}, {"signed": True})


def test_signed_locations_are_right():
    assert ids(SIGNED) == []
    assert (
        ids({"locations": [{"type": "status", "prefix": "/status/"}, *SIGNED["locations"]]}) == []
    )
    named = {"store": {"a": {}}, "locations": [{**p, "store": "a"} for p in SIGNED["locations"]]}
    named["locations"].insert(0, {"type": "status", "prefix": "/status/"})
    assert ids(named) == []


def test_without_a_secret_key_nothing_can_be_signed():
    (message,) = messages(SIGNED, SECRET_KEY="")
    assert message.id == "pushserver.E013"
    assert "SECRET_KEY is empty" in message.msg
    assert ids(locations(), SECRET_KEY="") == []


@pytest.mark.parametrize("seconds", [0, -1, 604801, "60", 1.5, None])
def test_tokens_are_good_for_no_longer_than_the_daemon_takes_them(seconds):
    (message,) = messages(SIGNED, PUSH_SERVER_TOKEN_SECONDS=seconds)
    assert message.id == "pushserver.E013"
    assert "PUSH_SERVER_TOKEN_SECONDS" in message.msg
    assert ids(SIGNED, PUSH_SERVER_TOKEN_SECONDS=604800) == []
    assert ids(locations(), PUSH_SERVER_TOKEN_SECONDS=seconds) == []
    longer = SIGNED | {"limits": {"token_seconds": 604801}}
    assert ids(longer, PUSH_SERVER_TOKEN_SECONDS=604801) == []


def test_notices_that_everybody_can_cause_are_told():
    notices = locations(
        {"passthrough": "http://127.0.0.1:8000/passthrough", "passthrough_secret": "x"},
        {"signed": True},
    )
    assert ids(notices) == []
    assert ids(notices | {"address": "unix:/run/push"}) == []
    (message,) = messages(notices | {"address": "0.0.0.0"})
    assert message.id == "pushserver.W009"
    assert "locations[0]" in message.msg
    notices["locations"][0]["signed"] = True
    assert ids(notices | {"address": "0.0.0.0"}) == []
    members = locations({"presence": True}, {"signed": True})
    assert ids(members) == []
    (message,) = messages(members | {"address": "0.0.0.0"})
    assert message.id == "pushserver.W009"
    assert "members" in message.msg
    members["locations"][0]["presence"] = False
    assert ids(members | {"address": "0.0.0.0"}) == []


@pytest.mark.parametrize(
    ("key", "value"), [("presence", True), ("passthrough_events", "debounced")]
)
def test_of_a_shared_store_nobody_knows_who_is_there(key, value):
    url = "http://127.0.0.1:8000/passthrough"
    place = {key: value, "passthrough": url}
    assert ids(locations(place)) == []
    (message,) = messages(locations(place) | redis())
    assert message.id == "pushserver.E014"
    assert message.msg.startswith(f"PUSH_SERVER: locations[0].{key}: not for a store of type 'r")
    named = {"store": {"default": redis()["store"], "b": {}}}
    assert ids(locations(place | {"store": "b"}, {"store": "b"}) | named) == []
    assert ids(locations({"presence": False, "passthrough": url}) | redis()) == []


def test_django_has_nothing_to_say_about_the_urls():
    assert run_checks() == []


def test_the_old_documentation_is_right():
    assert ids(OLD_DOCUMENTATION) == []


@pytest.mark.parametrize(
    ("push_server", "path", "hint"),
    [
        ({"prot": 1}, "prot", "'port'"),
        ({"store": {"type": "memory", "max_message": 1}}, "store.max_message", "'max_messages'"),
        ({"store": {"a": {"type": "memory", "x": 1}}}, "store.a.x", "Known"),
        ({"store": {"default": "memory"}}, "store.default", "Known"),
        (locations({"create_on_post": True}), "locations[0].create_on_post", "'create_on_get'"),
        ({"limits": {"body_byte": 1}}, "limits.body_byte", "'body_bytes'"),
        ({"publisher_host": {"url": "x"}}, "publisher_host.url", "Known"),
        ({7: 1}, "7", "Known"),
        ({"store": {"type": "memory", (1,): 1}}, "store.(1,)", "Known"),
        ({"limits": {gettext_lazy("headers"): 1}}, "limits.headers", "'headers'"),
        ({"limits": {"\udc00": 1}}, r"limits.\udc00", "Known"),
        ({10**5000: 1}, "<int>", "Known"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(push_server, path, hint):
    (message,) = messages(push_server)
    assert message.id == "pushserver.E001"
    assert f" {path}:" in message.msg
    assert hint in message.hint


@pytest.mark.parametrize(
    ("push_server", "path"),
    [
        ("port=8001", "dictionary"),
        ({"port": "eight"}, "port:"),
        ({"port": True}, "port:"),
        ({"address": 127}, "address:"),
        ({"store": "memory"}, "store:"),
        ({"store": {"type": "disk"}}, "store.type:"),
        ({"store": {"type": None}}, "store.type:"),
        ({"locations": {"type": "publisher"}}, "locations:"),
        ({"locations": ["/updates/"]}, "locations[0]:"),
        ({"locations": [{"prefix": "/s/"}]}, "locations[0].type:"),
        (locations({"polling": "lon"}), "locations[0].polling:"),
        (locations({"create_on_get": 1}), "locations[0].create_on_get:"),
        (locations({"concurrency": "all"}), "locations[0].concurrency:"),
        (locations({"timeout": "55"}), "locations[0].timeout:"),
        (locations(None, {"allow": "127.0.0.0/8"}), "locations[1].allow:"),
        ({"limits": {"headers": 1.5}}, "limits.headers:"),
        ({"subscriber_host": {"location": 8001}}, "subscriber_host.location:"),
        ({"limits": {"body_timeout": float("nan")}}, "limits.body_timeout:"),
        (locations({"timeout": float("inf")}), "locations[0].timeout:"),
        ({"store": {"a": {}, "default": {"message_timeout": float("-inf")}}}, "store.default.mess"),
        (locations(None, {"allow": ["::1", "\ud83d"]}), "locations[1].allow[1]:"),
    ],
)
def test_a_wrong_value_is_named(push_server, path):
    (message,) = messages(push_server)
    assert message.id == "pushserver.E002"
    assert path in message.msg


def deep():
    """A list in a list, many times more than Python's stack is deep."""
    outer = inner = []
    for _ in range(50_000):
        inner.append([])
        inner = inner[0]
    return outer


def in_itself():
    around = []
    around.append(around)
    return around


class Unprintable:
    def __repr__(self):
        raise OSError("no")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1, "1"),
        (None, "None"),
        (["a"], "['a']"),
        (Decimal(1), "Decimal('1')"),
        (uuid.UUID(int=0), "UUID('00000000-0000-0000-0000-000000000000')"),
        (Path("/x"), "PosixPath('/x')"),
        (ipaddress.ip_network("10.0.0.0/8"), "IPv4Network('10.0.0.0/8')"),
        ({"a"}, "{'a'}"),
        (b"a", "b'a'"),
        (..., "Ellipsis"),
        (in_itself(), "[[...]]"),
        (10**5000, "<int>"),
        (deep(), "<list>"),
        (Unprintable(), "<Unprintable>"),
        (reverse_lazy("no such view"), "<__proxy__>"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_in_a_list_is_a_string(value, shown):
    for push_server, path in (
        ({"hosts": ["a", value]}, "hosts[1]"),
        ({"trusted_proxies": (value,)}, "trusted_proxies[0]"),
        (locations({"allow_origin": [value]}), "locations[0].allow_origin[0]"),
        (locations(None, {"allow": [value]}), "locations[1].allow[0]"),
    ):
        (message,) = messages(push_server)
        assert message.id == "pushserver.E002"
        assert message.msg == f"PUSH_SERVER: {path}: {shown} is not of type str."


@pytest.mark.parametrize("name", [1, True, None, (1, 2), "\udc00", gettext_lazy("big")])
def test_the_name_of_a_store_is_a_string(name):
    (message,) = messages({"store": {"default": {}, name: {}}})
    assert message.id == "pushserver.E002"
    assert message.msg.startswith(f"PUSH_SERVER: a name in store: {name!r} ")


def test_settings_that_hold_themselves():
    push_server = {}
    push_server["limits"] = push_server
    assert ids(push_server) == ["pushserver.E001"]
    store = {}
    store["a"] = store
    assert ids({"store": store}) == ["pushserver.E001"]


@pytest.mark.parametrize("key", ["port", "store", "limits", "locations", "address", "$schema"])
def test_a_value_nested_deep_is_named(key):
    (message,) = messages({key: deep()} if key != "locations" else {key: [deep()]})
    assert message.id == "pushserver.E002"


def test_numbers_of_too_many_digits():
    for port in (10**5000, "9" * 5000):
        assert ids({"port": port}) == ["pushserver.E002"]


def test_a_lazy_string_is_a_string():
    lazy = gettext_lazy
    push_server = {
        "address": lazy("127.0.0.1"),
        "hosts": [lazy("localhost")],
        "publisher_host": lazy("127.0.0.1:8001"),
        "subscriber_host": {"location": lazy("127.0.0.1:8001")},
    } | locations(
        {
            "type": lazy("subscriber"),
            "polling": lazy("long"),
            "store": lazy("default"),
            "allow_origin": lazy("http://127.0.0.1:8000"),
            "passthrough": lazy("http://127.0.0.1:8000/passthrough"),
            "passthrough_secret": lazy("x"),
        },
        {"allow_origin": [lazy("null")], "secret": lazy("x"), "prefix": lazy("/p/")},
    )
    assert messages(push_server) == []
    with override_settings(PUSH_SERVER=push_server):
        assert hosts.explicit_host("publisher_host") == ("127.0.0.1:8001", False)
        assert secrets.of_notices()[0] == "x"
        written = json.loads(json.dumps(conf.push_server(), cls=DjangoJSONEncoder))
    assert written["hosts"] == ["localhost"]
    assert ids(locations({"allow_origin": lazy("http://a/")})) == ["pushserver.W005"]
    assert ids(locations({"polling": lazy("lon")})) == ["pushserver.E002"]
    assert ids(locations({"passthrough_secret": lazy("two words")})) == ["pushserver.E009"]


@pytest.mark.parametrize(
    "url",
    ["/s/", "/s/(a)(b)", "/s/(", "/(?:a|b)/(.+)", "/(a{99999999999})", "(" * 9999 + ")" * 9999],
    ids=lambda url: url[:20],
)
def test_a_url_that_cannot_be_reversed(url):
    assert ids(locations({"url": url})) == ["pushserver.E003"]


def test_a_second_location_need_not_be_reversible_but_needs_its_group():
    def second(url):
        push_server = locations()
        push_server["locations"].append({"type": "subscriber", "url": url})
        return push_server

    assert ids(second("/(?:a|b)/(.+)")) == []
    assert ids(second("/a/.+")) == ["pushserver.E003"]


@pytest.mark.parametrize("key", ["url", "prefix"])
def test_a_pattern_that_is_too_long(key):
    rest = "(.+)" if key == "url" else ""
    (message,) = messages(locations({key: "/" + "ö" * 4500 + rest}))
    assert message.id == "pushserver.E003"
    assert f"locations[0].{key}: 90" in message.msg
    assert ids(locations({key: "/" + "ö" * 1000 + rest})) == []


def test_a_location_without_url_and_prefix():
    assert ids(locations({"prefix": ""})) == ["pushserver.E003"]


def test_a_host_that_is_a_url():
    assert ids({"publisher_host": "http://127.0.0.1:8001"}) == ["pushserver.E004"]
    assert ids({"subscriber_host": {"location": "127.0.0.1:8001/x"}}) == ["pushserver.E004"]


@pytest.mark.parametrize("location", ["127.0.0.1:8001", "localhost:8001", "[::1]:8001", ""])
def test_secure_where_the_daemon_itself_listens(location):
    host = {"location": location, "secure": True}
    # At a loopback address it makes a certificate of its own.
    assert ids({"subscriber_host": host}) == []
    elsewhere = {"address": "192.0.2.7", "locations": SIGNED["locations"]}
    host["location"] = location and "192.0.2.7:8001"
    (message,) = messages({"publisher_host": host, **elsewhere})
    assert message.id == "pushserver.E005"
    assert "publisher_host" in message.msg
    files = {"certificate": "/etc/cert.pem", "private_key": "/etc/key.pem"}
    assert ids({"publisher_host": host, **elsewhere, **files}) == []


def test_secure_in_front_of_the_daemon_is_right():
    assert ids({"publisher_host": {"location": "push.example.com", "secure": True}}) == []
    assert ids({"publisher_host": {"location": "127.0.0.1:8443", "secure": True}}) == []


def test_any_origin_with_credentials():
    assert ids(locations({"allow_credentials": True})) == ["pushserver.E006"]
    star = {"allow_credentials": True, "allow_origin": ["*", "http://a"]}
    assert ids(locations(star)) == ["pushserver.E006"]
    assert ids(locations(star | {"allow_origin": "http://a"})) == []


@pytest.mark.parametrize("origin", ["http://a/", "127.0.0.1:8000", "http://a/path", ""])
def test_what_no_origin_is(origin):
    assert ids(locations({"allow_origin": ["http://a:8000", origin]})) == ["pushserver.W005"]


PASSTHROUGH = functools.partial(locations, {"passthrough": "http://127.0.0.1:8000/passthrough"})


def test_a_passthrough_that_is_included_is_right():
    assert ids(PASSTHROUGH()) == []
    assert ids(locations({"passthrough": "http://127.0.0.1:8000/passthrough/"})) == []


@pytest.mark.parametrize(
    "url", ["/passthrough", "http://[::1:8000/passthrough", "http://\u2100/x", "http://["]
)
def test_a_passthrough_that_is_no_url(url):
    assert ids(locations({"passthrough": url})) == ["pushserver.E007"]


@pytest.mark.parametrize(
    "path", ["/passthrough/möte", "/pass through", "/passthrough#a", "/\t", "/<a>", "/`a`"]
)
def test_a_passthrough_with_what_is_to_be_percent_encoded(path):
    (message,) = messages(locations({"passthrough": f"http://127.0.0.1:8000{path}"}))
    assert message.id == "pushserver.E007"


def test_a_passthrough_whose_path_is_percent_encoded(settings):
    urls = ModuleType("urls")
    urls.urlpatterns = [django.urls.path("möte", include("pushserver.urls"))]
    settings.ROOT_URLCONF = urls
    assert ids(locations({"passthrough": "http://127.0.0.1:8000/m%C3%B6te"})) == []


def test_a_passthrough_that_is_not_included():
    assert ids(PASSTHROUGH(), ROOT_URLCONF=()) == ["pushserver.W001"]


def test_a_passthrough_whose_host_is_not_allowed():
    assert ids(PASSTHROUGH(), ALLOWED_HOSTS=["example.com"]) == ["pushserver.W007"]
    assert ids(PASSTHROUGH(), ALLOWED_HOSTS=[]) == ["pushserver.W007"]
    assert ids(PASSTHROUGH(), ALLOWED_HOSTS=[], DEBUG=True) == []
    assert ids(PASSTHROUGH(), ALLOWED_HOSTS=["testserver"]) == []  # in a test run
    assert ids(PASSTHROUGH(), ALLOWED_HOSTS=["127.0.0.1"]) == []
    over_ipv6 = locations({"passthrough": "http://[::1]:8000/passthrough"})
    assert ids(over_ipv6, ALLOWED_HOSTS=[], DEBUG=True) == []


def test_a_publisher_that_everybody_reaches():
    everywhere = {"address": "0.0.0.0"}
    assert ids(everywhere) == ["pushserver.W003"]
    assert ids(everywhere | locations(None, {"secret": "x"})) == []
    assert ids(everywhere | locations(None, {"allow": ["10.0.0.0/8"]})) == []
    assert ids({"address": "unix:/run/push.sock"}) == []
    assert ids({"address": "::1"}) == []


def test_a_publisher_that_everybody_reaches_through_a_front_server():
    front = {"allrequests": "http://127.0.0.1:8002", "trusted_proxies": ["127.0.0.1", "10.0.0.0/8"]}
    assert ids(front) == ["pushserver.W003"]
    for allowed in (["127.0.0.0/8"], ["::1", "10.1.2.3"], ["0.0.0.0/0"]):
        (message,) = messages(front | locations(None, {"allow": allowed}))
        assert message.id == "pushserver.W003"
        assert "front server at 1" in message.msg
    for allowed in (["192.0.2.0/24"], ["::1"], ["no network"]):
        assert ids(front | locations(None, {"allow": allowed})) == []
    assert ids(front | locations(None, {"secret": "x"})) == []
    assert ids(front | {"trusted_proxies": []}) == []
    # Each location has one line at most.
    assert ids(front | {"address": "0.0.0.0"}) == ["pushserver.W003"]


@pytest.mark.parametrize("secret", ["", "two words", "\u017e", "line\n"])
def test_a_secret_that_is_no_header(secret):
    assert ids(locations({"passthrough_secret": secret})) == ["pushserver.E009"]
    assert ids(locations(None, {"secret": secret})) == ["pushserver.E009"]
    upstream = {"allrequests": "http://127.0.0.1:8002", "allrequests_secret": secret}
    assert ids(upstream) == ["pushserver.E009"]


def test_one_secret_for_clients_requests_and_for_notices_is_an_error() -> None:
    upstream = {"allrequests": "http://127.0.0.1:8002", "allrequests_secret": "s"}
    assert ids(upstream | locations({"passthrough_secret": "t"})) == []
    assert ids(upstream | locations({"passthrough_secret": "s"})) == ["pushserver.E009"]


@pytest.mark.parametrize("kind", ["publisher", "subscriber"])
def test_a_missing_type_of_location(kind):
    (message,) = messages({"locations": [{"type": kind, "prefix": "/x/"}]})
    assert message.id == "pushserver.W004"


def test_a_store_that_is_not_there():
    stores = {"store": {"default": {"type": "memory"}, "big": {"type": "memory"}}}
    assert (
        ids(stores | locations({"store": "small"}, {"store": "small"})) == ["pushserver.E008"] * 2
    )
    assert ids(stores | locations({"store": "big"}, {"store": "big"})) == []


def test_publisher_and_subscriber_that_never_meet():
    assert ids(locations({"channel_group": "a"})) == ["pushserver.W006"]
    assert ids(locations({"channel_group": "a"}, {"channel_group": "a"})) == []


def test_a_pubsub_location_is_both_kinds():
    both = {"type": "pubsub", "prefix": "/b/"}
    assert ids({"locations": [both]}) == []
    assert ids({"locations": [both], "address": "0.0.0.0"}) == ["pushserver.W003"]
    assert ids({"locations": [both | {"polling": "lon"}]}) == ["pushserver.E002"]
    assert ids({"locations": [both | {"delimiter": ","}]}) == ["pushserver.E001"]
    # Without allow_origin no page is let in, so that nothing is wrong with credentials.
    assert ids({"locations": [both | {"allow_credentials": True}]}) == []
    star = both | {"allow_credentials": True, "allow_origin": "*"}
    assert ids({"locations": [star]}) == ["pushserver.E006"]
    other = {"type": "publisher", "prefix": "/p/", "channel_group": "g"}
    assert ids({"locations": [other, both]}) == ["pushserver.W006"]


@pytest.mark.parametrize("value", ["new", 1.5, True, ["oldest"]])
def test_a_first_message_of_another_form(value):
    (message,) = messages(locations({"first_message": value}))
    assert message.id == "pushserver.E002"
    assert " locations[0].first_message:" in message.msg


@pytest.mark.parametrize("value", ["oldest", "newest", -7])
def test_a_first_message(value):
    assert ids(locations({"first_message": value})) == []


@pytest.mark.parametrize(
    "keys",
    [
        {"delimiter": ""},
        {"delimiter": "%2C"},
        {"delimiter": "a b"},
        {"delimiter": "ö"},
        {"url": "/s", "prefix": "", "query": ""},
        {"url": "/s", "prefix": "", "query": "a\n"},
        {"url": "/s", "prefix": "", "query": "last_event_id"},
        {"url": "/s", "prefix": "", "query": "token"},
        {"url": "/s", "query": "channel"},
        {"url": "/s/(.+)", "delimiter": ",", "query": "channel"},
    ],
)
def test_channel_ids_that_cannot_stand_in_a_request(keys):
    assert "pushserver.E010" in ids(locations(keys))


def test_channel_ids_in_a_list_or_in_the_query():
    assert ids(locations({"delimiter": ","})) == []
    query = {"type": "subscriber", "url": "/s", "query": "channel"}
    publisher = {"type": "publisher", "prefix": "/p/"}
    assert ids({"locations": [query, publisher]}) == []
    assert ids({"locations": [query | {"url": "/s/(.+)"}, publisher]}) == ["pushserver.E003"]
    # The first location for several channels is one that URLs are made for.
    one, several = {"type": "subscriber", "prefix": "/s/"}, query | {"url": "/(?:a|b)"}
    (message,) = messages({"locations": [one, several, publisher]})
    assert (message.id, "locations[1].url" in message.msg) == ("pushserver.E003", True)


@pytest.mark.parametrize(
    ("transports", "words"),
    [
        (["poll"], "'eventsource': pages that use updates.module.js poll"),
        (["poll", "websocket"], "no 'eventsource':"),
        (["eventsource"], "no 'poll': pages that use updates.js"),
        (["websocket"], "no 'eventsource' and no 'poll': pages get no update"),
    ],
)
def test_transports_that_the_scripts_do_not_use(transports, words):
    (message,) = messages(locations({"transports": transports}))
    assert message.id == "pushserver.W008"
    assert words in message.msg
    first = {"type": "subscriber", "prefix": "/first/"}
    push_server = locations({"transports": transports})
    push_server["locations"].insert(0, first)
    assert ids(push_server) == []


def test_transports_that_the_scripts_use():
    for transports in (["eventsource", "poll"], ("poll", "eventsource", "websocket")):
        assert ids(locations({"transports": transports})) == []


def test_transports_that_the_daemon_refuses():
    assert ids(locations({"transports": []})) == ["pushserver.E011"]
    assert ids(locations({"transports": ["poll", "poll"]})) == ["pushserver.E011"]
    assert ids(locations({"transports": ["sse"]})) == ["pushserver.E002"]
