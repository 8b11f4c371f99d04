#!/usr/bin/env python3
"""What TLS costs beside plain HTTP, on the same daemon and port: an idle connection, a handshake,
a delivery, and how long a plain poll waits while thousands shake hands.

    benches/tls.py [CONNECTIONS] [MESSAGES]     # 2000, 20

needs `cargo build --release`; BINARY names another one. Memory and CPU are the daemon's alone,
from /proc; each figure of a delivery is the best of five runs, plain and TLS in turns. The daemon
has the first core, the clients have the others.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pathlib
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = os.environ.get("BINARY", str(ROOT / "target/release/pushserver"))
CONNECTIONS = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
MESSAGES = int(sys.argv[2]) if len(sys.argv) > 2 else 20
STORM = 2000
CORES = sorted(os.sched_getaffinity(0))
SETTINGS = {
    "port": 0,
    "certificate": "development",
    "store": {"max_messages": 1},
    "limits": {"header_timeout": 60},
    "locations": [
        {"type": "publisher", "url": "/p/([^/]+)", "store_messages": False},
        {"type": "subscriber", "url": "/s/([^/]+)", "create_on_get": True, "timeout": 600},
    ],
}


class Daemon:
    def __init__(self, directory):
        settings = pathlib.Path(directory, "settings.json")
        settings.write_text(json.dumps(SETTINGS))
        self.process = subprocess.Popen(
            [BINARY, "-q", "--config", str(settings)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "XDG_STATE_HOME": directory},
        )
        os.sched_setaffinity(self.process.pid, CORES[:1])
        line = self.process.stdout.readline()
        self.port = int(line.rsplit(":", 1)[1])
        file = pathlib.Path(directory, "pushserver/localhost.pem")
        self.context = ssl.create_default_context(cafile=str(file))

    def cpu(self):
        """Seconds of CPU."""
        text = pathlib.Path(f"/proc/{self.process.pid}/schedstat").read_text()
        return int(text.split()[0]) / 1e9

    def resident(self):
        """Bytes of memory of its own."""
        text = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return (
            next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Anonymous"))
            << 10
        )

    def connect(self, secure):
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if secure:
            return self.context.wrap_socket(connection, server_hostname="localhost")
        return connection

    def publish(self, channel, body):
        urllib.request.urlopen(f"http://127.0.0.1:{self.port}/p/{channel}", body).read()

    def held(self, channel):
        url = f"http://127.0.0.1:{self.port}/p/{channel}"
        request = urllib.request.Request(url, headers={"Accept": "text/json"})
        return json.load(urllib.request.urlopen(request))["subscribers"]

    def until_held(self, channel, count):
        deadline = time.monotonic() + 60
        while self.held(channel) < count:
            assert time.monotonic() < deadline, "they are not held"
            time.sleep(0.01)


def idle(daemon, secure):
    """Bytes of a held request, and CPU of its connection."""
    channel = f"idle{secure}"
    # The first of a kind also makes what all share.
    first = daemon.connect(secure)
    memory, cpu = daemon.resident(), daemon.cpu()
    connections = [daemon.connect(secure) for _ in range(CONNECTIONS)]
    opened = daemon.cpu() - cpu
    for connection in connections:
        connection.sendall(f"GET /s/{channel} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    daemon.until_held(channel, CONNECTIONS)
    each = (daemon.resident() - memory) / CONNECTIONS
    first.close()
    return each, opened / CONNECTIONS, connections


def answer(connection):
    """Reads one answer, whose head says how long it is."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return body


def deliver(daemon, connections, secure):
    """CPU of a delivery of 250 bytes to each that waits, with the poll behind it."""
    channel = f"idle{secure}"
    get = f"GET /s/{channel} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    spent = 0.0
    for _ in range(MESSAGES):
        before = daemon.cpu()
        daemon.publish(channel, b"x" * 250)
        for connection in connections:
            answer(connection)
        for connection in connections:
            connection.sendall(get)
        daemon.until_held(channel, len(connections))
        spent += daemon.cpu() - before
    return spent / MESSAGES / len(connections)


def hello(context):
    """A client's first record."""
    out = ssl.MemoryBIO()
    session = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        return out.read()


def shake(connections, records):
    """Begins all handshakes, and waits until each has its answer."""
    for connection, record in zip(connections, records, strict=True):
        connection.sendall(record)
    for connection in connections:
        connection.recv(1)


def storm(daemon, count):
    """The longest wait of a plain poll that is answered at once, while `count` shake hands."""
    records = [hello(daemon.context) for _ in range(count)]
    connections = [daemon.connect(False) for _ in range(count)]
    poll = daemon.connect(False)
    get = b"GET /s/a?last_event_id=x HTTP/1.1\r\nHost: localhost\r\n\r\n"
    waits = []
    before = daemon.cpu()
    # A process of its own: a thread would share the interpreter's lock with the polls.
    flood = multiprocessing.get_context("fork").Process(target=shake, args=(connections, records))
    flood.start()
    deadline = time.monotonic() + (60 if count else 1)
    while (flood.is_alive() or not count) and time.monotonic() < deadline:
        begin = time.monotonic()
        poll.sendall(get)
        answer(poll)
        waits.append(time.monotonic() - begin)
        time.sleep(0.001)
    flood.join()
    spent = daemon.cpu() - before
    waits.sort()
    return waits[len(waits) // 2], waits[int(len(waits) * 0.99)], waits[-1], spent / max(count, 1)


def main():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as directory:
        daemon = Daemon(directory)
        os.sched_setaffinity(0, CORES[1:] or CORES)
        try:
            report(daemon)
        finally:
            daemon.process.kill()


def report(daemon):
    kinds = {}
    plain = 0.0
    for name, secure in ("plain", False), ("TLS", True):
        memory, opened, connections = idle(daemon, secure)
        kinds[secure] = connections
        print(f"{name:5} held: {memory:7.0f} B each, opened with {opened * 1e6:6.1f} us of CPU")
        if secure:
            print(f"      TLS beyond plain: {memory - plain:.0f} B (at most 4500)")
        else:
            plain = memory
    best = {False: 1.0, True: 1.0}
    for _ in range(5):
        for secure, connections in kinds.items():
            best[secure] = min(best[secure], deliver(daemon, connections, secure))
    ratio = best[True] / best[False]
    print(f"plain delivery and next poll: {best[False] * 1e6:5.1f} us of CPU")
    print(f"TLS   delivery and next poll: {best[True] * 1e6:5.1f} us, {ratio:.2f} x (at most 1.4)")
    for connections in kinds.values():
        for connection in connections:
            connection.close()
    for count in 0, STORM:
        median, late, longest, step = storm(daemon, count)
        print(
            f"plain polls beside {count} handshakes: median {median * 1e3:.2f} ms, 99 % "
            f"{late * 1e3:.2f} ms, longest {longest * 1e3:.2f} ms"
            + (f"; {step * 1e6:.0f} us of CPU each" if count else "")
        )


main()
