"""Sending: what goes out, what errors say, and that nothing is sent twice."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import io
import json
import logging
import os
import socket
import threading
import uuid

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import transaction
from django.dispatch import receiver

from pushserver import conf, hosts, signals
from pushserver.test import capture_updates
from pushserver.utils import pool, updates
from tests.ports import nothing_listens
from tests.stub import DROP, Answer, Stub, answer_after


def test_an_update_goes_out_as_json(stub):
    updates.send_update("a/b", {"type": "answer", "value": 42, "text": "ž"})
    (request,) = stub.requests
    assert (request.method, request.path) == ("POST", "/send-update/a%2Fb")
    assert request.headers["content-type"] == "application/json; charset=utf-8"
    assert json.loads(request.body) == {"type": "answer", "value": 42, "text": "ž"}


def test_what_django_serialises_is_serialised(stub):
    when = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    ident = uuid.UUID(int=7)
    updates.send_update("room", {"when": when, "price": decimal.Decimal("1.10"), "id": ident})
    assert json.loads(stub.requests[0].body) == {
        "when": "2026-01-02T03:04:05Z",
        "price": "1.10",
        "id": str(ident),
    }


@pytest.mark.parametrize("data", ['{"type": "ž"}', '{"type": "ž"}'.encode()])
def test_serialised_data_goes_out_as_it_is(stub, data):
    updates.send_update("room", data, already_serialized=True)
    assert stub.requests[0].body == '{"type": "ž"}'.encode()


def test_updates_share_a_connection(stub):
    for value in range(5):
        updates.send_update("room", value)
    assert {request.connection for request in stub.requests} == {1}


def test_each_thread_has_a_connection_of_its_own(stub):
    both = threading.Barrier(2)
    stub.answer = answer_after(both)
    threads = [threading.Thread(target=updates.send_update, args=("room", n)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {request.connection for request in stub.requests} == {1, 2}


def test_a_connection_that_the_server_closed_is_not_used_again(stub):
    updates.send_update("room", 1)
    stub.close_connections()
    updates.send_update("room", 2)
    assert [(request.body, request.connection) for request in stub.requests] == [
        (b"1", 1),
        (b"2", 2),
    ]


def test_a_connection_that_says_close_is_not_used_again(stub):
    stub.answer = lambda request: Answer(headers={"Connection": "close"})
    updates.send_update("room", 1)
    updates.send_update("room", 2)
    assert [request.connection for request in stub.requests] == [1, 2]


def test_an_idle_connection_is_not_used_for_long(stub, monkeypatch):
    monkeypatch.setattr(pool, "IDLE_S_MAX", 0)
    updates.send_update("room", 1)
    updates.send_update("room", 2)
    assert [request.connection for request in stub.requests] == [1, 2]


def test_an_update_that_may_have_been_taken_is_not_sent_again(stub):
    updates.send_update("room", 1)
    stub.answer = lambda request: DROP
    with pytest.raises(updates.UpdateError, match="Whether it was taken is not known"):
        updates.send_update("room", 2)
    assert [request.body for request in stub.requests] == [b"1", b"2"]


def test_a_forked_process_does_not_share_connections(stub):
    updates.send_update("room", 1)
    child = os.fork()
    if child == 0:
        try:
            updates.send_update("room", 2)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    updates.send_update("room", 3)
    assert [(request.body, request.connection) for request in stub.requests] == [
        (b"1", 1),
        (b"2", 2),
        (b"3", 1),
    ]


def test_a_unix_socket_is_published_to(settings, tmp_path):
    path = str(tmp_path / "push.sock")
    settings.PUSH_SERVER = {"address": f"unix:{path}"}
    taken = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve():
            connection, _ = listener.accept()
            with connection:
                while b"\r\n\r\n7" not in b"".join(taken):
                    taken.append(connection.recv(4096))
                connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

        server = threading.Thread(target=serve)
        server.start()
        updates.send_update("room", 7)
        server.join()
    pool.shared.close()
    assert b"".join(taken).startswith(b"POST /send-update/room HTTP/1.1\r\nHost: localhost\r\n")


def test_a_publisher_secret_goes_along(stub, settings):
    settings.PUSH_SERVER = {
        "publisher_host": stub.host,
        "locations": [{"type": "publisher", "prefix": "/p/", "secret": "s3cret"}],
    }
    updates.send_update("room", 1)
    assert stub.requests[0].headers["authorization"] == "Bearer s3cret"


def test_a_server_that_is_down_is_told_with_channel_url_and_remedy(settings):
    host = nothing_listens()
    settings.PUSH_SERVER = {"publisher_host": host}
    with pytest.raises(OSError, match="refused") as caught:
        updates.send_update("room", 1)
    error = caught.value
    assert isinstance(error, updates.UpdateError)
    assert (error.channel_id, error.url) == ("room", f"http://{host}/send-update/room")
    for part in ("'room'", error.url, "runpushserver"):
        assert part in str(error)


@pytest.mark.parametrize(
    ("push_server", "hinted"),
    [({}, True), ({"port": None}, True), ({"port": 0}, False), ({"publisher_host": 0}, False)],
)
def test_where_8001_is_a_guess_the_port_of_allrequests_is_told(
    settings, monkeypatch, push_server, hinted
):
    host = nothing_listens()
    port = int(host.rpartition(":")[2])
    monkeypatch.setitem(conf.DEFAULTS, "port", port)
    given = {"port": port, "publisher_host": host}
    settings.PUSH_SERVER = {
        key: given[key] if value == 0 else value for key, value in push_server.items()
    }
    with pytest.raises(updates.UpdateError, match="refused") as caught:
        updates.send_update("room", 1)
    assert ('put "port": 8000 into PUSH_SERVER' in str(caught.value)) == hinted
    # A view of the server behind the daemon knows.
    monkeypatch.setenv(hosts.HOST_VARIABLE, host)
    with pytest.raises(updates.UpdateError) as caught:
        updates.send_update("room", 1)
    assert "8000" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (200, "publisher_host"),
        (302, "publisher_host"),
        (403, "allow and secret"),
        (404, "locations"),
        (413, "body_bytes"),
        (503, "log"),
    ],
)
def test_an_answer_that_refuses_is_told_with_its_reason(stub, status, remedy):
    stub.answer = lambda request: Answer(status, b"no: because\nof this")
    with pytest.raises(updates.UpdateRejected) as caught:
        updates.send_update("room", 1)
    assert caught.value.status == status
    for part in (
        "'room'",
        f"http://{stub.host}/send-update/room",
        f"{status} (no: because)",
        remedy,
    ):
        assert part in str(caught.value)


def test_plain_http_where_tls_was_expected(stub, settings):
    settings.PUSH_SERVER = {"publisher_host": {"location": stub.host, "secure": True}}
    with pytest.raises(updates.UpdateError, match=r"\['secure'\] to False"):
        updates.send_update("room", 1)


@pytest.mark.parametrize("data", [object(), {1, 2}, float("nan"), {"a": float("inf")}, {(1, 2): 3}])
def test_data_that_is_no_json(stub, data):
    with pytest.raises(TypeError, match="'room'") as caught:
        updates.send_update("room", data)
    assert isinstance(caught.value, updates.UpdateError)
    assert caught.value.url in str(caught.value)
    assert stub.requests == []


def test_serialised_data_of_another_type(stub):
    with pytest.raises(updates.UpdateNotSerializable, match="not dict"):
        updates.send_update("room", {}, already_serialized=True)


def test_a_channel_without_url(settings):
    settings.PUSH_SERVER = {"locations": [{"type": "publisher", "url": r"/u/(\d+)"}]}
    with pytest.raises(updates.UpdateError, match=r"'room'.*does not match"):
        updates.send_update("room", 1)


def test_a_server_that_does_not_answer(stub):
    release = threading.Event()
    stub.answer = answer_after(release)
    try:
        with pytest.raises(updates.UpdateError, match=r"timed out.*not known"):
            updates.send_update("room", 1, timeout=0.05)
    finally:
        release.set()


@pytest.mark.parametrize("by_setting", [True, False])
def test_ignored_errors_are_logged(settings, caplog, by_setting):
    settings.PUSH_SERVER = {"publisher_host": nothing_listens()}
    settings.PUSH_SERVER_IGNORE_ERRORS = by_setting
    with caplog.at_level(logging.ERROR, "pushserver"):
        updates.send_update("room", 1, ignore_errors=not by_setting)
        updates.send_update("room", object(), ignore_errors=not by_setting)
    refused, not_json = caplog.messages
    assert "refused" in refused
    assert "not JSON serializable" in not_json


@pytest.fixture
def told():
    """The ``send_update`` signals, as (signal, arguments)."""
    seen = []

    @receiver(signals.pre_send_update)
    def before(**arguments):
        seen.append(("pre", arguments))

    @receiver(signals.post_send_update)
    def after(**arguments):
        seen.append(("post", arguments))

    yield seen
    signals.pre_send_update.disconnect(before)
    signals.post_send_update.disconnect(after)


def test_signals_go_around_an_update(stub, told):
    stub.answer = lambda request: Answer(201, b"queued messages: 1")
    updates.send_update("room", {"type": "x"})
    (pre, before), (post, after) = told
    assert (pre, post) == ("pre", "post")
    assert before["sender"] is after["sender"] is updates
    assert (before["channel_id"], before["data"]) == ("room", {"type": "x"})
    assert before["already_serialized"] is False
    assert before["request"].get_full_url() == f"http://{stub.host}/send-update/room"
    assert after["request"] is before["request"]
    assert (after["response"].status, after["response"].read()) == (201, b"queued messages: 1")


def test_post_send_update_has_the_exception_when_the_server_is_down(settings, told):
    settings.PUSH_SERVER = {"publisher_host": nothing_listens()}
    with pytest.raises(updates.UpdateError) as caught:
        updates.send_update("room", 1)
    assert told[-1][0] == "post"
    assert told[-1][1]["response"] is caught.value


def test_a_receiver_can_add_headers(stub):
    def add(request, **kwargs):
        request.add_header("X-Trace", "7")

    signals.pre_send_update.connect(add)
    try:
        updates.send_update("room", 1)
    finally:
        signals.pre_send_update.disconnect(add)
    assert stub.requests[0].headers["x-trace"] == "7"


@pytest.mark.django_db(transaction=True)
def test_on_commit_waits_for_the_transaction():
    with capture_updates() as sent:
        data = {"value": 1}
        with transaction.atomic():
            updates.send_update("room", data, on_commit=True)
            data["value"] = 2
            assert sent == []
        assert sent == [("room", {"value": 1})]
        with transaction.atomic():
            updates.send_update("room", 3, on_commit=True)
            transaction.set_rollback(True)
        assert len(sent) == 1
        updates.send_update("room", 4, on_commit=True)
        assert sent[-1] == ("room", 4)


def test_asend_update_does_not_block_the_loop(stub):
    waiting = threading.Event()
    stub.answer = answer_after(waiting)

    async def main():
        sending = asyncio.create_task(updates.asend_update("room", {"value": 1}))
        while not stub.requests:
            await asyncio.sleep(0.001)
        assert not sending.done()
        waiting.set()
        await sending

    asyncio.run(main())
    assert json.loads(stub.requests[0].body) == {"value": 1}


def test_captured_updates_are_not_sent(stub, told):
    with capture_updates() as sent:
        updates.send_update("room", {"when": datetime.date(2026, 1, 2)})
        updates.send_update("hall", "[1]", already_serialized=True)
    assert sent == [("room", {"when": "2026-01-02"}), ("hall", [1])]
    assert sent[0].channel_id == "room"
    assert stub.requests == []
    assert [name for name, _ in told] == ["pre", "post"] * 2
    with capture_updates(), pytest.raises(AssertionError, match="not JSON"):
        updates.send_update("room", "{", already_serialized=True)


def test_the_push_command(stub, capsys, monkeypatch):
    call_command("push", "a room", '{"type": "answer"}')
    assert stub.requests[0].path == "/send-update/a%20room"
    assert stub.requests[0].body == b'{"type": "answer"}'
    with pytest.raises(CommandError, match="not JSON"):
        call_command("push", "room", "{type: answer}")
    with pytest.raises(CommandError, match="not JSON: NaN is no JSON, and no browser reads it"):
        call_command("push", "room", "[NaN]")
    for given in (b"\xff", b"[" * 200_000):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given), "utf-8"))
        with pytest.raises(CommandError, match="not JSON"):
            call_command("push", "room", "-")
    assert len(stub.requests) == 1
    stub.answer = lambda request: Answer(404)
    with pytest.raises(CommandError, match="404"):
        call_command("push", "room", "1")


def test_the_pool_keeps_few_connections(monkeypatch):
    monkeypatch.setattr(pool, "IDLE_CONNECTIONS_MAX", 1)
    connections = pool.Pool()
    both = threading.Barrier(2)
    with Stub(answer_after(both)) as server:
        url = f"http://{server.host}/"
        threads = [
            threading.Thread(target=connections.post, args=(url, b"", {}, 5)) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(map(len, connections._idle.values())) == 1
        connections.close()
