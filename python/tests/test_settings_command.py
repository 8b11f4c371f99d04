"""``manage.py pushserver_settings``, with the real daemon."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import urllib.request

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from pushserver import conf
from pushserver.binary import find_binary
from tests.test_daemon import PYTHON, manage


def printed(*arguments):
    out = io.StringIO()
    call_command("pushserver_settings", *arguments, stdout=out)
    return out.getvalue()


def test_the_daemon_runs_with_what_is_written(settings, tmp_path):
    settings.ALLOWED_HOSTS = [".dev.test", "odd:8000"]
    settings.PUSH_SERVER = {
        "port": 0,
        "address": "localhost",
        "hosts": ["mine.test"],
        "locations": (
            {"type": "subscriber", "url": r"/updates/([^/]+)", "create_on_get": True},
            {"type": "publisher", "url": r"/send-update/([^/]+)", "secret": "hush"},
        ),
    }
    file = tmp_path / "pushserver.json"
    assert printed("--output", str(file)) == ""
    written = json.loads(file.read_text())
    assert written["hosts"] == ["mine.test", ".dev.test"]
    assert written["address"] in ("127.0.0.1", "::1")
    assert written["store"] == conf.DEFAULTS["store"]
    assert written["locations"][1]["secret"] == "hush"
    assert not {"allrequests", "allrequests_secret", "limits"} & set(written)
    assert written == json.loads(printed())

    command = [find_binary(), "--config", file]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
        url = daemon.stdout.readline().removeprefix("listening on ").strip()
        request = urllib.request.Request(url + "/send-update/room", b"1")
        request.add_header("Authorization", "Bearer hush")
        with urllib.request.urlopen(request) as response:
            assert response.status == 202
        daemon.terminate()
        assert daemon.wait(20) == 0


def test_nobody_else_can_read_what_is_written(settings, tmp_path):
    settings.PUSH_SERVER = {}
    file = tmp_path / "pushserver.json"
    before = os.umask(0)
    try:
        printed("--output", str(file))
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o600
    # Its group may have been let in, by whom it belongs to.
    file.chmod(0o644)
    os.chown(file, -1, os.getegid())
    printed("--output", str(file))
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["pushserver.json"]


def test_a_link_stays_one(settings, tmp_path):
    settings.PUSH_SERVER = {}
    link, file = tmp_path / "link", tmp_path / "file"
    link.symlink_to(file)
    printed("--output", str(link))
    assert link.is_symlink()
    assert json.loads(file.read_text())["port"] == 8001


def test_settings_that_the_daemon_does_not_take_leave_the_file_alone(settings, tmp_path):
    file = tmp_path / "pushserver.json"
    file.write_text("as it was")
    settings.PUSH_SERVER = {"locations": [{"type": "publisher", "url": "/(?=x)(.+)"}]}
    with pytest.raises(CommandError, match=r"^PUSH_SERVER: locations\[0\]\.url: ") as caught:
        printed("--output", str(file))
    assert caught.value.returncode == 2
    assert file.read_text() == "as it was"


def test_a_directory_that_there_is_not_is_told(settings, tmp_path):
    settings.PUSH_SERVER = {}
    with pytest.raises(CommandError, match=r"nowhere/file: No such file"):
        printed("--output", str(tmp_path / "nowhere" / "file"))


def test_what_is_no_file_is_not_replaced_by_one(settings, tmp_path):
    settings.PUSH_SERVER = {}
    pipe, loop = tmp_path / "pipe", tmp_path / "loop"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    for path in (pipe, tmp_path):
        with pytest.raises(CommandError, match="is no regular file: leave out --output"):
            printed("--output", str(path))
    with pytest.raises(CommandError, match="loop: Too many levels of symbolic links"):
        printed("--output", str(loop))
    # As a shell writes a variable that is not set: no wish to see the secrets.
    with pytest.raises(CommandError, match="is no regular file"):
        printed("--output", "")
    assert pipe.is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loop", "pipe"]


def test_a_dash_is_standard_output(settings, tmp_path, monkeypatch):
    settings.PUSH_SERVER = {}
    monkeypatch.chdir(tmp_path)
    assert printed("--output", "-") == printed()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("umask", "warned"), [(0o022, True), (0o027, False), (0o077, False)])
def test_a_file_of_the_shells_that_all_can_read_is_told(tmp_path, umask, warned):
    file = tmp_path / "pushserver.json"
    command = [sys.executable, "-m", "django", "pushserver_settings", "--settings=tests.settings"]
    with file.open("w") as out:
        file.chmod(0o666 & ~umask)
        said = subprocess.run(
            command, cwd=PYTHON, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE
        )
    assert (b"--output FILE" in said.stderr) == warned
    assert json.loads(file.read_text())["port"] == 8001


def test_through_a_pipe_it_is_json_alone():
    with manage("pushserver_settings") as process:
        out, said = process.communicate(timeout=20)
    assert (json.loads(out)["port"], said) == (8001, "")
