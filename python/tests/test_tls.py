"""HTTPS with the daemon's own certificate for development: who trusts it, and who does not."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from pushserver import certificate, conf, handover
from pushserver.daemon import DaemonError
from pushserver.test import PushServer
from pushserver.utils import pool, updates
from tests.signed_settings import PUSH_SERVER as SIGNED
from tests.test_checks import OLD_DOCUMENTATION
from tests.test_daemon import PYTHON, running, url_of
from tests.test_wheel import own_network

SECURE = {"publisher_host": {"location": "127.0.0.1:8001", "secure": True}}


@pytest.fixture
def state(monkeypatch, tmp_path):
    """The directory of certificates, as nobody has used it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "pushserver"


def publishes():
    """Sends an update by TLS, and gets it back by plain HTTP."""
    updates.send_update("room", {"value": 1})
    assert updates.publisher_url("room").startswith("https://")
    url = updates.subscriber_url("room")
    assert url.startswith("http://")
    with urllib.request.urlopen(url, timeout=20) as answer:
        assert answer.read() == b'{"value":1}'


DOCUMENTED = """
import json, ssl, urllib.request
import django
django.setup()
from pushserver.utils import pool, updates

updates.send_update("room", {"type": "answer", "value": 42})
(connections,) = pool.shared._idle.values()
assert isinstance(connections[0][1].sock, ssl.SSLSocket)
print(updates.publisher_url("room"), updates.subscriber_url("room"))
with urllib.request.urlopen(updates.subscriber_url("room"), timeout=20) as answer:
    print(answer.read().decode())
"""
DOCUMENTED_PARTS = """
set -e
"$@" runpushserver > log 2>&1 &
trap 'kill $!' EXIT
for _ in $(seq 600); do grep -q Quit log && break; sleep 0.1; done
cat log
"$PYTHON" -c "$SCRIPT"
"""


