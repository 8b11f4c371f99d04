"""docs/production.md, "Django's settings, systemd, no nginx": what it says works."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from pushserver.binary import find_binary
from tests.ports import own_port
from tests.stub import Answer, Stub
from tests.test_daemon import PYTHON

PAGE = (PYTHON.parent / "docs" / "production.md").read_text()
SECTION = PAGE[PAGE.index("## Django's settings, systemd, no nginx") :]
SETTINGS, *_ = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
UNITS = dict(re.findall(r"```ini\n# (\S+)\n(.*?)```", SECTION, re.DOTALL))


@pytest.fixture
def place(tmp_path):
    """A project as on the page, on ports that are free."""
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (programs / "pushserver").write_text(f'#!/bin/sh\nexec {find_binary()} "$@"\n')
    (programs / "gunicorn").write_text("#!/bin/sh\n")
    for program in programs.iterdir():
        program.chmod(0o700)
    (tmp_path / "manage.py").write_text(
        "import sys\n"
        "from django.core.management import execute_from_command_line\n"
        "execute_from_command_line(sys.argv)\n"
    )
    (tmp_path / "pushserver").mkdir()
    return tmp_path


def unit(place, name):
    text = UNITS[f"/etc/systemd/system/{name}.service"]
    return text.replace("/srv/mysite", str(place)).replace("%t", str(place))


def run(place, line):
    return subprocess.run(
        shlex.split(line),
        cwd=place,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "production", "PYTHONPATH": str(PYTHON)},
        capture_output=True,
        text=True,
    )


def lines(place, key):
    return re.findall(rf"^{key}=(.*)$", unit(place, "pushserver"), re.MULTILINE)


def write_settings(place, django, port):
    text = SETTINGS.replace('"port": 80,', f'"port": {port},').replace("127.0.0.1:8002", django)
    assert django in text
    assert str(port) in text
    (place / "production.py").write_text("from tests.settings import *\n" + text)


def is_waited_on(at):
    try:
        with urllib.request.urlopen(at + "/send-update/check") as response:
            return b"subscribers: 1" in response.read()
    except urllib.error.HTTPError as error:
        error.close()
        return False


def test_the_unit_runs_and_reloads(place, wait_for):
    page = Answer(200, b"a page")
    with Stub(lambda request: page) as django, ThreadPoolExecutor() as threads:
        port = own_port()
        write_settings(place, django.host, port)
        (prepare,) = lines(place, "ExecStartPre")
        written, signal = lines(place, "ExecReload")
        assert run(place, prepare).returncode == 0
        (start,) = lines(place, "ExecStart")
        with subprocess.Popen(shlex.split(start), cwd=place, stdout=subprocess.PIPE) as daemon:
            assert b"listening" in daemon.stdout.readline()
            at = f"http://127.0.0.1:{port}"

            def get(path, data=None):
                with urllib.request.urlopen(at + path, data, timeout=30) as response:
                    return response.status, response.read(), response.headers["Server"]

            assert get("/")[:2] == (200, b"a page")
            poll = threads.submit(get, "/updates/check?last_event_id=0:0")
            wait_for(lambda: is_waited_on(at))
            source = place / "production.py"
            source.write_text(source.read_text() + 'PUSH_SERVER["servername"] = "new"\n')
            assert run(place, written).returncode == 0
            assert signal == "/bin/kill -HUP $MAINPID"
            daemon.send_signal(1)
            wait_for(lambda: get("/send-update/check")[2] == "new")
            assert get("/send-update/check", b"hello")[0] == 201
            assert poll.result(30)[:2] == (200, b"hello")
            daemon.terminate()
            assert daemon.wait(20) == 0


def test_settings_that_are_wrong_are_refused_and_the_old_ones_stay(place):
    write_settings(place, "127.0.0.1:9", 8003)
    written, _ = lines(place, "ExecReload")
    assert run(place, written).returncode == 0
    file = place / "pushserver" / "settings.json"
    before = file.read_text()
    source = place / "production.py"
    source.write_text(source.read_text() + 'PUSH_SERVER["locations"][1]["url"] = "/(?=x)(.+)"\n')
    refused = run(place, written)
    assert refused.returncode == 2
    assert "PUSH_SERVER: locations[1].url: " in refused.stderr
    assert file.read_text() == before


def test_the_checks_have_nothing_to_say(place):
    write_settings(place, "127.0.0.1:9", 8003)
    python = place / "venv" / "bin" / "python"
    said = run(place, f"{python} manage.py check --tag pushserver --fail-level WARNING")
    assert (said.returncode, said.stderr) == (0, "")


@pytest.mark.parametrize("name", ["mysite", "pushserver"])
def test_systemd_takes_the_units(place, name):
    file = place / f"{name}.service"
    user = pwd.getpwuid(os.geteuid()).pw_name
    file.write_text(unit(place, name).replace("User=mysite", f"User={user}"))
    command = ["systemd-analyze", "verify", str(file)]
    said = subprocess.run(command, capture_output=True, text=True)
    complaints = [line for line in said.stderr.splitlines() if name in line]
    assert (said.returncode, complaints) == (0, [])
