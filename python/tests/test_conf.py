"""URLs of channels, and what the settings mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from pushserver import conf, hosts
from pushserver.utils import updates


def test_without_any_setting_the_defaults_work(settings):
    assert not hasattr(settings, "PUSH_SERVER")
    assert updates.publisher_url("room") == "http://127.0.0.1:8001/send-update/room"
    assert updates.subscriber_url("room") == "http://127.0.0.1:8001/updates/room"


def test_a_missing_key_has_its_default(settings):
    settings.PUSH_SERVER = {"port": 9000, "address": None}
    assert updates.publisher_url("room") == "http://127.0.0.1:9000/send-update/room"


@pytest.mark.parametrize(
    ("channel_id", "encoded"),
    [
        ("a/b", "a%2Fb"),
        ("ž ?#&=%", "%C5%BE%20%3F%23%26%3D%25"),
        ("a'b\"<c>", "a%27b%22%3Cc%3E"),
        ("a-b_c.d~e", "a-b_c.d~e"),
        ("..", ".."),
        (42, "42"),
    ],
)
def test_a_channel_id_is_percent_encoded(channel_id, encoded):
    assert updates.subscriber_url(channel_id).endswith(f"/updates/{encoded}")
    assert updates.publisher_url(channel_id).endswith(f"/send-update/{encoded}")


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ({"prefix": "/push/"}, "/push/a%2Fb"),
        ({"prefix": "/push.v1/"}, "/push.v1/a%2Fb"),
        ({"prefix": "/ignored/", "url": r"/url/(.+)"}, "/url/a%2Fb"),
        ({"url": r"^/u/([^/]+)$"}, "/u/a%2Fb"),
        ({"url": r"/u/(?P<id>[^/]+)\.json"}, "/u/a%2Fb.json"),
        ({"url": r"/100%/([^/]+)"}, "/100%25/a%2Fb"),
        ({"url": r"/u/([^/]+)/?"}, "/u/a%2Fb"),
        ({"url": r"/(?:v1/)?u/([^/]+)"}, "/u/a%2Fb"),
    ],
)
def test_locations_are_reversed(settings, location, path):
    settings.PUSH_SERVER = {"locations": [{"type": "subscriber"} | location]}
    assert updates.subscriber_url("a/b") == f"http://127.0.0.1:8001{path}"


@pytest.mark.parametrize("url", ["/u/", "/u/(a)(b)", "/u/(?:a|b)/(.+)", "/u/(", "/(?i:u)/(.+)"])
def test_a_location_that_cannot_be_reversed_says_so(settings, url):
    settings.PUSH_SERVER = {"locations": [{"type": "subscriber", "url": url}]}
    with pytest.raises(ImproperlyConfigured, match="subscriber"):
        updates.subscriber_url("room")


def test_an_id_that_the_location_does_not_serve_is_refused(settings):
    settings.PUSH_SERVER = {"locations": [{"type": "subscriber", "url": r"/u/(\d+)"}]}
    assert updates.subscriber_url(7) == "http://127.0.0.1:8001/u/7"
    with pytest.raises(ValueError, match="does not match"):
        updates.subscriber_url("seven")
    with pytest.raises(ValueError, match="is empty"):
        updates.subscriber_url("")


# Patterns with the paths that they serve: the daemon's tests read the same table.
TABLE = json.loads((Path(__file__).parents[2] / "tests/locations.json").read_text())
TABLE = [entry for entry in TABLE if "only" not in entry]


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.get("url") or entry["prefix"])
def test_the_text_of_a_location_is_percent_encoded(settings, entry):
    place = {key: entry[key] for key in ("url", "prefix") if key in entry}
    settings.PUSH_SERVER = {
        "locations": [{"type": "subscriber"} | place, {"type": "publisher"} | place]
    }
    found = [message.msg for message in run_checks(tags=["pushserver"])]
    if "url_of" not in entry:
        # The daemon refuses it, or URLs cannot be made, though it is served.
        for index, message in enumerate(found):
            assert "refused" in entry or "cannot be made into a URL" in message
            assert f"locations[{index}].{next(iter(place))}: " in message
        assert len(found) == 2
        return
    assert found == []
    for channel_id, path in entry["url_of"].items():
        assert updates.subscriber_url(channel_id) == f"http://127.0.0.1:8001{path}"
        assert updates.publisher_url(channel_id) == f"http://127.0.0.1:8001{path}"


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.get("url") or entry["prefix"])
def test_a_second_location_is_refused_where_the_daemon_refuses_it(settings, entry):
    place = {key: entry[key] for key in ("url", "prefix") if key in entry}
    settings.PUSH_SERVER = {
        "locations": [
            {"type": "subscriber", "prefix": "/first/"},
            {"type": "publisher", "prefix": "/p/"},
            {"type": "subscriber"} | place,
        ]
    }
    found = [message.id for message in run_checks(tags=["pushserver"])]
    assert found == (["pushserver.E003"] if "refused" in entry else [])


def test_a_missing_location_is_told(settings):
    settings.PUSH_SERVER = {"locations": [{"type": "publisher", "prefix": "/p/"}]}
    with pytest.raises(ImproperlyConfigured, match="no location of type 'subscriber'"):
        updates.subscriber_url("room")


def test_the_first_location_of_a_type_is_taken(settings):
    settings.PUSH_SERVER = {
        "locations": (
            {"type": "subscriber", "prefix": "/first/"},
            {"type": "subscriber", "prefix": "/second/"},
        )
    }
    assert updates.subscriber_url("room").endswith("/first/room")


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("push.example.com:80", "http://push.example.com:80"),
        ({"location": "push.example.com", "secure": True}, "https://push.example.com"),
        ({"location": "127.0.0.1:9001"}, "http://127.0.0.1:9001"),
        ({"secure": False}, "http://127.0.0.1:8001"),
        ({}, "http://127.0.0.1:8001"),
        (None, "http://127.0.0.1:8001"),
    ],
)
def test_hosts_in_both_forms(settings, host, origin):
    settings.PUSH_SERVER = {"publisher_host": host, "subscriber_host": host}
    assert updates.publisher_url("room") == f"{origin}/send-update/room"
    assert updates.subscriber_url("room") == f"{origin}/updates/room"


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("0.0.0.0", "http://127.0.0.1:8001"),
        ("::", "http://[::1]:8001"),
        ("::1", "http://[::1]:8001"),
        ("192.168.1.5", "http://192.168.1.5:8001"),
    ],
)
def test_the_daemons_own_address_is_the_default_host(settings, address, origin):
    settings.PUSH_SERVER = {"address": address}
    assert updates.publisher_url("room").startswith(origin + "/")
    assert updates.subscriber_url("room").startswith(origin + "/")


def test_a_unix_socket_is_published_to_and_not_subscribed_to(settings):
    settings.PUSH_SERVER = {"address": "unix:/run/push.sock"}
    assert updates.publisher_url("room") == "http+unix://%2Frun%2Fpush.sock/send-update/room"
    with pytest.raises(ImproperlyConfigured, match="subscriber_host"):
        updates.subscriber_url("room")


def test_port_0_needs_hosts(settings):
    settings.PUSH_SERVER = {"port": 0}
    with pytest.raises(ImproperlyConfigured, match="port"):
        updates.publisher_url("room")


def test_a_port_as_text_counts_as_a_number(settings):
    settings.PUSH_SERVER = {"port": "9000"}
    assert conf.push_server()["port"] == 9000


@pytest.mark.parametrize(
    ("address", "page", "origin"),
    [
        ("127.0.0.1", "localhost:8000", "http://localhost:8001"),
        ("127.0.0.1", "localhost", "http://localhost:8001"),
        ("127.0.0.1", "127.0.0.1:8000", "http://127.0.0.1:8001"),
        ("127.0.0.1", "example.com", "http://127.0.0.1:8001"),
        ("0.0.0.0", "example.com:8000", "http://example.com:8001"),
        ("192.168.1.5", "localhost", "http://192.168.1.5:8001"),
    ],
)
def test_the_pages_own_name_is_kept_where_the_daemon_listens(settings, rf, address, page, origin):
    settings.PUSH_SERVER = {"address": address}
    request = rf.get("/", headers={"host": page})
    assert updates.subscriber_url("room", request) == f"{origin}/updates/room"


def test_a_subscriber_host_wins_over_the_pages_name(settings, rf):
    settings.PUSH_SERVER = {"subscriber_host": "push.example.com"}
    request = rf.get("/", headers={"host": "localhost:8000"})
    assert updates.subscriber_url("room", request) == "http://push.example.com/updates/room"


def test_behind_the_daemon_its_address_comes_with_the_environment(monkeypatch, rf):
    monkeypatch.setenv(hosts.HOST_VARIABLE, "127.0.0.1:8000")
    assert updates.publisher_url("room") == "http://127.0.0.1:8000/send-update/room"
    assert updates.subscriber_url("room") == "http://127.0.0.1:8000/updates/room"
    monkeypatch.setenv(hosts.HOST_VARIABLE, "unix:/run/push.sock")
    assert updates.publisher_url("room") == "http+unix://%2Frun%2Fpush.sock/send-update/room"


@pytest.mark.parametrize("page", ["localhost:8000", "example.com", "192.168.1.5:7000"])
@pytest.mark.parametrize("started_by", ["the command", "the settings"])
def test_behind_the_daemon_a_page_subscribes_where_it_comes_from(
    settings, monkeypatch, rf, page, started_by
):
    if started_by == "the command":
        monkeypatch.setenv(hosts.HOST_VARIABLE, "127.0.0.1:8000")
    else:
        settings.PUSH_SERVER = {"allrequests": "http://127.0.0.1:8002"}
    request = rf.get("/", headers={"host": page})
    assert updates.subscriber_url("room", request) == f"http://{page}/updates/room"


def test_behind_the_daemon_hosts_that_mean_it_follow_it(settings, monkeypatch, rf):
    host = {"location": "127.0.0.1:8001", "secure": False}
    settings.PUSH_SERVER = {"port": 8001, "publisher_host": host, "subscriber_host": host}
    monkeypatch.setenv(hosts.HOST_VARIABLE, "127.0.0.1:8000")
    request = rf.get("/", headers={"host": "127.0.0.1:8000"})
    assert updates.publisher_url("room") == "http://127.0.0.1:8000/send-update/room"
    assert updates.subscriber_url("room", request) == "http://127.0.0.1:8000/updates/room"
    settings.PUSH_SERVER |= {"subscriber_host": "push.example.com"}
    assert updates.subscriber_url("room", request) == "http://push.example.com/updates/room"


def test_in_front_of_django_the_default_port_is_8000(settings):
    settings.PUSH_SERVER = {"allrequests": "http://127.0.0.1:8002"}
    assert updates.publisher_url("room") == "http://127.0.0.1:8000/send-update/room"


def test_settings_of_another_type_are_refused(settings):
    settings.PUSH_SERVER = ["port"]
    with pytest.raises(ImproperlyConfigured, match="dictionary"):
        updates.publisher_url("room")


SEVERAL = [
    {"type": "subscriber", "url": r"/updates/([^/]+)"},
    {"type": "subscriber", "url": r"/list/([^/]+)", "delimiter": ","},
    {"type": "publisher", "prefix": "/p/"},
]


def test_several_channels_have_the_first_location_for_them(settings):
    settings.PUSH_SERVER = {"locations": SEVERAL}
    url = updates.subscriber_url
    assert url("a") == "http://127.0.0.1:8001/updates/a"
    assert url(["a"]) == "http://127.0.0.1:8001/updates/a"
    assert url(["a", 7, "a"]) == "http://127.0.0.1:8001/list/a,7"
    assert url(("a,b", "c/d")) == "http://127.0.0.1:8001/list/a%2Cb,c%2Fd"
    settings.PUSH_SERVER = {"locations": SEVERAL[1:]}
    assert url("a,b") == "http://127.0.0.1:8001/list/a%2Cb"


@pytest.mark.parametrize(
    ("delimiter", "path"),
    [
        ("/", "/s/a%2Fb/c-d"),
        ("-", "/s/a%2Fb-c%2Dd"),
        ("--", "/s/a%2Fb--c%2Dd"),
        ("ab", "/s/%61%2F%62abc-d"),
        ("!,", "/s/a%2Fb!,c-d"),
    ],
)
def test_a_delimiter_within_an_id_is_part_of_it(settings, delimiter, path):
    location = {"type": "subscriber", "prefix": "/s/", "delimiter": delimiter}
    settings.PUSH_SERVER = {"locations": [location]}
    assert updates.subscriber_url(["a/b", "c-d"]) == f"http://127.0.0.1:8001{path}"


def test_ids_that_cannot_be_told_apart_are_refused(settings):
    location = {"type": "subscriber", "prefix": "/s/", "delimiter": "2"}
    settings.PUSH_SERVER = {"locations": [location]}
    assert updates.subscriber_url(["a", "b"]).endswith("/s/a2b")
    for ids in (["a,b"], ["a2b", "c"], ["a", ""]):
        with pytest.raises(ValueError, match="told apart"):
            updates.subscriber_url(ids)


def test_channels_in_the_query(settings):
    location = {"type": "subscriber", "url": "/updates", "query": "a channel"}
    settings.PUSH_SERVER = {"locations": [location]}
    start = "http://127.0.0.1:8001/updates?a%20channel="
    assert updates.subscriber_url("a+b&c d") == f"{start}a%2Bb%26c%20d"
    assert updates.subscriber_url(["a", "ž"]) == f"{start}a&a%20channel=%C5%BE"
    with pytest.raises(ValueError, match="empty"):
        updates.subscriber_url(["a", ""])


def test_several_channels_need_a_location_for_them(settings):
    with pytest.raises(ImproperlyConfigured, match="'query' or 'delimiter'"):
        updates.subscriber_url(["a", "b"])
    with pytest.raises(ValueError, match="at least one"):
        updates.subscriber_url([])
    settings.PUSH_SERVER = {"locations": SEVERAL, "limits": {"channels_per_request": 2}}
    assert updates.subscriber_url(["a", "b"])
    with pytest.raises(ValueError, match="channels_per_request is 2"):
        updates.subscriber_url(["a", "b", "c"])


def test_a_pubsub_location_is_for_both_sides(settings):
    location = {"type": "pubsub", "prefix": "/both/", "secret": "word"}
    settings.PUSH_SERVER = {"locations": [location]}
    assert updates.subscriber_url("a") == updates.publisher_url("a")
    assert updates.publisher_url("a") == "http://127.0.0.1:8001/both/a"
    assert conf.location("publisher")["secret"] == "word"
