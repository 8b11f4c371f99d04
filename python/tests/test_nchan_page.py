"""docs/from-nchan.md: it has every directive that the daemon writes, and names only settings."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from pushserver.binary import find_binary
from pushserver.schema import SCHEMA
from tests.test_daemon import PYTHON

ROOT = PYTHON.parent
ROW = re.compile(r"^\| (`[^|]*`) \| ([^|]*) \| .*\|$", re.MULTILINE)
NAME = re.compile(r"`([^`]+)`")
ROWS = ROW.findall((ROOT / "docs" / "from-nchan.md").read_text())
DIRECTIVES = {name for directives, _ in ROWS for name in NAME.findall(directives)}
# These have no meaning of their own.
BLOCKS = {"server", "upstream"}

SUBSCRIBER = {"type": "subscriber", "url": "/s/([^/]+)"}
# They bring out every directive: a test below says which one they miss.
EVERYTHING = {
    "certificate": "PEM",
    "allrequests": "http://127.0.0.1:8002",
    "forcehost": "a.test",
    "store": {
        "default": {"type": "memory", "max_messages": 9},
        "other": {
            "type": "redis",
            "host": "10.0.0.5",
            "port": 6379,
            "key_prefix": "a:",
            "password": "p",
            "tls": {"ca": "PEM", "cert": "PEM", "key": "PEM", "server_name": "r.test"},
        },
    },
    "locations": [
        SUBSCRIBER | {"passthrough": "http://127.0.0.1:8002/p", "signed": True},
        SUBSCRIBER | {"url": "/a/(.+)", "first_message": "newest", "max_subscribers": 7},
        SUBSCRIBER | {"url": "/b/(.+)", "delimiter": ",", "channel_group": "g"},
        {"type": "subscriber", "url": "/c", "query": "channel", "store": "other"},
        {"type": "pubsub", "prefix": "/d/", "allow": ["10.0.0.0/8"], "allow_origin": "*"},
        {"type": "publisher", "prefix": "/e/", "allow": ["10.0.0.0/8"], "secret": "s"},
        {"type": "publisher", "prefix": "/f/", "store_messages": False},
    ],
    "signing_keys": ["A" * 43],
}


def written(settings):
    """The names of all directives in the configuration that the daemon writes."""
    command = [find_binary(), "--nginx-config", "--config", "-"]
    out = subprocess.run(command, input=json.dumps(settings), text=True, capture_output=True)
    assert out.returncode == 0, out.stderr
    names = set()
    is_table = False
    for line in map(str.strip, out.stdout.splitlines()):
        begins_table = line.startswith(("map ", "geo "))
        # The lines of a table are no directives, nor are remarks.
        if not is_table and not line.startswith("#"):
            names |= set(re.findall(r"(?:^|[;{] )([a-z_]+)(?=[ ;])", line))
        is_table = (is_table or begins_table) and line != "}"
    return names


@pytest.fixture
def everything(tmp_path):
    pem = tmp_path / "both.pem"
    openssl = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-subj", "/CN=a.test"]
    curve = ["-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", pem, "-out", tmp_path / "one.pem"]
    subprocess.run([*openssl, *curve], check=True, capture_output=True)
    with pem.open("a") as file:
        file.write((tmp_path / "one.pem").read_text())
    return json.loads(json.dumps(EVERYTHING).replace("PEM", str(pem)))


def test_every_directive_that_is_written_is_in_the_tables(everything):
    plain, all_of_them = written({}), written(everything)
    assert {"listen", "nchan_publisher", "nchan_subscriber"} <= plain < all_of_them
    assert all_of_them - DIRECTIVES == BLOCKS


def test_these_settings_bring_out_every_directive_of_nchan(everything):
    nginx = ROOT / "src" / "config" / "nginx"
    files = [nginx.with_suffix(".rs"), *sorted(nginx.glob("*.rs"))]
    texts = [path.read_text() for path in files if path.name != "tests.rs"]
    lines = [line for text in texts for line in text.splitlines()]
    code = "\n".join(line for line in lines if not line.lstrip().startswith("//"))
    # Whatever begins a text does: other mentions are in remarks.
    begins = r'"(?:if [^{"]*\{+ )?(nchan_[a-z_]*[a-z])'
    names = set(re.findall(begins, code)) - {"nchan_unsubscribe_request"}  # in a remark, too
    assert len(names) > 20
    assert names <= written({}) | written(everything)


def keys(part):
    """All keys of settings, wherever they stand."""
    if isinstance(part, list):
        return set().union(*map(keys, part))
    if not isinstance(part, dict):
        return set()
    return set(part.get("properties", {})).union(*map(keys, part.values()))


def test_every_setting_that_is_named_is_one():
    named = {name for _, settings in ROWS for name in NAME.findall(settings)}
    assert len(named) > 40
    assert named - keys(SCHEMA) == set()


def test_no_directive_stands_twice():
    named = [name for directives, _ in ROWS for name in NAME.findall(directives)]
    assert sorted(named) == sorted(set(named))
