"""Runs a static binary of the daemon in a root directory with nothing else: it works there.

    python3 tests/empty_root.py BINARY [EMULATOR]

EMULATOR runs a binary of another architecture (qemu-aarch64-static, say), and is copied into the
root. Shows that a poll and an event stream get what is published, over HTTP and HTTPS; that
`--health` asks over both; that names are resolved, by a name server and by /etc/hosts, also for
HTTPS to Django, with the authorities in the root's /etc/ssl; and that a message is there after a
restart. Ends with a line of figures, as JSON.
It takes a network namespace of its own, for a name server at port 53: root's, or a user's where
users may have namespaces.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import queue
import shutil
import signal
import socketserver
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

SECONDS = 60  # that anything may take: emulated, on a busy machine
BY_DNS, BY_HOSTS = "django.dns.test", "django.hosts.test"


def main() -> None:
    if sys.argv[1:2] != ["--inside"]:
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        script = 'ip link set lo up && exec "$@"'
        inside = [sys.executable, __file__, "--inside", *sys.argv[1:]]
        os.execvp("unshare", ["unshare", "--net", *user, "sh", "-c", script, "sh", *inside])
    binary, *emulator = map(Path, sys.argv[2:])
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(show(Root(Path(directory), binary, *emulator))))


class Root:
    """The directory that the daemon sees as /: the binary, its emulator, what is written below."""

    def __init__(self, path: Path, binary: Path, emulator: Path | None = None) -> None:
        self.path = path
        self.command = ["/pushserver"]
        shutil.copy(binary, path / "pushserver")
        if emulator:
            shutil.copy(emulator, path / "emulator")
            self.command.insert(0, "/emulator")

    def write(self, name: str, text: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text)

    def process(self, *arguments: str, **options: object) -> subprocess.Popen:
        def enter() -> None:
            os.chroot(self.path)
            os.chdir("/")

        # No variable of ours either.
        return subprocess.Popen([*self.command, *arguments], preexec_fn=enter, env={}, **options)

    def run(self, *arguments: str) -> str:
        with self.process(*arguments, stdout=subprocess.PIPE, text=True) as process:
            said, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, f"{arguments}: exit code {process.returncode}: {said}"
        return said


class Daemon:
    """A started daemon. Its log goes to our standard error."""

    def __init__(self, root: Root) -> None:
        begin = time.monotonic()
        self.process = root.process("--config", "/config.json", stdout=subprocess.PIPE, text=True)
        lines = [self.process.stdout.readline() for _ in ("http", "https")]
        self.started = time.monotonic() - begin
        assert all(line.startswith("listening on http") for line in lines), lines
        self.port = urllib.parse.urlsplit(lines[0].split()[-1]).port

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(SECONDS) == 0, "it stops when it is told to"

    def resident_kb(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])


class Client:
    """Requests to the daemon, over HTTP or, with what is trusted, over HTTPS."""

    def __init__(self, daemon: Daemon, trusted: ssl.SSLContext | None) -> None:
        self.daemon, self.trusted = daemon, trusted

    def ask(
        self, method: str, path: str, body: str | None = None, **headers: str
    ) -> http.client.HTTPResponse:
        where = "localhost", self.daemon.port
        if self.trusted:
            connection = http.client.HTTPSConnection(*where, timeout=SECONDS, context=self.trusted)
        else:
            connection = http.client.HTTPConnection(*where, timeout=SECONDS)
        connection.request(method, path, body, headers)
        return connection.getresponse()

    def is_held(self, channel: str) -> bool:
        answer = self.ask("GET", f"/publish/{channel}", Accept="application/json")
        return answer.status == 200 and json.load(answer)["subscribers"] == 1


def show(root: Root) -> dict[str, object]:
    """Everything that is to be shown; gives the figures."""
    trusted = certificates(root)
    # It is not read (tests/static-names.c): what else it may name is a library of the system, with
    # a glibc of its own.
    root.write("etc/nsswitch.conf", "hosts: files\n")
    with notices(None) as plain, notices(root) as secure, name_server():
        passthroughs = {
            "dns": f"http://{BY_DNS}:{plain.port}/notice",
            "hosts": f"http://{BY_HOSTS}:{plain.port}/notice",
            "tls": f"https://{BY_DNS}:{secure.port}/notice",
        }
        root.write("config.json", json.dumps(settings(passthroughs)))
        version = root.run("--version").strip()
        daemon = Daemon(root)
        try:
            for client in (Client(daemon, None), Client(daemon, trusted)):
                a_poll_gets_what_is_published(client)
                a_stream_gets_what_is_published(client)
            for scheme in ("http", "https"):
                root.run("--health", f"{scheme}://127.0.0.1:{daemon.port}/status/readyz")
            a_name_is_resolved(client, "dns", plain)
            a_name_is_resolved(client, "tls", secure)
            resident = daemon.resident_kb()
            published = client.ask("POST", "/publish/kept", "kept")
            assert published.status == 202, published.status
        finally:
            daemon.stop()
        # The file of names is read at the start of a process, and may be there or not.
        root.write("etc/hosts", f"127.0.0.1 localhost {BY_HOSTS}\n")
        again = Daemon(root)
        try:
            client = Client(again, trusted)
            kept = client.ask("GET", "/subscribe/kept")
            assert (kept.status, kept.read()) == (200, b"kept"), kept.status
            a_name_is_resolved(client, "hosts", plain)
        finally:
            again.stop()
    return {
        "version": version,
        "binary_bytes": (root.path / "pushserver").stat().st_size,
        "started_seconds": round(daemon.started, 3),
        "resident_kb": resident,
    }


def settings(passthroughs: dict[str, str]) -> dict[str, object]:
    subscriber = {"type": "subscriber", "create_on_get": True}
    told = [
        {**subscriber, "prefix": f"/{name}/", "passthrough": url}
        for name, url in passthroughs.items()
    ]
    return {
        "port": 0,
        "certificate": "/certificate.pem",
        "private_key": "/certificate.key",
        "store": {"type": "memory", "max_messages": 10, "persist": "/messages.db"},
        "locations": [
            {"type": "publisher", "prefix": "/publish/"},
            {"type": "status", "prefix": "/status/", "allow": ["127.0.0.1"]},
            {**subscriber, "prefix": "/subscribe/"},
            *told,
        ],
    }


def a_poll_gets_what_is_published(client: Client) -> None:
    channel = f"poll-{bool(client.trusted)}"
    answers: queue.Queue = queue.Queue()

    def poll() -> None:
        answer = client.ask("GET", f"/subscribe/{channel}")
        answers.put((answer.status, answer.read()))

    threading.Thread(target=poll, daemon=True).start()
    wait_for(lambda: client.is_held(channel), f"a poll of {channel} is held")
    assert client.ask("POST", f"/publish/{channel}", "hello").status == 201
    assert answers.get(timeout=SECONDS) == (200, b"hello")


def a_stream_gets_what_is_published(client: Client) -> None:
    channel = f"stream-{bool(client.trusted)}"
    stream = client.ask("GET", f"/subscribe/{channel}", Accept="text/event-stream")
    assert stream.status == 200, stream.status
    for text in ("one", "two"):
        assert client.ask("POST", f"/publish/{channel}", text).status == 201
        lines = iter(stream.readline, b"")
        assert next(line for line in lines if line.startswith(b"data:")).split() == [
            b"data:",
            text.encode(),
        ]
    stream.close()


def a_name_is_resolved(client: Client, location: str, backend: Notices) -> None:
    threading.Thread(
        target=client.ask, args=("GET", f"/{location}/{location}"), daemon=True
    ).start()
    try:
        body = backend.bodies.get(timeout=SECONDS)
    except queue.Empty:
        raise AssertionError(f"no notice came from /{location}/: see the daemon's log") from None
    assert body == f"channel_id={location}&subscribe=1".encode(), body
    wait_for(lambda: client.is_held(location), f"a poll of {location} is held")
    assert client.ask("DELETE", f"/publish/{location}").status == 200


class Notices(http.server.ThreadingHTTPServer):
    """Django's part: answers notices, and keeps what they say of those who come."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Notice)
        self.port = self.server_address[1]
        self.bodies: queue.Queue[bytes] = queue.Queue()