def test_the_settings_of_the_old_documentation_run_as_they_stand(state):
    """Letter by letter, at that port: `send_update` publishes by https, pages subscribe by http."""
    settings = f"from tests.settings import *\nPUSH_SERVER = {OLD_DOCUMENTATION!r}\n"
    (state.parent / "documented.py").write_text(settings)
    assert OLD_DOCUMENTATION["publisher_host"] == {"location": "127.0.0.1:8001", "secure": True}
    done = subprocess.run(
        [*own_network(), "sh", "-c", DOCUMENTED_PARTS, "sh", sys.executable, "-m", "django"],
        cwd=state.parent,
        env=os.environ
        | {
            "PYTHON": sys.executable,
            "SCRIPT": DOCUMENTED,
            "DJANGO_SETTINGS_MODULE": "documented",
            "PYTHONPATH": f"{PYTHON}:{state.parent}",
            "PYTHONUNBUFFERED": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "running at http://127.0.0.1:8001/ and https://127.0.0.1:8001/\n" in done.stdout
    assert done.stdout.endswith(
        "https://127.0.0.1:8001/send-update/room http://127.0.0.1:8001/updates/room\n"
        '{"type":"answer","value":42}\n'
    )
    assert (state / "localhost.pem").is_file()


def test_the_helper_for_tests_speaks_https_where_the_settings_do(settings, state):
    settings.PUSH_SERVER = OLD_DOCUMENTATION
    with PushServer() as server:
        assert server.url.startswith("http://")
        publishes()
        publishes_again = pool.shared._idle
        (kept,) = ([each for _, each in idle] for idle in publishes_again.values())
        updates.send_update("room", 2)
        (again,) = ([each for _, each in idle] for idle in publishes_again.values())
        assert kept == again  # one connection for both
    with PushServer(plain_http=False, **SECURE) as server:
        assert server.url.startswith("https://")
        assert updates.subscriber_url("room").startswith("https://")
        assert updates.publisher_url("room").startswith(server.url)
        updates.send_update("room", 1)


def test_signed_urls_over_tls(settings, state):
    settings.PUSH_SERVER = SIGNED | SECURE
    with PushServer():
        publishes()
        assert updates.revoke(7) == 0


def test_another_port_of_the_command_line_speaks_https_too(settings, state):
    settings.PUSH_SERVER = SECURE
    made = handover.daemon_settings(conf.push_server())
    assert "certificate" not in made  # as the daemon sees for itself
    assert (
        handover.daemon_settings(conf.push_server() | {"port": 1})["certificate"] == "development"
    )
    settings.PUSH_SERVER = SECURE | {"certificate": "/a.pem"}
    assert handover.daemon_settings(conf.push_server() | {"port": 1})["certificate"] == "/a.pem"
    with running("0", settings="tests.secure_settings") as (_, banner):
        plain, _, secure = banner[2].rpartition(" is running at ")[2].partition(" and ")
        assert secure == plain.replace("http", "https")
        settings.PUSH_SERVER = {"publisher_host": {"location": secure[8:-1], "secure": True}}
        updates.send_update("room", 1)
        assert plain.startswith("http://")
        assert url_of(banner) == secure
    pool.shared.close()


@pytest.fixture
def server(settings, state):
    settings.PUSH_SERVER = {}
    with PushServer(**SECURE) as started:
        yield started


def address(server):
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    return host, int(port)


def strict(state):
    """As strict as Python can be, and as it is by default since 3.13."""
    context = ssl.create_default_context(cafile=str(state / "localhost.pem"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_the_certificate_is_good_for_the_strictest_python(server, state, name, version):
    context = strict(state)
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(address(server), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        secure.sendall(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b""
        while piece := secure.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 404 ")


def test_it_is_good_for_no_other_name(server, state):
    with (
        socket.create_connection(address(server), timeout=20) as plain,
        pytest.raises(ssl.SSLCertVerificationError, match="example"),
    ):
        strict(state).wrap_socket(plain, server_hostname="example.com")


NODE = """
const [url, file] = process.argv.slice(1);
const options = {ca: require("fs").readFileSync(file)};
require("https").get(url, options, (answer) => {
    console.log(answer.statusCode, answer.socket.authorized);
    answer.resume();
}).on("error", (error) => console.log(error.code));
"""


def test_node_trusts_it_where_it_is_told_to(server, state):
    node = shutil.which("node") or shutil.which("nodejs")
    assert node, "node is not installed (Debian: apt-get install npm)"
    for name in ("localhost", "127.0.0.1"):
        url = f"https://{name}:{address(server)[1]}/nowhere"
        command = [node, "-e", NODE, url, str(state / "localhost.pem")]
        assert subprocess.check_output(command, text=True) == "404 true\n"


def refused():
    pool.shared.close()
    with pytest.raises(updates.UpdateError, match=r"CERTIFICATE_VERIFY_FAILED") as caught:
        updates.send_update("room", 1)
    assert "run both as one user" in str(caught.value)
    assert str(certificate.path()) in str(caught.value)


def test_only_a_certificate_of_this_user_is_trusted(server, state, monkeypatch):
    updates.send_update("room", 1)
    file, own = state / "localhost.pem", os.geteuid()
    with monkeypatch.context() as patch:
        patch.setattr("os.geteuid", lambda: own + 1)
        refused()
    file.chmod(0o664)
    refused()
    file.chmod(0o644)
    other = file.rename(state / "other.pem")
    refused()
    file.symlink_to(other)
    refused()
    file.unlink()
    os.mkfifo(file)  # nobody writes: it must not wait for that
    refused()
    file.unlink()
    file.write_bytes(b"\xff no certificate")
    refused()
    other.rename(file)
    pool.shared.close()
    updates.send_update("room", 1)


def test_where_the_certificate_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for unset in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", unset)
        assert certificate.path() == tmp_path / ".local/state/pushserver/localhost.pem"
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert certificate.path() == Path("/state/pushserver/localhost.pem")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.delenv("HOME")
    assert certificate.path() is None
    assert certificate.context().verify_mode == ssl.CERT_REQUIRED


def test_nothing_is_trusted_for_other_machines(server, monkeypatch):
    def forbidden():
        raise AssertionError("it is for this machine alone")

    trusted = certificate.context()
    assert trusted.check_hostname
    assert trusted.verify_mode == ssl.CERT_REQUIRED
    monkeypatch.setattr(certificate, "context", forbidden)
    for host in ("example.com", "example.com:8001", "192.0.2.7:8001", "localhost.example.com"):
        pool.connect(pool.Origin("https", host), 1)
    for host in ("localhost:8001", "127.0.0.1:8001", "[::1]:8001"):
        with pytest.raises(AssertionError):
            pool.connect(pool.Origin("https", host), 1)


def test_a_certificate_that_was_renewed_is_trusted_at_the_next_connection(settings, state):
    settings.PUSH_SERVER = {}
    certificates = set()
    for _ in range(2):
        with PushServer(**SECURE):
            publishes()
            certificates.add((state / "localhost.pem").read_bytes())
        for file in ("localhost.pem", "localhost.key"):
            (state / file).unlink()
    assert len(certificates) == 2


def test_a_place_that_is_not_to_be_used_is_told(settings, state, capfd):
    settings.PUSH_SERVER = {}
    state.write_text("a file where the directory is to be")
    with pytest.raises(DaemonError), PushServer(**SECURE):
        pass
    assert re.search(r"certificate: .*XDG_STATE_HOME", capfd.readouterr().err)
