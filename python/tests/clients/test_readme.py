"""README.md, "A first message in a minute": what it says works."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from pushserver.test import PushServer

PAGE = (Path(__file__).parents[3] / "README.md").read_text()
_, _, SECTION = PAGE.partition("## A first message in a minute\n")
SECTION, _, _ = SECTION.partition("\n## ")
COMMANDS = re.findall(r"^    (curl .*)$", SECTION, re.MULTILINE)
EVENT = re.compile(r"^ *id: (\d+:\d+)\n *data: (.*)$", re.MULTILINE)


@pytest.fixture
def command():
    # The settings that the daemon has without any.
    locations = [
        {"type": "publisher", "prefix": "/publisher/"},
        {"type": "subscriber", "prefix": "/subscriber/"},
    ]
    with PushServer(locations=locations) as server:

        def command(line, **replaced):
            for what, other in {"http://127.0.0.1:8001": server.url, **replaced}.items():
                line = line.replace(what, other)
            program, *arguments = shlex.split(line)
            return [program, "-s", "--max-time", "30", "--noproxy", "*", *arguments]

        yield command


def output(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def read_until(stream, line):
    read = ""
    while not read.endswith(line):
        read += (more := stream.readline())
        assert more, read
    return read


def test_the_first_minute(command):
    publish, get, listen, publish_again, poll = COMMANDS
    assert "queued messages: 1" in output(command(publish))
    assert output(command(get)) == "Hello!"
    with subprocess.Popen(command(listen), stdout=subprocess.PIPE, text=True) as stream:
        said = read_until(stream.stdout, "data: Hello!\n")
        assert "queued messages: 2" in output(command(publish_again))
        said += read_until(stream.stdout, "data: Hello again!\n")
        stream.terminate()
    (first, _), _ = shown = EVENT.findall(said)
    in_page = EVENT.findall(SECTION)
    assert [text for _, text in shown] == [text for _, text in in_page]
    assert output(command(poll, **{in_page[0][0]: first})) == "Hello again!"
