"""Following a channel by its event stream (HTML standard 9.2), for ``manage.py listen``.

Connects again whenever the stream ends, and goes on behind the last message: none is lost or
repeated. Where the push server refuses, it does not ask again.
"""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import datetime, timezone
from typing import NamedTuple

from pushserver import conf, cursor, hosts, remedies, status
from pushserver.utils import pool, updates

# The pause after a failure, until the stream says which; twice as long after each further one.
PAUSE_S = 1.0
PAUSE_S_MAX = 30.0
# Intervals of pings that a stream may be silent, as in updates.module.js.
SILENT_PINGS = 2.5


class Message(NamedTuple):
    """A message of the channel."""

    id: str
    """``TIME:TAG``."""
    time: datetime
    """When it was published, in UTC, to the second."""
    event: str
    """The publisher's ``X-EventSource-Event``, or ``""``."""
    missed: str
    """How many before it were removed before they were sent, or ``unknown``; ``""`` for none."""
    data: str


class Note(NamedTuple):
    """What became of the connection."""

    text: str


class ListeningError(OSError):
    """The channel cannot be followed. The message says what to do."""


class _Broken(ListeningError):
    """Another attempt may succeed."""


class Listener:
    """One channel, from where ``since`` says, as of ``updates.subscriber_url``.

    Raises ``ValueError`` for a ``since`` or an id that cannot be.
    """

    def __init__(self, channel_id: str, since: object) -> None:
        self.channel_id = channel_id
        # Not a later "now" at a later attempt.
        self._since = cursor.parameter(since, None)
        # Of the second or two before "now", which come too, nothing is missed.
        self._begins_now = since == "now"
        self._url()
        # Where, as messages say it: without the token.
        self._where = hosts.publisher_origin() + conf.path("subscriber", channel_id)
        self._last_id = ""
        self._pause_s = PAUSE_S

    def follow(self) -> Iterator[Message | Note]:
        """What comes, for ever. Raises ``ListeningError``, also if it cannot begin."""
        has_begun = False
        failures = 0
        while True:
            try:
                for each in self._stream():
                    has_begun = True
                    failures = 0
                    yield each
            except _Broken as error:
                if not has_begun:
                    raise
                self._begins_now = False
                pause_s = min(PAUSE_S_MAX, self._pause_s * 2 ** min(failures, 10))
                failures += 1
                yield Note(f"{error}. Connecting again in {pause_s:.0f} s")
                time.sleep(pause_s)

    def _url(self) -> str:
        """Where to connect, with a token that is signed now."""
        path = updates.subscriber_path(self.channel_id, None, None, None, self._since)
        return hosts.publisher_origin() + path

    def _stream(self) -> Iterator[Message | Note]:
        """One connection. Ends where another token is needed; raises ``ListeningError``."""
        try:
            origin, target = pool.taken_apart(self._url())
            with closing(pool.connect(origin, status.TIMEOUT_S)) as connection:
                connection.request("GET", target, headers=self._headers())
                socket = connection.sock
                with connection.getresponse() as answer:
                    self._check(answer)
                    yield Note(f"listening to {self.channel_id} at {self._where}")
                    # For as long as the stream does not say how often it has a ping.
                    socket.settimeout(None)
                    yield from self._messages(answer, socket.settimeout)
        except ListeningError:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            remedy = remedies.remedy(error, changes=False)
            raise _Broken(self._text(f"{str(error) or type(error).__name__}. {remedy}")) from error

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "text/event-stream"}
        # Newer than the `since` of the URL.
        return headers | {"Last-Event-ID": self._last_id} if self._last_id else headers

    def _check(self, answer: http.client.HTTPResponse) -> None:
        """Raises ``ListeningError`` for what is no event stream."""
        kind = answer.headers.get_content_type()
        if answer.status == 200 and kind == "text/event-stream":
            return
        if answer.status == 200:
            text = f"the answer is {kind} and no event stream. {_OTHER_SERVER}"
            raise ListeningError(self._text(text))
        body = answer.read(pool.ANSWER_BYTES_MAX)
        reason = remedies.reason(pool.Answer(answer.status, answer.headers, body))
        if 300 <= answer.status < 400:
            remedy = f"It leads to {answer.headers['Location']}. {_OTHER_SERVER}"
        elif answer.status >= 500:
            raise _Broken(self._text(f"status {answer.status}{reason}. See that server's log"))
        else:
            remedy = _REMEDIES.get(answer.status, _OTHER_SERVER)
        raise ListeningError(self._text(f"status {answer.status}{reason}. {remedy}"))

    def _messages(
        self, lines: Iterable[bytes], set_timeout: Callable[[float], None]
    ) -> Iterator[Message]:
        """Those of a stream. Raises ``ListeningError`` at its end, but that of a token."""
        for block in _blocks(lines):
            if ping := re.search("^ping ([1-9][0-9]{0,8})$", block.get("", ""), re.MULTILINE):
                set_timeout(SILENT_PINGS * int(ping[1]))
            if re.fullmatch("[0-9]{1,8}", retry := block.get("retry", "")):
                self._pause_s = int(retry) / 1000
            if block.get("event") == "push:end":
                if self._ended(block.get("data", "")):
                    return
                continue
            # Also where no data follows: the place of a stream that has had no message yet.
            self._last_id = block.get("id", self._last_id)
            if "data" in block:
                yield self._message(block.get("event", ""), block["data"])
        raise _Broken(self._text("the connection has ended"))

    def _ended(self, why: str) -> bool:
        """Whether to connect again at once. Raises ``ListeningError``."""
        code = int(why[:3]) if re.match("[0-9]{3}", why) else 0
        if code == 401:
            return True  # the token's time is up
        text = self._text(f"the push server has ended the stream: {why}")
        if code == 410:
            raise _Broken(f"{text}: the channel was deleted")
        raise ListeningError(f"{text}. {_REMEDIES.get(code, _OTHER_SERVER)}")

    def _message(self, event: str, data: str) -> Message:
        """Of an event whose id is ``TIME:TAG``, maybe with ``;gap=N`` or more behind it."""
        id_, *more = self._last_id.split(";")
        gaps = [each[4:] for each in more if each.startswith("gap=")]
        missed = "" if self._begins_now else "".join(gaps)
        self._begins_now = False
        try:
            moment = datetime.fromtimestamp(int(id_.partition(":")[0]), timezone.utc)
        except (ArithmeticError, OSError, ValueError) as error:
            text = f"{self._last_id!r} is no id of a push server's message. {_OTHER_SERVER}"
            raise ListeningError(self._text(text)) from error
        return Message(id_, moment, event, missed, data)

    def _text(self, what: str) -> str:
        return f"channel {self.channel_id!r} at {self._where}: {what}"


