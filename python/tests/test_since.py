"""``since`` in the URLs of pages: what is embedded, and what the push server gives from there."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

import pytest
from django.http import HttpRequest, HttpResponse
from django.template import Context, RequestContext, Template, engines
from django.urls import path

from pushserver import cursor
from pushserver.test import PushServer
from pushserver.utils import updates

PAGE = '{% load pushserver %}{% channel_url "room" since="now" %}'


def page(request):
    """A view that reads its data, whereupon somebody publishes, and renders slowly."""
    for number in range(2):
        updates.send_update("room", {"number": number})
    cursor.time.pass_s(10)
    return HttpResponse(Template(PAGE).render(RequestContext(request)))


async def asynchronous_page(request):
    cursor.time.pass_s(10)
    return HttpResponse(updates.subscriber_url("room", request, since="now"))


urlpatterns = [path("page", page), path("async", asynchronous_page)]


class Time:
    """Instead of the module: the time passes when a test says so."""

    def __init__(self, now_s):
        self.now_s = now_s

    def time(self):
        return self.now_s

    def pass_s(self, seconds):
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch):
    found = Time(1_795_895_826.5)
    monkeypatch.setattr(cursor, "time", found)
    return found


def since_of(url):
    (found,) = parse_qs(urlsplit(url).query)["since"]
    return found


def test_now_is_the_second_before_the_one_of_rendering(clock):
    text = Template(PAGE).render(Context())
    assert text == "http://127.0.0.1:8001/updates/room?since=1795895825"


def test_the_second_before_is_taken_where_clocks_could_differ(clock):
    # A message of just after 1795895826.0 may be dated 1795895825.99, and be the first of that
    # second: the cursor 1795895825 is behind it.
    clock.now_s = 1_795_895_826.01
    assert since_of(updates.subscriber_url("room", since="now")) == "1795895824"


def test_without_since_there_is_none():
    assert "since" not in updates.subscriber_url("room")


@pytest.mark.parametrize(
    ("given", "embedded"),
    [
        ("oldest", "0"),
        (0, "0"),
        ("1795895826:3", "1795895826:3"),
        ("1795895826", "1795895826"),
        # Nothing that is published from a moment on is missed, so it is a second earlier.
        (1795895826.5, "1795895825"),
        (1795895826, "1795895824"),
        (datetime(2026, 11, 28, 20, 37, 6, 500000, timezone.utc), "1795898225"),
        (datetime(2026, 11, 28, 21, 37, 6, 500000, timezone(timedelta(hours=1))), "1795898225"),
    ],
)
def test_moments_and_ids(given, embedded):
    assert since_of(updates.subscriber_url("room", since=given)) == embedded


def test_a_naive_datetime_is_of_the_projects_time_zone(settings):
    settings.TIME_ZONE = "Europe/Prague"
    url = updates.subscriber_url("room", since=datetime(2026, 11, 28, 21, 37, 6, 500000))
    assert since_of(url) == "1795898225"


@pytest.mark.parametrize(
    "given",
    [
        "",
        "new",
        "1:",
        ":1",
        "1:2;gap=3",
        "-1",
        "1" * 20,
        -1,
        float("nan"),
        float("inf"),
        True,
        b"1",
    ],
)
def test_what_is_none_of_these_is_refused(given):
    with pytest.raises(ValueError, match=re.escape(f"since is {given!r}: it has to be 'now'")):
        updates.subscriber_url("room", since=given)


def test_it_stands_beside_a_token_and_several_channels(settings, clock):
    settings.PUSH_SERVER = {
        "locations": [{"type": "subscriber", "url": "/u", "query": "channel", "signed": True}]
    }
    template = Template('{% load pushserver %}{% channel_url "a" "b" since="now" expires=60 %}')
    url = template.render(Context())
    assert url.startswith("http://127.0.0.1:8001/u?channel=a&channel=b&since=1795895825&token=")


def test_the_jinja2_global(settings, clock, rf):
    engine = {
        "BACKEND": "django.template.backends.jinja2.Jinja2",
        "OPTIONS": {"extensions": ["pushserver.jinja2.PushServerExtension"]},
    }
    settings.TEMPLATES = [*settings.TEMPLATES, engine]
    template = engines["jinja2"].from_string("{{ channel_url('a', since='now') }}")
    assert template.render(request=rf.get("/")).endswith("/updates/a?since=1795895825")


def test_now_is_when_the_request_came(client, settings, clock):
    settings.ROOT_URLCONF = __name__
    settings.PUSH_SERVER_IGNORE_ERRORS = True
    assert since_of(client.get("/page").content.decode()) == "1795895825"
    assert since_of(client.get("/page").content.decode()) == "1795895835"


def test_now_is_when_an_asynchronous_request_came(async_client, settings, clock):
    settings.ROOT_URLCONF = __name__
    answer = asyncio.run(async_client.get("/async"))
    assert since_of(answer.content.decode()) == "1795895825"


@pytest.mark.parametrize("factory", ["rf", "async_rf"])
def test_of_a_request_that_no_handler_brought_it_is_the_first_use(factory, request, clock):
    made = request.getfixturevalue(factory).get("/")
    assert isinstance(made, HttpRequest)
    first = updates.subscriber_url("a", made, since="now")
    clock.pass_s(10)
    assert updates.subscriber_url("a", made, since="now") == first


@pytest.fixture
def newest(settings, clock):
    """A push server whose pages begin with the newest message, unless they say otherwise."""
    clock.now_s = time.time()
    settings.ROOT_URLCONF = __name__
    places = [
        {"type": "subscriber", "url": "/u", "query": "channel", "first_message": -1},
        {"type": "publisher", "prefix": "/p/"},
    ]
    with PushServer(locations=places) as server:
        yield server


def polled(url, **headers):
    with urlopen(Request(url, headers=headers), timeout=20) as answer:
        return answer.read()


def test_nothing_is_missed_that_is_published_while_a_page_is_rendered(newest, client):
    url = client.get("/page").content.decode()
    assert polled(url) == b'{"number":0}'
    assert polled(re.sub("&since=[0-9]+", "", url)) == b'{"number":1}'


def test_oldest_and_an_id_are_where_a_page_begins(newest):
    for number in range(3):
        updates.send_update("room", number)
    url = updates.subscriber_url("room", since="oldest")
    with urlopen(url, timeout=20) as answer:
        assert answer.read() == b"0"
        moment = parsedate_to_datetime(answer.headers["Last-Modified"])
        first = f"{int(moment.timestamp())}:{answer.headers['Etag']}"
    assert polled(updates.subscriber_url("room", since=first)) == b"1"
    # A place that the page knows by itself is newer.
    assert polled(url, **{"Last-Event-ID": first}) == b"1"
