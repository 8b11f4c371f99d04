"""The parts of the module that have no state or no network, in the browser that runs them."""

from __future__ import annotations

import functools
import json
import time

import pytest
from django.core import signing

LOAD = """
    import("/static/pushserver/updates.module.js").then((module) => { window.parts = module; });
"""


@pytest.fixture(scope="module")
def parts(browser, live_server):
    """Calls an exported function with arguments."""
    from tests.conftest import wait_until

    browser.open(f"{live_server.url}/passthrough")  # any page of this origin
    browser.run(LOAD)
    wait_until(lambda: browser.run("return window.parts !== undefined"))
    yield lambda script, *arguments: browser.run(script, *arguments)
    browser.open("about:blank")
    browser.log()


# Each text, and what it is to a browser (WHATWG HTML 9.2.6).
STREAMS = [
    ("data: a\n\n", [{"data": "a"}]),
    ("data:a\r\n\r\ndata:  b\r\rdata\n\n", [{"data": "a"}, {"data": " b"}, {"data": ""}]),
    ("\ufeffdata: a\n\n", [{"data": "a"}]),
    ("\ufeff\ufeffdata: a\n\n", []),
    ("data: a\n\ufeffdata: b\n\n", [{"data": "a"}]),
    ("data: a\ndata: b\ndata:\ndata: \n\n", [{"data": "a\nb\n\n"}]),
    ("data: a\rdata: b\n\r\n", [{"data": "a\nb"}]),
    (
        "id: 1:0;gap=2\nevent: e\ndata: ž 🙂\n\n",
        [{"id": "1:0;gap=2", "event": "e", "data": "ž 🙂"}],
    ),
    ("id: 1:0\n\ndata: a\n\n", [{"id": "1:0"}, {"data": "a"}]),
    ("id: 1\0\ndata: a\n\n", [{"data": "a"}]),
    ("event: e\n\n", []),
    (": ping 25\nretry: 2143\n\n", [{"comment": "ping 25"}, {"retryMs": 2143}]),
    (":\n\n: \n::a\n\n", [{"comment": ""}, {"comment": ""}, {"comment": ":a"}]),
    ("retry: 1a\nretry:\nretry: -1\nretry: 7\n", [{"retryMs": 7}]),
    ("Data: a\ndata : b\n data: c\nunknown: d\nunknown\n\n", []),
    ("data: a: b\n\n", [{"data": "a: b"}]),
    ("data: cut off\n", []),
    ("data: cut off", []),
    ("\n\n\r\r\r\n\r\n", []),
]


def test_streams_wherever_they_are_cut(parts):
    parse = """
        const parse = (bytes, cuts) => {
            const parser = new parts.EventStreamParser();
            const pieces = cuts.map((cut, index) => bytes.slice(cuts[index - 1] ?? 0, cut));
            return pieces.flatMap((piece) => parser.read(piece));
        };
        return arguments[0].map((text) => {
            const bytes = new TextEncoder().encode(text);
            const ends = [...bytes.keys()].map((index) => index + 1);
            return [
                parse(bytes, [bytes.length]),
                parse(bytes, ends),
                ...ends.map((end) => parse(bytes, [end, bytes.length])),
            ];
        });
    """
    found = parts(parse, [text for text, _ in STREAMS])
    for (text, expected), ways in zip(STREAMS, found, strict=True):
        for items in ways:
            assert items == expected, repr(text)


def test_bytes_that_are_no_utf_8_are_replaced(parts):
    read = "return new parts.EventStreamParser().read(new Uint8Array(arguments[0]))"
    assert parts(read, [*b"data: \xff\n\n"]) == [{"data": "\ufffd"}]


ORDERED = [
    None,
    "9:0",
    "9:1;gap=3",
    "9:10",
    "10:0;channel=a",
    "1700000000:4294967295",
    "1700000001:0",
]


def test_ids_are_ordered_by_time_and_then_by_tag(parts):
    compare = """
        const ids = arguments[0];
        return ids.map((first) => ids.map((second) => Math.sign(parts.order(first, second))));
    """
    expected = [
        [(first > second) - (first < second) for second in range(len(ORDERED))]
        for first in range(len(ORDERED))
    ]
    assert parts(compare, ORDERED) == expected


def test_other_ids_are_the_same_or_not_comparable(parts):
    compare = "return arguments[0].map(([a, b]) => String(parts.order(a, b)))"
    pairs = [["1:[2],3", "1:[2],3;gap=1"], ["1:[2],3", "1:0"], ["x", "y"], ["", "1:0"], [None, "x"]]
    assert parts(compare, pairs) == ["0", "NaN", "NaN", "NaN", "NaN"]


def test_what_an_id_tells(parts):
    tell = "return arguments[0].map(parts.factsOf)"
    ids = ["1:0", "1:0;gap=3", "1:0;gap=unknown;channel=a%2Fb", "1:0;channel=x;new=1", "1:0;gap=-1"]
    told = [(facts["gap"], facts["channel"]) for facts in parts(tell, ids)]
    assert told == [
        (None, None),
        (3, None),
        ("unknown", "a%2Fb"),
        (None, "x"),
        ("unknown", None),
    ]


