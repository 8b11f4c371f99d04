"""``runpushserver --allrequests`` takes what ``runserver`` takes, options too."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess

import pytest
from django.core.management.base import CommandError

from pushserver import conf, upstream
from pushserver.management.commands import runpushserver
from tests.allrequests_urls import DOWNLOAD_BYTES
from tests.project import Project
from tests.test_allrequests import get


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    with Project(tmp_path_factory.mktemp("project")) as started:
        yield started


@pytest.mark.parametrize("given", [None, {}, {"upstream_timeout": 5, "headers": 50}])
def test_limits_that_runserver_does_not_have_are_raised(monkeypatch, given):
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **options: None)
    push_server = conf.push_server() | {"limits": given}
    started = upstream.Upstream(push_server, {})
    os.close(started._lifeline)
    os.close(started._starts)
    hour = 3600
    assert push_server["limits"] == {
        "header_timeout": hour,
        "body_timeout": hour,
        "write_timeout": hour,
        "upstream_timeout": hour,
        "upstream_wait": 30,
        "uri_bytes": 65536,
        "header_bytes": 101 * 65536,
        "headers": 100,
    } | (given or {})


def test_a_pause_in_an_upload_or_a_download_ends_neither(project, tmp_path, wait_for):
    """Longer than one that a project with limits of its own does not wait for."""
    (tmp_path / "impatient.py").write_text(
        "from tests.allrequests_settings import *\n"
        "PUSH_SERVER['limits'] |= {'body_timeout': 0.3, 'write_timeout': 0.3}\n"
    )
    impatient = Project(tmp_path, "-v", "3", DJANGO_SETTINGS_MODULE="impatient")
    with impatient, contextlib.ExitStack() as stack:

        def begin(project, head):
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            host, _, port = project.url.removeprefix("http://").partition(":")
            sock.connect((host, int(port)))
            sock.sendall(head.encode())
            return sock

        upload = "POST /size HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhello"
        download = "GET /download HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        uploading, downloading = begin(project, upload), begin(project, download)
        cut = begin(impatient, upload)
        begin(impatient, download)
        assert b" 408 " in cut.recv(100)
        wait_for(lambda: "timer=Write" in impatient.log())

        uploading.sendall(b"world")
        answer = http.client.HTTPResponse(uploading)
        answer.begin()
        assert (answer.status, answer.read()) == (200, b"10")
        answer = http.client.HTTPResponse(downloading)
        answer.begin()
        assert len(answer.read()) == DOWNLOAD_BYTES


def test_large_heads_pass(project):
    cookie = "a=" + "x" * 60_000
    assert json.loads(get(project.url + "/client", headers={"Cookie": cookie}))["cookies"] == 60_002
    assert json.loads(get(f"{project.url}/client?{'x' * 60_000}"))["cookies"] == 0


def test_options_of_runserver_reach_it(tmp_path, wait_for):
    behind = ("--noreload", "--insecure", "--", "--nothreading", "-v", "1")
    (tmp_path / "undebugged.py").write_text(
        "from tests.allrequests_settings import *\nDEBUG = False\n"
    )
    with Project(tmp_path, *behind, DJANGO_SETTINGS_MODULE="undebugged") as project:
        # The command, the daemon, and Django's only process.
        assert len(project.processes()) == 3
        assert "--primary" in get(project.url + "/static/admin/css/base.css")
        arguments = json.loads(get(project.url + "/environment"))["arguments"]
        assert arguments[-5:] == ["--noreload", "--insecure", "--nothreading", "-v", "1"]
        project.process.terminate()
        assert project.process.wait(30) == 0
        wait_for(lambda: project.processes() == [])


def test_another_command_stands_in_for_runserver(tmp_path):
    app = tmp_path / "another" / "management" / "commands"
    app.mkdir(parents=True)
    for package in (app, app.parent, app.parent.parent):
        (package / "__init__.py").touch()
    (app / "runserver_plus.py").write_text(
        "from django.core.management.commands.runserver import Command\n"
    )
    (tmp_path / "mine.py").write_text(
        "from tests.allrequests_settings import *\nINSTALLED_APPS = [*INSTALLED_APPS, 'another']\n"
    )
    command = ("--runserver-command", "runserver_plus")
    with Project(tmp_path, *command, DJANGO_SETTINGS_MODULE="mine") as project:
        arguments = json.loads(get(project.url + "/environment"))["arguments"]
        assert "runserver_plus" in arguments
        assert "runserver" not in arguments


def test_a_command_that_there_is_not_is_told(tmp_path):
    project = Project(tmp_path, "--runserver-command", "runserver_minus")
    project.launch()
    assert project.process.wait(30) == 1
    assert "Unknown command: 'runserver_minus'" in project.log()


@pytest.mark.parametrize(
    "options",
    [
        ["--forcehost", "example.com"],
        ["--runserver-command=x"],
        ["--noreload"],
        ["--nothreading"],
        ["--nostatic"],
        ["--insecure"],
        ["--", "--noreload"],
    ],
)
def test_options_of_the_server_behind_need_one(options):
    name = options[0].partition("=")[0]
    command = runpushserver.Command()
    with pytest.raises(CommandError, match=f"^{name} can be given only with --allrequests"):
        run(command, *options)


def run(command, *arguments):
    """As ``manage.py``, which shows a ``CommandError`` unless it is told not to."""
    command.run_from_argv(["manage.py", "runpushserver", "0", "--traceback", *arguments])


def test_the_help_says_what_is_behind_two_dashes(capsys):
    with pytest.raises(SystemExit):
        run(runpushserver.Command(), "--help")
    assert "Arguments behind -- go to the runserver" in capsys.readouterr().out
