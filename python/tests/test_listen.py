"""``manage.py listen``: what it shows, how it goes on, and what it says where it cannot."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from pushserver import conf, cursor, listening
from pushserver.listening import Listener, ListeningError, Message, Note
from pushserver.management.commands import listen
from pushserver.test import PushServer
from pushserver.utils import pool, updates
from tests.faults import Cutter
from tests.ports import nothing_listens
from tests.stub import Answer

PYTHON = Path(__file__).parents[1]
LISTENING = "listening to room at "
SIGNED = {
    "locations": [
        {"type": "subscriber", "url": "/updates/([^/]+)", "signed": True, "create_on_get": True},
        {"type": "publisher", "url": "/send-update/([^/]+)", "signed": True},
    ]
}


class Listening:
    """A context manager: the command as a process, with the settings of the test or others."""

    def __init__(self, directory, *arguments, behind="", redirected="", push_server=None):
        self._push_server = push_server or conf.push_server()
        self._arguments = [sys.executable, "-m", "django", "listen", *arguments]
        if behind or redirected:
            line = f'"$@" | {behind}' if behind else f'exec "$@" {redirected}'
            self._arguments = ["sh", "-c", line, "sh", *self._arguments]
        self._files = directory / "stdout", directory / "stderr"

    def __enter__(self):
        given = {
            "DJANGO_SETTINGS_MODULE": "tests.given_settings",
            "TEST_PUSH_SERVER": json.dumps(self._push_server, default=list),
        }
        with self._files[0].open("wb") as output, self._files[1].open("wb") as errors:
            self.process = subprocess.Popen(
                self._arguments, cwd=PYTHON, env=os.environ | given, stdout=output, stderr=errors
            )
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()

    def lines(self):
        return self._files[0].read_text().splitlines()

    def notes(self):
        return self._files[1].read_text()

    def is_there(self, times=1):
        assert self.process.poll() is None, self.notes()
        return self.notes().count(LISTENING) >= times


@pytest.fixture
def server():
    with PushServer() as running:
        yield running


def test_messages_are_shown_as_they_come(server, tmp_path, wait_for):
    updates.send_update("room", {"text": "before"})
    with Listening(tmp_path, "room", "--since", "oldest") as listening_:
        server.wait_until_subscribed("room")
        updates.send_update("room", {"text": "žluť"})
        updates.send_update("hall", "another channel")
        # What a terminal would take for commands, and a second line.
        updates.send_update("room", b"\x1b[2J\nand", already_serialized=True)
        wait_for(lambda: len(listening_.lines()) == 3)
        time = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d room "
        for line, data in zip(
            listening_.lines(),
            ['{"text":"before"}', '{"text":"žluť"}', r"\x1b[2J\nand"],
            strict=True,
        ):
            assert re.fullmatch(time + re.escape(data), line)
        listening_.process.send_signal(signal.SIGINT)
        assert listening_.process.wait(20) == 130
    assert listening_.notes() == f"{LISTENING}{server.url}/updates/room\n"


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (r'{"a":"\u017elu\u0165 \ud83d\ude00 1.10"}', '{"a":"žluť \U0001f600 1.10"}'),
        (r'"\u0022 \u005c \u001b \n \\u017e \ud83d"', r'"\u0022 \u005c \u001b \n \\u017e \ud83d"'),
        (r"no JSON: \u017e", r"no JSON: \u017e"),
    ],
)
def test_letters_of_json_are_shown_as_such(data, shown):
    moment = datetime(2026, 11, 29, 12, tzinfo=timezone.utc)
    message = Message("1:0", moment, "name", "", data)
    assert listen._line("room", message).partition(" [name] ")[2] == shown


def test_what_the_output_cannot_show_is_escaped():
    output = io.TextIOWrapper(io.BytesIO(), "ascii")
    assert listen._encodable("ž", output) == r"\u017e"
    assert listen._encodable("ž", io.StringIO()) == "ž"


def test_json_has_a_message_on_each_line(server, tmp_path, wait_for):
    with Listening(tmp_path, "room", "--json", "--since", "oldest") as listening_:
        server.wait_until_subscribed("room")
        for body in ('{"price": 1.10,\n "text": "žluť \U0001f600"}', "no JSON", "NaN", "[" * 9999):
            updates.send_update("room", body, already_serialized=True)
        wait_for(lambda: len(listening_.lines()) == 4)
    first, *others = map(json.loads, listening_.lines())
    moment, _, tag = first["id"].partition(":")
    assert first == {
        "channel": "room",
        "id": f"{moment}:{tag}",
        "time": first["time"],
        "data": {"price": 1.1, "text": "žluť \U0001f600"},
    }
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", first["time"])
    assert '"price": 1.10,  "text"' in listening_.lines()[0]  # digit by digit
    assert listening_.lines()[0].isascii()
    assert [each["text"] for each in others] == ["no JSON", "NaN", "[" * 9999]
    with Listening(tmp_path, "room", "--json", "--since", others[0]["id"]) as later:
        wait_for(lambda: len(later.lines()) == 2)
    assert [json.loads(line)["text"] for line in later.lines()] == ["NaN", "[" * 9999]


def test_now_is_the_default(monkeypatch, settings):
    settings.PUSH_SERVER = {"publisher_host": nothing_listens()}
    given = []

    class Noting(Listener):
        def __init__(self, channel_id, since):
            given.append((channel_id, since))
            super().__init__(channel_id, since)

    monkeypatch.setattr(listen, "Listener", Noting)
    with pytest.raises(CommandError):
        call_command("listen", "a", "b")
    assert given == [("a", "now"), ("b", "now")]


def test_several_channels(server, tmp_path, wait_for):
    with Listening(tmp_path, "a", "b/c", "--json") as listening_:
        server.wait_until_subscribed("a")
        server.wait_until_subscribed("b/c")
        updates.send_update("a", 1)
        updates.send_update("b/c", 2)
        wait_for(lambda: len(listening_.lines()) == 2)
    found = {each["channel"]: each["data"] for each in map(json.loads, listening_.lines())}
    assert found == {"a": 1, "b/c": 2}


def test_missed_messages_are_told(tmp_path, wait_for):
    with PushServer(store={"type": "memory", "max_messages": 1}):
        updates.send_update("room", 0)
        with Listening(tmp_path, "room", "--since", "oldest", "--json") as listening_:
            wait_for(listening_.lines)
        (first,) = map(json.loads, listening_.lines())
        for number in range(1, 4):
            updates.send_update("room", number)
        with Listening(tmp_path, "room", "--since", first["id"], "--json") as listening_:
            wait_for(listening_.lines)
        (newest,) = map(json.loads, listening_.lines())
        assert (newest["data"], newest["missed"], newest["id"].count(";")) == (3, 2, 0)
        with Listening(tmp_path, "room", "--since", first["id"]) as listening_:
            wait_for(listening_.lines)
        assert (
            "channel 'room': messages before the next one were removed: 2; see "
            in listening_.notes()
        )


def test_what_may_be_missing_is_told():
    assert listen._gap("room", "unknown") == (
        "channel 'room': messages before the next one may be missing: the channel or the push "
        "server has begun anew since then"
    )


def test_it_connects_again_and_loses_nothing(server, tmp_path, wait_for):
    with Cutter(server.url.removeprefix("http://")) as cutter:
        through = conf.push_server() | {"publisher_host": cutter.host}
        with Listening(tmp_path, "room", "--json", push_server=through) as listening_:
            server.wait_until_subscribed("room")
            updates.send_update("room", 0)
            wait_for(lambda: len(listening_.lines()) == 1)
            cutter.refuse()
            cutter.cut(reset=True)
            wait_for(lambda: "Start the push server with" in listening_.notes())
            updates.send_update("room", 1)
            cutter.accept()
            wait_for(lambda: len(listening_.lines()) == 2)
            cutter.cut()
            wait_for(lambda: "the connection has ended" in listening_.notes())
            wait_for(lambda: listening_.is_there(times=3))
            updates.send_update("room", 2)
            wait_for(lambda: len(listening_.lines()) == 3)
        assert [json.loads(line)["data"] for line in listening_.lines()] == [0, 1, 2]
        assert re.search(r"\. Connecting again in \d+ s\n", listening_.notes())


def test_a_token_of_its_own_opens_a_signed_location(settings, tmp_path, wait_for):
    settings.PUSH_SERVER = SIGNED
    with (
        PushServer() as server,
        Listening(tmp_path, "room", "--since", "oldest", "--json") as listening_,
    ):
        server.wait_until_subscribed("room")
        updates.send_update("room", 1)
        wait_for(listening_.lines)
    assert listening_.notes() == f"{LISTENING}{server.url}/updates/room\n"  # no token


def test_a_token_whose_time_is_up_is_made_anew(settings):
    settings.PUSH_SERVER = SIGNED
    settings.PUSH_SERVER_TOKEN_SECONDS = 1
    with PushServer(), contextlib.closing(Listener("room", "now").follow()) as followed:
        # The first ends within a second, and the next ones too.
        notes = [next(followed) for _ in range(3)]
        assert [type(each) for each in notes] == [Note] * 3
        updates.send_update("room", 1)
        assert next(each for each in followed if isinstance(each, Message)).data == "1"
    pool.shared.close()


def test_where_the_push_server_has_only_https(settings, tmp_path, wait_for):
    secure = {"location": "127.0.0.1:8001", "secure": True}
    settings.PUSH_SERVER = {"publisher_host": secure, "subscriber_host": secure}
    with (
        PushServer(plain_http=False) as server,
        Listening(tmp_path, "room", "--json") as listening_,
    ):
        server.wait_until_subscribed("room")
        updates.send_update("room", 1)
        wait_for(listening_.lines)
        assert f"{LISTENING}https://" in listening_.notes()


def test_a_unix_socket(tmp_path, wait_for):
    address = {"address": f"unix:{tmp_path}/push.sock"}
    with (
        PushServer(**address) as server,
        Listening(tmp_path, "room", "--json", push_server=address) as listening_,
    ):
        server.wait_until_subscribed("room")
        updates.send_update("room", 1)
        wait_for(listening_.lines)


@pytest.mark.parametrize("more_come", [True, False])
def test_whoever_reads_may_have_enough(server, tmp_path, wait_for, more_come):
    with Listening(tmp_path, "room", "--since", "oldest", behind="head -1") as listening_:
        server.wait_until_subscribed("room")
        updates.send_update("room", 1)
        wait_for(listening_.lines)
        if more_come:
            updates.send_update("room", 2)
        assert listening_.process.wait(20) == 0
    assert listening_.notes() == f"{LISTENING}{server.url}/updates/room\n"


@pytest.mark.parametrize(
    ("output", "said"),
    [(">&-", "standard output is closed"), (">/dev/full", "standard output takes no more: [Err")],
)
def test_an_output_that_takes_nothing_is_told(server, tmp_path, output, said):
    updates.send_update("room", 1)
    arguments = "room", "--since", "oldest"
    with Listening(tmp_path, *arguments, redirected=output) as listening_:
        assert listening_.process.wait(20) == 1
        last = listening_.notes().splitlines()[-1]
        assert last.startswith(f"CommandError: {said}")
        assert "Traceback" not in listening_.notes()


def test_what_is_said_of_the_connection_may_be_closed(server, tmp_path, wait_for):
    with Listening(tmp_path, "room", redirected="2>&-") as listening_:
        server.wait_until_subscribed("room")
        updates.send_update("room", 1)
        wait_for(listening_.lines)


def test_a_channel_that_is_named_twice_is_shown_once(server, tmp_path, wait_for):
    with Listening(tmp_path, "room", "room", "hall") as listening_:
        server.wait_until_subscribed("hall")
        server.wait_until_subscribed("room")
        updates.send_update("room", 1)
        updates.send_update("room", 2)
        wait_for(lambda: "room 2" in str(listening_.lines()))
    assert len(listening_.lines()) == 2


def test_a_message_of_many_lines_takes_time_as_its_length(monkeypatch):
    def seconds(count):
        began = time.process_time()
        (block,) = listening._blocks([*[b"data: line\n"] * count, b"\n"])
        assert len(block["data"]) == count * 5 - 1
        return time.process_time() - began

    # Ten times as many took a hundred times as long, where each line was put to a text of all.
    assert seconds(600_000) < 40 * max(0.005, seconds(60_000))


def test_a_push_server_that_is_not_there_is_told_at_once(settings, capsys):
    host = nothing_listens()
    settings.PUSH_SERVER = {"publisher_host": host}
    with pytest.raises(CommandError) as caught:
        call_command("listen", "room")
    text = f"channel 'room' at http://{host}/updates/room: [Errno 111] Connection refused. Start "
    assert str(caught.value).startswith(text + "the push server with `manage.py runpushserver`")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("answer", "parts"),
    [
        (Answer(400, b"since: no"), ["status 400 (since: no)", "without --since"]),
        (Answer(401), ["status 401", "SECRET_KEY", "clocks differ"]),
        (Answer(403), ["status 403", "max_subscribers"]),
        (Answer(404), ["status 404", "create_on_get", "locations"]),
        (Answer(406), ["status 406", "'eventsource'"]),
        (Answer(409), ["status 409", "concurrency"]),
        (Answer(418), ["status 418", "publisher_host"]),
        (Answer(421), ["status 421", "hosts"]),
        (Answer(302, b"", {"Location": "https://a/"}), ["leads to https://a/", "publisher_host"]),
        (Answer(503, b"full"), ["status 503 (full)", "log"]),
        (
            Answer(200, b"<html>", {"Content-Type": "text/html"}),
            ["is text/html and no event stream", "publisher_host"],
        ),
    ],
)
def test_a_refusal_is_told_with_what_to_do(stub, answer, parts):
    stub.answer = lambda request: answer
    with pytest.raises(CommandError) as caught:
        call_command("listen", "room")
    where = f"channel 'room' at http://{stub.host}/updates/room: "
    for part in (where, *parts):
        assert part in str(caught.value)
    assert len(stub.requests) == 1


def stream(*parts):
    text = "".join((": ping 25\nretry: 1\n\n", *parts))
    return Answer(200, text.encode(), {"Content-Type": "text/event-stream; charset=utf-8"})


@pytest.mark.parametrize(
    ("ended", "parts"),
    [
        ("403 Forbidden", ["has ended the stream: 403 Forbidden. ", "max_subscribers"]),
        ("404 Not Found", ["has ended the stream: 404 Not Found. ", "create_on_get"]),
        ("409 Conflict", ["has ended the stream: 409 Conflict. ", "concurrency"]),
        ("odd", ["has ended the stream: odd. ", "publisher_host"]),
    ],
)
def test_an_end_that_is_final_is_told_with_what_to_do(stub, ended, parts):
    stub.answer = lambda request: stream(f"event: push:end\ndata: {ended}\n\n")
    with pytest.raises(ListeningError) as caught:
        [*Listener("room", "now").follow()]
    for part in parts:
        assert part in str(caught.value)
    assert len(stub.requests) == 1


def test_a_channel_that_is_deleted_is_followed_again(stub):
    answers = [
        stream("id: 7:1\ndata: 1\n\n", "event: push:end\ndata: 410 Gone\n\n"),
        Answer(503),  # a failure that passes
        stream("id: 8:0\ndata: 2\n\n"),
        Answer(404),
    ]
    stub.answer = lambda request: answers.pop(0)
    found = []
    with pytest.raises(ListeningError, match="status 404"):
        found.extend(Listener("room", "7:0").follow())
    assert answers == []


@pytest.mark.parametrize(
    ("since", "missed"),
    [("now", ["", "2"]), ("oldest", ["unknown", "2"]), ("7:0", ["unknown", "2"])],
)
def test_what_is_missing_from_before_now_is_not_told(stub, since, missed):
    events = "id: 7:1;gap=unknown\ndata: 1\n\n", "id: 8:0;gap=2\ndata: 2\n\n"
    stub.answer = lambda request: stream(*events)
    _, *messages = itertools.islice(Listener("room", since).follow(), 3)
    assert [each.missed for each in messages] == missed


def test_what_a_stream_says_is_read_as_browsers_do(stub):
    answers = [
        stream(
            "id: 6:3\n\n",  # its place: no message
            ":\n\n",
            "id: 7:0;gap=unknown;channel=room\r\nevent: name\r\ndata: a\r\ndata:  b\r\n\r\n",
            "id: 9:9\ndata: cut off",
        ),
        Answer(404),
    ]
    stub.answer = lambda request: answers.pop(0)
    followed = Listener("room", "6:0").follow()
    assert isinstance(next(followed), Note)
    message = next(followed)
    assert (message.id, message.event, message.missed) == ("7:0", "name", "unknown")
    assert (message.data, message.time.timestamp()) == ("a\n b", 7)
    assert "the connection has ended. Connecting again in 0 s" in next(followed).text
    with pytest.raises(ListeningError):
        next(followed)
    first, second = stub.requests
    assert first.headers["accept"] == "text/event-stream"
    assert "last-event-id" not in first.headers
    assert second.headers["last-event-id"] == "7:0;gap=unknown;channel=room"
    assert first.path == second.path == "/updates/room?since=6:0"


def test_the_place_of_a_stream_without_a_message_is_kept(stub):
    answers = [stream("id: 6:3\n\n"), Answer(404)]
    stub.answer = lambda request: answers.pop(0)
    with pytest.raises(ListeningError):
        [*Listener("room", "now").follow()]
    assert stub.requests[1].headers["last-event-id"] == "6:3"


def test_now_is_when_listening_began(stub, monkeypatch):
    now_s = itertools.count(1_795_895_826.5, 10)
    monkeypatch.setattr(cursor, "time", SimpleNamespace(time=lambda: next(now_s)))
    answers = [stream(), Answer(404)]
    stub.answer = lambda request: answers.pop(0)
    with pytest.raises(ListeningError, match="404"):
        [*Listener("room", "now").follow()]
    paths = {request.path for request in stub.requests}
    assert paths == {"/updates/room?since=1795895825"}


def test_an_id_of_another_server(stub):
    stub.answer = lambda request: stream("id: x\ndata: 1\n\n")
    with pytest.raises(ListeningError, match=r"'x' is no id of a push server's message\. See wh"):
        [*Listener("room", "now").follow()]


def test_pauses_grow_and_have_an_end(stub, monkeypatch):
    pauses = []
    monkeypatch.setattr(listening.time, "sleep", pauses.append)
    answers = [stream(), *[Answer(503)] * 16, stream(), Answer(404)]
    stub.answer = lambda request: answers.pop(0)
    with pytest.raises(ListeningError, match="404"):
        [*Listener("room", "now").follow()]
    # The stream says 1 ms.
    grown = [0.001 * 2**power for power in range(11)]
    assert pauses == [*grown, *[1.024] * 6, 0.001]
    pauses.clear()
    monkeypatch.setattr(listening, "PAUSE_S_MAX", 0.004)
    answers += [stream(), *[Answer(503)] * 4, Answer(404)]
    with pytest.raises(ListeningError, match="404"):
        [*Listener("room", "now").follow()]
    assert pauses == [0.001, 0.002, 0.004, 0.004, 0.004]


def test_a_stream_without_pings_is_dead(settings, monkeypatch):
    monkeypatch.setattr(listening, "SILENT_PINGS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings.PUSH_SERVER = {"publisher_host": f"127.0.0.1:{listener.getsockname()[1]}"}
        followed = Listener("room", "now").follow()

        def serve():
            connection, _ = listener.accept()
            connections.append(connection)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
            connection.sendall(head + b": ping 1\nretry: 1\n\n")

        connections = []
        server = threading.Thread(target=serve)
        server.start()
        assert isinstance(next(followed), Note)
        assert "timed out. See what holds that server up. Connecting" in next(followed).text
        server.join()
        followed.close()
        for connection in connections:
            connection.close()


@pytest.mark.parametrize("since", ["yesterday", "7:", ""])
def test_a_place_that_is_none_is_refused(since):
    with pytest.raises(CommandError, match=re.escape(f"since is {since!r}: it has to be 'now'")):
        call_command("listen", "room", since=since)


def test_a_channel_or_settings_that_cannot_be_are_refused(settings):
    settings.PUSH_SERVER = {"locations": [{"type": "subscriber", "url": r"/u/(\d+)"}]}
    with pytest.raises(CommandError, match="'/u/room' does not match"):
        call_command("listen", "room")
    settings.PUSH_SERVER = {"locations": [{"type": "publisher", "prefix": "/p/"}]}
    with pytest.raises(CommandError, match="has no location of type 'subscriber': add one"):
        call_command("listen", "room")


def test_a_mistake_in_a_thread_is_not_swallowed(stub, monkeypatch):
    monkeypatch.setattr(Listener, "follow", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        call_command("listen", "room")