def _blocks(lines: Iterable[bytes]) -> Iterator[dict[str, str]]:
    """The fields of each block of lines; comments have no name. What the end cuts off is dropped.

    What has several lines, as data may, has line ends between them.
    """
    block: dict[str, list[str]] = {}
    for line in lines:
        text = line.decode(errors="replace").rstrip("\r\n")
        if text:
            name, _, value = text.partition(":")
            value = value.removeprefix(" ")
            block.setdefault(name, []).append(value)
        elif block:
            yield {name: "\n".join(values) for name, values in block.items()}
            block = {}


_OTHER_SERVER = (
    "See whether PUSH_SERVER['publisher_host'] and the subscriber location's url lead to the push "
    "server, and not to another"
)

_REMEDIES = {
    400: "Start listening again without --since",
    401: "The push server has to have the SECRET_KEY of this project: restart `runpushserver`, or "
    "write its file again with `manage.py pushserver_settings`. If the token has expired, their "
    "clocks differ",
    403: "See the subscriber location's max_subscribers, and its transports",
    404: "Give the subscriber location create_on_get, or push to the channel first; and make "
    "PUSH_SERVER['locations'] here that of the push server there",
    406: "Give the subscriber location the transport 'eventsource'",
    409: "Its location has a concurrency that lets one subscriber wait: another one does",
    421: "Add the host of PUSH_SERVER['publisher_host'] to PUSH_SERVER['hosts']",
}
