"""Publishing with ``wait``: what is asked for, and what the result and ``manage.py push`` say."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import transaction
from django.dispatch import receiver

from pushserver import signals
from pushserver.listening import Listener, Note
from pushserver.test import PushServer, capture_updates
from pushserver.utils import pool, updates
from tests.browser.conftest import NGINX, running_nginx
from tests.ports import nothing_listens
from tests.stub import Answer

INFORMATION = (
    b"queued messages: 1\r\nlast requested: 0 sec. ago\r\nactive subscribers: %d\r\n"
    b"last message id: 1795895826:0"
)
WAITED = {"Preference-Applied": "wait=2"}


def answering(status, subscribers, headers=WAITED):
    return lambda request: Answer(status, INFORMATION % subscribers, headers)


def test_the_push_server_is_asked_to_wait(stub):
    updates.send_update("room", 1, wait=2)
    updates.send_update("room", 2)
    assert [request.headers.get("prefer") for request in stub.requests] == ["wait=2", None]


@pytest.mark.parametrize(
    ("status", "there", "told"),
    [
        (201, 3, 3),
        (201, 0, 1),  # the first came while the push server waited
        (202, 0, 0),
        (202, 1, 0),  # that one waits for a later message
    ],
)
def test_the_result_is_how_many_were_sent_it(stub, status, there, told):
    stub.answer = answering(status, there)
    assert updates.send_update("room", 1, wait=2) == told
    assert updates.send_update("room", 1) == told
    assert asyncio.run(updates.asend_update("room", 1, wait=2)) == told
    assert stub.requests[-1].headers["prefer"] == "wait=2"


def test_an_answer_without_information_counts_too(stub):
    stub.answer = lambda request: Answer(201)
    assert updates.send_update("room", 1) == 1


def test_receivers_find_the_answer_unread(stub):
    stub.answer = answering(201, 3)
    bodies = []

    @receiver(signals.post_send_update)
    def sent(response, **kwargs):
        bodies.append(response.read())

    updates.send_update("room", 1)
    signals.post_send_update.disconnect(sent)
    assert bodies == [INFORMATION % 3]


@pytest.mark.parametrize("wait", [0, 31, -1, 2.0, "2", True])
def test_a_wait_that_cannot_be_is_refused(stub, settings, wait):
    settings.PUSH_SERVER_IGNORE_ERRORS = True
    text = re.escape(f"wait is {wait!r}: it has to be a whole number of seconds from 1 to 30")
    with pytest.raises(ValueError, match=text):
        updates.send_update("room", 1, wait=wait)
    with pytest.raises(ValueError, match=text):
        asyncio.run(updates.asend_update("room", 1, wait=wait))
    assert stub.requests == []


def test_the_timeout_grows_by_the_wait(stub, monkeypatch):
    given = []
    post = updates.shared.post

    def noting(url, body, headers, timeout_s):
        given.append(timeout_s)
        return post(url, body, headers, timeout_s)

    monkeypatch.setattr(updates.shared, "post", noting)
    updates.send_update("room", 1, timeout=0.5, wait=30)
    updates.send_update("room", 2, timeout=0.5)
    assert given == [30.5, 0.5]
    assert {request.connection for request in stub.requests} == {1}


def test_others_send_while_one_waits(stub, wait_for):
    came = threading.Event()

    def answer(request):
        if "prefer" in request.headers:
            came.wait(10)
        return Answer(202, b"%d" % request.connection)

    stub.answer = answer
    waiting = threading.Thread(target=updates.send_update, args=("room", 1), kwargs={"wait": 9})
    waiting.start()
    try:
        wait_for(lambda: stub.requests)
        updates.send_update("room", 2)
        updates.send_update("room", 3)
    finally:
        came.set()
        waiting.join()
    assert [(each.body, each.connection) for each in stub.requests] == [
        (b"1", 1),
        (b"2", 2),
        (b"3", 2),
    ]


def test_others_send_while_many_wait_in_asynchronous_code(stub, wait_for):
    came = threading.Event()

    def answer(request):
        if "prefer" in request.headers:
            came.wait(10)
        return Answer()

    async def send():
        # That of a small machine has six threads.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        waits = [asyncio.create_task(updates.asend_update(1, each, wait=9)) for each in range(3)]
        await asyncio.sleep(0)
        waits.pop().cancel()
        try:
            await asyncio.wait_for(updates.asend_update(1, "other"), 5)
        finally:
            came.set()
        assert await asyncio.gather(*waits) == [0, 0]

    stub.answer = answer
    asyncio.run(send())
    assert b'"other"' in [request.body for request in stub.requests]
    wait_for(lambda: not any("send_update" in each.name for each in threading.enumerate()))


@pytest.mark.django_db(transaction=True)
def test_on_commit_there_is_no_result_yet(stub):
    stub.answer = answering(201, 3)
    with transaction.atomic():
        assert updates.send_update("room", 1, on_commit=True, wait=2) is None
        assert stub.requests == []
    assert stub.requests[0].headers["prefer"] == "wait=2"


def test_after_an_ignored_error_there_is_no_result(settings, caplog):
    settings.PUSH_SERVER = {"publisher_host": nothing_listens()}
    assert updates.send_update("room", 1, ignore_errors=True, wait=1) is None
    assert updates.send_update("room", object(), ignore_errors=True) is None
    assert len(caplog.messages) == 2


def test_captured_updates_have_no_subscriber():
    with capture_updates() as captured:
        assert updates.send_update("room", 1, wait=30) == 0
    assert captured == [("room", 1)]


LATER = "nobody listens: kept for later. The push server did not wait: nginx does not, nor does "


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (answering(201, 3), "delivered to 3\n"),
        (answering(201, 3, {}), "delivered to 3\n"),
        (answering(201, 0), "delivered to the first subscriber that came\n"),
        (answering(202, 0), "nobody listened for 2 seconds: kept for later\n"),
        (answering(202, 0, {}), LATER),
    ],
)
def test_the_command_says_what_became_of_it(stub, capsys, answer, said):
    stub.answer = answer
    call_command("push", "room", "1", wait=2)
    assert capsys.readouterr().out.startswith(said)
    call_command("push", "room", "1")
    assert capsys.readouterr().out == ""


def test_the_command_promises_no_later_where_nothing_is_stored(capsys):
    places = [
        {"type": "publisher", "url": "/p/(.+)", "store_messages": False},
        {"type": "subscriber", "url": "/s/(.+)"},
    ]
    with PushServer(locations=places):
        call_command("push", "room", "1", wait=30, timeout=-25)
    said = "nobody listens: the update is gone, since its location has no store_messages\n"
    assert capsys.readouterr().out == said


def test_the_command_refuses_a_wait_that_cannot_be(stub):
    with pytest.raises(CommandError, match="wait is 31: it has to be a whole number of seconds"):
        call_command("push", "room", "1", "--wait", "31")
    assert stub.requests == []


def test_the_command_says_nothing_of_an_update_whose_error_is_ignored(settings, capsys, caplog):
    settings.PUSH_SERVER = {"publisher_host": nothing_listens()}
    settings.PUSH_SERVER_IGNORE_ERRORS = True
    call_command("push", "room", "1", "--wait", "1")
    assert capsys.readouterr().out == ""
    assert "was not sent" in caplog.text


@pytest.fixture
def server():
    with PushServer(limits={"waiting_publishers": 1}) as running:
        yield running


def is_stored(channel):
    with (
        contextlib.suppress(HTTPError),
        urlopen(updates.publisher_url(channel), timeout=20) as said,
    ):
        return b"queued messages: 1\r\n" in said.read()


@contextlib.contextmanager
def publishing(channel, wait_for):
    """An update that waits for a subscriber, until one comes; gives what `send_update` returned."""
    told = []

    def send():
        told.append(updates.send_update(channel, 1, wait=30))

    sending = threading.Thread(target=send)
    sending.start()
    wait_for(lambda: is_stored(channel))
    assert told == []
    yield told
    sending.join()


def polled(channel):
    with urlopen(updates.subscriber_url(channel), timeout=20) as answer:
        return answer.read()


def test_a_subscriber_that_comes_while_it_waits_is_sent_the_update(server, wait_for):
    with publishing("room", wait_for) as told:
        assert polled("room") == b"1"
    assert told == [1]


def test_nobody_comes(server, capsys):
    began_s = time.monotonic()
    assert updates.send_update("room", 1, wait=1) == 0
    assert time.monotonic() - began_s >= 1
    call_command("push", "room", "2", wait=1)
    assert capsys.readouterr().out == "nobody listened for 1 second: kept for later\n"
    assert time.monotonic() - began_s >= 2
    assert polled("room") == b"1"


def test_the_command_counts_who_listens(server, capsys):
    polls = [threading.Thread(target=polled, args=("room",)) for _ in range(3)]
    for poll in polls:
        poll.start()
    server.wait_until_subscribed("room", 3)
    call_command("push", "room", "1", wait=30)
    assert capsys.readouterr().out == "delivered to 3\n"
    for poll in polls:
        poll.join()


def test_the_command_says_that_somebody_came(server, capsys, wait_for):
    pushing = threading.Thread(target=call_command, args=("push", "room", "1"), kwargs={"wait": 30})
    pushing.start()
    wait_for(lambda: is_stored("room"))
    assert polled("room") == b"1"
    pushing.join()
    assert capsys.readouterr().out == "delivered to the first subscriber that came\n"


def test_more_than_the_limit_do_not_wait(server, capsys, wait_for):
    with publishing("room", wait_for) as told:
        # Far less than 30 seconds, and no error of the time: it is answered at once.
        assert updates.send_update("hall", 1, wait=30, timeout=-25) == 0
        call_command("push", "hall", "2", wait=30, timeout=-25)
        assert capsys.readouterr().out.startswith(LATER)
        assert polled("room") == b"1"
    assert told == [1]


def test_nginx_does_not_wait_and_says_who_listens(settings, tmp_path, capsys):
    with running_nginx(tmp_path, NGINX) as host, contextlib.ExitStack() as stack:
        settings.PUSH_SERVER = {"publisher_host": host}
        # Far less than the 30 seconds, and no error of the time: it has answered at once.
        assert updates.send_update("room", 1, wait=30, timeout=-25) == 0
        call_command("push", "room", "2", wait=30)
        assert capsys.readouterr().out.startswith(LATER)
        followed = stack.enter_context(contextlib.closing(Listener("room", "oldest").follow()))
        assert isinstance(next(followed), Note)
        assert [next(followed).data for _ in range(2)] == ["1", "2"]
        call_command("push", "room", "3", wait=30)
        assert capsys.readouterr().out == "delivered to 1\n"
        assert next(followed).data == "3"
    pool.shared.close()