URLS = [
    ("/u?channel=a", "http://x/u", ["a"]),
    ("/u?channel=b&channel=a&channel=b", "http://x/u", ["a", "b"]),
    ("/u?x=1&channel=a&y=channel#z", "http://x/u?x=1&y=channel", ["a"]),
    # However an id is spelled, it is the same.
    ("/u?channel=a%20b", "http://x/u", ["a%20b"]),
    ("/u?channel=a+b", "http://x/u", ["a%20b"]),
    ("/u?channel=%61%2fb~!", "http://x/u", ["a%2Fb~%21"]),
    ("/u?channel=ž%", "http://x/u", ["%C5%BE%25"]),
    ("/u?chann%65l=a=b", "http://x/u", ["a%3Db"]),
    # No channel of the query.
    ("/u?channel=&channel", "http://x/u?channel=&channel", []),
    ("/u?channels=a", "http://x/u?channels=a", []),
    ("/u/channel=a", "http://x/u/channel=a", []),
    ("http://y:8001/u/a?", "http://y:8001/u/a", []),
]


def test_the_channels_of_urls(parts):
    split = "return arguments[0].map((url) => parts.channelsOf(url, 'channel', 'http://x/page'))"
    found = parts(split, [url for url, _, _ in URLS])
    for (url, base, ids), one in zip(URLS, found, strict=True):
        assert one == {"base": base, "ids": ids, "tokens": [], "since": None}, url


def test_without_query_each_url_is_its_own(parts):
    split = "return parts.channelsOf('/u?channel=a', null, 'http://x/')"
    whole = {"base": "http://x/u?channel=a", "ids": [], "tokens": [], "since": None}
    assert parts(split) == whole


def test_the_tokens_of_urls(parts):
    split = """
        const split = (url) => parts.channelsOf(url, 'channel', 'http://x/page');
        return arguments[0].map(split).map(({base, ids, tokens}) => ({base, ids, tokens}));
    """
    urls = ["/u/a?token=b:c&x=1", "/u?channel=a&t%6Fken=b&token=c%3A", "/u?token=&tokens=a&token"]
    assert parts(split, urls) == [
        {"base": "http://x/u/a?x=1", "ids": [], "tokens": ["b:c"]},
        {"base": "http://x/u", "ids": ["a"], "tokens": ["b", "c%3A"]},
        {"base": "http://x/u?token=&tokens=a&token", "ids": [], "tokens": []},
    ]


BEGINNINGS = [
    ("/u/a?since=100", "http://x/u/a", "100:0"),
    ("/u?channel=a&s%69nce=100:7&x=1", "http://x/u?x=1", "100:7"),
    ("/u/a?since=100%3A7&token=b", "http://x/u/a", "100:7"),
    ("/u/a?since=0", "http://x/u/a", "0:0"),
    # The server refuses these, and this URL alone.
    ("/u/a?since=now", "http://x/u/a?since=now", None),
    ("/u/a?since=-1", "http://x/u/a?since=-1", None),
    ("/u/a?since=1:2:3", "http://x/u/a?since=1:2:3", None),
    ("/u/a?since=1&since=2", "http://x/u/a", "1:0"),
    ("/u/a?since=&since", "http://x/u/a?since=&since", None),
]


def test_where_urls_begin(parts):
    split = """
        const split = (url) => parts.channelsOf(url, 'channel', 'http://x/page');
        return arguments[0].map(split).map(({base, since}) => [base, since]);
    """
    found = parts(split, [url for url, _, _ in BEGINNINGS])
    for (url, *expected), one in zip(BEGINNINGS, found, strict=True):
        assert one == expected, url


def test_the_first_of_two_beginnings(parts):
    first = "return arguments[0].map(([a, b]) => parts.earlier(a ?? undefined, b ?? undefined))"
    pairs = [["9:0", "10:0"], ["10:0", "9:1"], ["10:2", "10:10"], ["7:0", "7:0"], [None, None]]
    assert parts(first, pairs) == ["9:0", "9:1", "10:2", "7:0", None]


def test_what_tokens_say(parts):
    """What the module reads of Django's tokens, and of what is none."""
    now = int(time.time())
    sign = functools.partial(signing.dumps, salt="pushserver.channel")
    read = [sign({"c": "room?>ž~", "e": 60 + number, "u": "ž"}) for number in range(9)]
    of_nobody = sign({"c": "room", "e": 3600}).replace(":", "%3A")
    say = """
        return arguments[0].map((token) => [
            parts.signedAt([token]), parts.endOf([token]), parts.userOf([token])
        ]);
    """
    *told, last = parts(say, [*read, of_nobody])
    for number, (signed_s, end, user) in enumerate(told):
        assert now <= signed_s <= now + 5
        assert end == signed_s + 60 + number
        assert json.loads(user) == ["ž"]
    assert last[1] == last[0] + 3600
    assert json.loads(last[2]) == [None]
    for signed_s, end, user in parts(say, ["", "a", "a:b:c", "%", "e30:0:x"]):
        assert (signed_s, end, json.loads(user)) == (0, None, [None])
    assert parts("return [parts.signedAt([]), parts.userOf([])]") == [0, ""]


def test_wrong_transports_are_refused(parts):
    make = """
        try {
            new parts.Updates({transports: arguments[0]});
        } catch (error) {
            return error.message;
        }
    """
    wrong = 'transports are "eventsource" and "poll", not '
    assert parts(make, ["poll", "websocket"]) == wrong + "websocket"
    assert parts(make, []) == wrong + "none"
