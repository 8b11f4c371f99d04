#!/usr/bin/env python3
"""How long one big piece of work keeps others waiting: a message of 10 MB to 1 000 long polls, the
same to 1 000 event streams, the same into a store that is full of small messages, and a channel of
very many messages that is deleted. Meanwhile a bystander publishes 200 bytes on a channel of its
own each millisecond, and reads them from an event stream.

    benches/stall.py [--realtime] [READERS] [MEGABYTES] [ROUNDS]     # 1000, 10, 3

needs `cargo build --release`; BINARY names another one. Prints how long the bystander's messages
took, of all rounds, and the daemon's longest turns, each round with a daemon of its own. The daemon
has the first core, all others have the rest. With --realtime (as root) the daemon and the load have
a fixed real-time priority, so that other programs of a busy machine are not measured; of the work
then only the first 0.7 s are seen, since the kernel stops such programs for 50 ms of each second.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import pathlib
import resource
import select
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = os.environ.get("BINARY", str(ROOT / "target/release/pushserver"))
REALTIME = "--realtime" in sys.argv
NUMBERS = [int(argument) for argument in sys.argv[1:] if argument.isdigit()]
READERS, MEGABYTES, ROUNDS = NUMBERS + [1000, 10, 3][len(NUMBERS) :]
CORES = sorted(os.sched_getaffinity(0))
BIG = MEGABYTES * 1_000_000
SMALL = b"x" * 200
DELETED = 200_000
SETTINGS = {
    "port": 0,
    "store": {"max_messages": 1_000_000, "message_timeout": 600, "max_memory": 64 << 20},
    "limits": {"body_bytes": BIG + 1, "connections": READERS + 100},
    "locations": [
        {"type": "publisher", "url": "/p/([^/]+)"},
        {"type": "subscriber", "url": "/s/([^/]+)", "create_on_get": True, "timeout": 600},
        {"type": "status", "prefix": "/"},
    ],
}
FORK = multiprocessing.get_context("fork")


def prefer(pid, level):
    """Has a process run before those of a lower level."""
    if REALTIME:
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(40 + level))
    else:
        # Where one may not, its own waits are measured too.
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, pid, -10 * level)


class Daemon:
    def __init__(self, directory):
        settings = pathlib.Path(directory, "settings.json")
        settings.write_text(json.dumps(SETTINGS))
        command = [BINARY, "-q", "--config", str(settings)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        os.sched_setaffinity(self.process.pid, CORES[:1])
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def ask(self, path, method="GET", body=None):
        url = f"http://127.0.0.1:{self.port}{path}"
        accept = {"Accept": "application/json" if path == "/status" else "text/json"}
        request = urllib.request.Request(url, body, accept, method=method)
        return urllib.request.urlopen(request).read()

    def longest_turn(self):
        """Of all since its start, milliseconds."""
        return json.loads(self.ask("/status"))["longest_turn_ms"]

    def until_held(self, channel, count):
        deadline = time.monotonic() + 60
        while json.loads(self.ask(f"/p/{channel}"))["subscribers"] < count:
            assert time.monotonic() < deadline, "they are not held"
            time.sleep(0.01)

    def fill(self, channel, count):
        """Publishes so many small messages."""
        connection = self.connect()
        head = f"POST /p/{channel} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(SMALL)}\r\n\r\n"
        request = head.encode() + SMALL
        answers = 0
        for _ in range(count // 100):
            connection.sendall(request * 100)
            answers = 0
            while answers < 100:
                answers += connection.recv(1 << 20).count(b"HTTP/1.1 20")
        connection.close()


def post(channel, body):
    head = f"POST /p/{channel} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def get(channel, accept):
    return f"GET /s/{channel} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n".encode()


def bystand(daemon, stop, told):
    """Publishes and reads until it is stopped; tells how long each message took."""
    prefer(0, 1)
    stream, publisher = daemon.connect(), daemon.connect()
    stream.sendall(get("bystander", "text/event-stream"))
    while b"retry" not in stream.recv(65536):
        pass
    request, waits = post("bystander", SMALL), []
    told.send("ready")
    while not stop.is_set():
        begin = time.monotonic()
        publisher.sendall(request)
        event = b""
        while not event.endswith(SMALL + b"\n\n"):
            event += stream.recv(65536)
        waits.append(time.monotonic() - begin)
        publisher.recv(65536)
        time.sleep(0.001)
    told.send(waits)


def read(connections, size, told):
    """Reads answers until each connection had one of so many bytes; tells when it is done."""
    poll, buffer = select.epoll(), bytearray(256 << 10)
    left = {connection.fileno(): [connection, size] for connection in connections}
    for descriptor in left:
        poll.register(descriptor, select.EPOLLIN)
    while left:
        for descriptor, _ in poll.poll():
            entry = left[descriptor]
            count = entry[0].recv_into(buffer)
            assert count, "closed early"
            entry[1] -= count
            if entry[1] <= 0:
                poll.unregister(descriptor)
                del left[descriptor]
    told.send("done")


def to_readers(accept):
    def prepare(daemon):
        connections = [daemon.connect() for _ in range(READERS)]
        for connection in connections:
            connection.sendall(get("crowd", accept))
        daemon.until_held("crowd", READERS)
        done, told = FORK.Pipe(duplex=False)
        reader = FORK.Process(target=read, args=(connections, BIG, told), daemon=True)
        reader.start()
        publisher = daemon.connect()

        def work():
            publisher.sendall(post("crowd", b"x" * BIG))
            # The reader stays until all is measured: its end would be work for the daemon, too.
            done.poll(0.6 if REALTIME else 120)

        return work

    return prepare


def evict(daemon):
    """One message in the place of many."""
    # More than there is room for, so that the store is full.
    daemon.fill("many", 260_000)
    return lambda: daemon.ask("/p/big", "POST", b"x" * BIG)


def delete(daemon):
    daemon.fill("many", DELETED)
    kept = json.loads(daemon.ask("/p/many"))["messages"]
    assert kept > DELETED / 2, f"{kept} are kept"
    return lambda: daemon.ask("/p/many", "DELETE")


CASES = {
    "nothing else": lambda daemon: lambda: time.sleep(0.3),
    f"{MEGABYTES} MB to {READERS} long polls": to_readers("*/*"),
    f"{MEGABYTES} MB to {READERS} event streams": to_readers("text/event-stream"),
    f"{MEGABYTES} MB into a store full of 200 bytes each": evict,
    f"a channel of up to {DELETED} messages deleted": delete,
}


def measure(prepare, directory):
    """The bystander's waits, and the daemon's longest turn, milliseconds."""
    daemon = Daemon(directory)
    try:
        work = prepare(daemon)
        prefer(daemon.process.pid, 0)
        stop = FORK.Event()
        heard, told = FORK.Pipe(duplex=False)
        bystander = FORK.Process(target=bystand, args=(daemon, stop, told), daemon=True)
        bystander.start()
        heard.recv()
        # What a real-time process may use of a second starts anew.
        time.sleep(1.0 if REALTIME else 0.1)
        before = daemon.longest_turn()
        work()
        time.sleep(0.05)
        stop.set()
        waits = heard.recv()
        bystander.join()
        longest = daemon.longest_turn()
        return waits, longest, before
    finally:
        for process in multiprocessing.active_children():
            process.kill()
            process.join()
        daemon.process.kill()
        daemon.process.wait()


def main():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.sched_setaffinity(0, CORES[1:] or CORES)
    prefer(0, 0)
    print("A bystander's messages, ms, and the daemon's longest turn of each round, ms:")
    for name, prepare in CASES.items():
        waits, turns = [], []
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as directory:
                one, longest, before = measure(prepare, directory)
            waits += one
            turns.append(str(longest) if longest > before else f"<= {longest}")
        waits.sort()
        median, late = (waits[int(len(waits) * part)] * 1e3 for part in (0.5, 0.99))
        print(
            f"{name}: p50 {median:.2f}, p99 {late:.2f}, longest {waits[-1] * 1e3:.2f} "
            f"({len(waits)} messages); turns {', '.join(turns)}",
            flush=True,
        )


main()