class Notice(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Notices

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if b"&subscribe=" in body:
            self.server.bodies.put(body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def notices(root: Root | None) -> Iterator[Notices]:
    """With a root, by HTTPS with its certificate."""
    server = Notices()
    if root:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(root.path / "certificate.pem", root.path / "certificate.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server):
        yield server


class Names(socketserver.BaseRequestHandler):
    """Answers where BY_DNS is, and that no other name is there (RFC 1035 section 4.1)."""

    def handle(self) -> None:
        asked, socket = self.request
        labels, at = [], 12
        while length := asked[at]:
            labels.append(asked[at + 1 : at + 1 + length])
            at += 1 + length
        question = asked[12 : at + 5]
        (kind,) = struct.unpack("!H", asked[at + 1 : at + 3])
        is_known = b".".join(labels).decode() == BY_DNS
        count = int(is_known and kind == 1)
        flags = 0x8180 if is_known else 0x8183
        answer = asked[:2] + struct.pack("!5H", flags, 1, count, 0, 0) + question
        if count:
            answer += b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes([127, 0, 0, 1])
        socket.sendto(answer, self.client_address)


def name_server() -> contextlib.AbstractContextManager[None]:
    """Where a root has no /etc/resolv.conf it is asked at this machine's port 53."""
    return serving(socketserver.ThreadingUDPServer(("127.0.0.1", 53), Names))


@contextlib.contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def certificates(root: Root) -> ssl.SSLContext:
    """A certificate for the daemon and for Django, which is trusted for itself, in the root."""
    pair = root.path / "certificate.pem", root.path / "certificate.key"
    config = f"""
        [req]
        distinguished_name = nobody
        x509_extensions = server
        [nobody]
        [server]
        basicConstraints = critical, CA:FALSE
        keyUsage = critical, digitalSignature
        subjectAltName = DNS:localhost, DNS:{BY_DNS}
    """
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=test"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-config", "/dev/stdin"]
    files = ["-out", pair[0], "-keyout", pair[1]]
    subprocess.run([*command, *key, *files], input=config, text=True, check=True)
    # Where a system's authorities are looked for.
    root.write("etc/ssl/certs/ca-certificates.crt", pair[0].read_text())
    return ssl.create_default_context(cafile=pair[0])


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"it did not come true in {SECONDS} s: {what}"
        time.sleep(0.05)


if __name__ == "__main__":
    main()
