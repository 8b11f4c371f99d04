"""The configurations of docs/operations.md, on the servers that they are for."""

from __future__ import annotations

import contextlib
import re
import socket
import urllib.request

import pytest
import websockets.sync.client

from pushserver.test import PushServer
from pushserver.utils import updates
from tests.clients.subscribers import Curl, Websockets
from tests.conftest import wait_until
from tests.front_servers import SERVERS, front_server

KEEP_HOLDS = {"apache2"}
"""Until the hold ends by itself, whether or not the client is there."""


@contextlib.contextmanager
def poll(port, channel_id):
    """A poll through the front server; it is held."""
    path = updates.subscriber_url(channel_id).split("/", 3)[3]
    head = f"GET /{path} HTTP/1.1\r\nHost: push.example.com\r\nAccept-Encoding: gzip\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(f"{head}Connection: close\r\n\r\n".encode())
        wait_until(lambda: held(channel_id) == 1)
        yield client


def held(channel_id):
    """How many requests wait on a channel."""
    try:
        with urllib.request.urlopen(updates.publisher_url(channel_id), timeout=30) as response:
            return int(re.search(rb"active subscribers: (\d+)", response.read())[1])
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 404:
            return 0
        raise


@pytest.mark.parametrize("name", SERVERS)
def test_the_documented_configuration_of_a_front_server(tmp_path, name):
    with PushServer() as server, front_server(name, tmp_path, server.url) as port:
        for channel_id in ("a/b", "100%", "two words", "ž;~"):
            with poll(port, channel_id) as client, client.makefile("rb") as answer:
                updates.send_update(channel_id, "x" * 3000)
                head, _, body = answer.read().partition(b"\r\n\r\n")
            head = head.lower()
            assert head.startswith(b"http/1.1 200")
            assert b"\r\netag: " in head
            assert b"content-encoding" not in head
            assert body == b'"%s"' % (b"x" * 3000)
        with poll(port, "left"):
            pass
        if name in KEEP_HOLDS:
            updates.send_update("left", 1)
        wait_until(lambda: held("left") == 0)


@contextlib.contextmanager
def event_stream(port, channel_id):
    """An event stream through the front server, which is held."""
    path = updates.subscriber_url(channel_id).split("/", 3)[3]
    head = f"GET /{path} HTTP/1.1\r\nHost: push.example.com\r\nAccept: text/event-stream\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(f"{head}Accept-Encoding: gzip\r\n\r\n".encode())
        wait_until(lambda: held(channel_id) == 1)
        yield client


def read_until(client, wanted):
    """What comes up to these bytes. No end of a connection or of an answer helps to find them."""
    read = b""
    while wanted not in read:
        read += (more := client.recv(65536))
        assert more, read
    return read


# Each lets go of a stream whose client has left: Apache when it cannot write any more.
STREAMS = {
    "type": "subscriber",
    "url": r"/updates/([^/]+)",
    "create_on_get": True,
    "ping_interval": 1,
}
PUBLISHER = {"type": "publisher", "url": r"/send-update/([^/]+)"}


@pytest.mark.parametrize("name", SERVERS)
def test_streams_through_a_front_server(tmp_path, name):
    locations = [STREAMS, PUBLISHER]
    with (
        PushServer(locations=locations) as server,
        front_server(name, tmp_path, server.url) as port,
    ):
        with event_stream(port, "events") as client:
            read = read_until(client, b"retry: ").lower()
            assert b"content-type: text/event-stream; charset=utf-8\r\n" in read
            assert b"content-encoding" not in read
            for number in range(3):
                updates.send_update("events", number)
                read_until(client, b"data: %d\n" % number)
            read_until(client, b":\n\n")
        wait_until(lambda: held("events") == 0)
        url = updates.subscriber_url("frames").replace(server.url, f"ws://127.0.0.1:{port}")
        with websockets.sync.client.connect(url, subprotocols=["ws+meta.nchan"]) as client:
            for number in range(3):
                updates.send_update("frames", number)
                assert client.recv(timeout=30).endswith(f"\n\n{number}")
            wait_until(lambda: held("frames") == 1)
        wait_until(lambda: held("frames") == 0)


IDLE_S = 5
PING_S = 2
# The timeouts that a silent stream would reach. Caddy has none.
TIMEOUTS = {
    "nginx": [("proxy_read_timeout 65s", f"proxy_read_timeout {IDLE_S}s")],
    "haproxy": [
        ("timeout client 65s", f"timeout client {IDLE_S}s"),
        ("timeout server 65s", f"timeout server {IDLE_S}s"),
    ],
    "apache2": [("timeout=65", f"timeout={IDLE_S}")],
    "varnishd": [("-j none", f"-j none -p pipe_timeout={IDLE_S} -p timeout_idle={IDLE_S}")],
}


def test_pings_keep_streams_open(tmp_path):
    """Through all of them at once, as that takes its time."""
    streams = {}
    with contextlib.ExitStack() as stack:
        locations = [STREAMS | {"ping_interval": PING_S}, PUBLISHER]
        server = stack.enter_context(PushServer(locations=locations))
        stack.callback(lambda: [stream.join() for stream in streams.values()])
        for name, changes in TIMEOUTS.items():
            directory = tmp_path / name
            directory.mkdir(mode=0o755)
            port = stack.enter_context(front_server(name, directory, server.url, changes))
            url = updates.subscriber_url("kept").replace(server.url, f"http://127.0.0.1:{port}")
            for kind in (Curl, Websockets):
                streams[name, kind.__name__] = kind(url)
        stack.callback(lambda: [stream.stop() for stream in streams.values()])
        enough = IDLE_S // PING_S + 2
        wait_until(lambda: all(stream.pings >= enough for stream in streams.values()))
        updates.send_update("kept", 1)
        wait_until(lambda: all(stream.got for stream in streams.values()))
        found = {key: (stream.opened, stream.failures) for key, stream in streams.items()}
        assert found == dict.fromkeys(streams, (1, 0))


def test_nginx_keeps_no_event_back_whatever_its_buffering(tmp_path):
    """X-Accel-Buffering in the answer's head."""
    buffering = [("proxy_buffering off;", "proxy_buffering on;")]
    with (
        PushServer(locations=[STREAMS | {"ping_interval": 0}, PUBLISHER]) as server,
        front_server("nginx", tmp_path, server.url, buffering) as port,
        event_stream(port, "buffering") as client,
    ):
        read_until(client, b"retry: ")
        for number in range(20):
            updates.send_update("buffering", number)
            read_until(client, b"data: %d\n" % number)
