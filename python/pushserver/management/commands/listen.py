"""``manage.py listen CHANNEL…``: each message of channels as it comes, a line for each."""

from __future__ import annotations

import json
import os
import queue
import re
import select
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from pushserver import running, strict_json
from pushserver.listening import Listener, ListeningError, Message, Note

# Messages that wait to be written. Beyond, the push server keeps them.
WAITING_MAX = 100
# How often it is seen whether anybody reads what is written.
READER_S = 0.5
INTERRUPTED = 128 + 2


class Command(BaseCommand):
    help = "Shows each message of channels as it comes, as a page would get it, until Ctrl-C."
    requires_system_checks = ("pushserver",)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("channels", nargs="+", metavar="channel", help="a channel's id")
        parser.add_argument(
            "--since",
            default="now",
            help="where to begin: now (the default), oldest, or behind the message with this id",
        )
        parser.add_argument(
            "--json", action="store_true", help="an object a line: channel, id, time, data"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if sys.stdout is None:  # as `>&-` leaves it
            raise CommandError("standard output is closed, where messages are shown")
        running.find()
        try:
            channels = dict.fromkeys(options["channels"])
            listeners = [Listener(each, options["since"]) for each in channels]
        except (ValueError, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error
        line = _json_line if options["json"] else _line
        try:
            for channel_id, what in _all(listeners):
                if isinstance(what, Note):
                    self._note(what.text)
                    continue
                if what.missed and not options["json"]:
                    self._note(_gap(channel_id, what.missed))
                self._show(line(channel_id, what))
        except ListeningError as error:
            raise CommandError(str(error)) from error
        except BrokenPipeError:
            _write_no_more()
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)

    def _note(self, text: str) -> None:
        if sys.stderr is not None:  # as `2>&-` leaves it
            self.stderr.write(text, style_func=str)

    def _show(self, line: str) -> None:
        """Raises ``BrokenPipeError`` where nobody reads it any more, else ``CommandError``."""
        try:
            self.stdout.write(_encodable(line, self.stdout))
            self.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            _write_no_more()
            raise CommandError(f"standard output takes no more: {error}") from error


def _all(listeners: list[Listener]) -> Iterator[tuple[str, Message | Note]]:
    """What comes in any of the channels; each has a thread, which ends with the process."""
    waiting: queue.Queue[tuple[str, Message | Note | Exception]] = queue.Queue(WAITING_MAX)
    for listener in listeners:
        threading.Thread(target=_follow, args=(listener, waiting), daemon=True).start()
    while True:
        try:
            channel_id, what = waiting.get(timeout=READER_S)
        except queue.Empty:
            if _nobody_reads():
                raise BrokenPipeError from None
            continue
        if isinstance(what, Exception):
            raise what
        yield channel_id, what


def _follow(
    listener: Listener, waiting: queue.Queue[tuple[str, Message | Note | Exception]]
) -> None:
    try:
        for each in listener.follow():
            waiting.put((listener.channel_id, each))
    except Exception as error:
        waiting.put((listener.channel_id, error))


def _line(channel_id: str, message: Message) -> str:
    moment = timezone.localtime(message.time)
    event = f" [{message.event}]" if message.event else ""
    data = _ESCAPED.sub(_unescaped, message.data) if _is_json(message.data) else message.data
    return _printable(f"{moment:%Y-%m-%d %H:%M:%S} {channel_id}{event} {data}")


def _json_line(channel_id: str, message: Message) -> str:
    """``data`` is there for what is JSON, and ``text`` for what is not."""
    head: dict[str, Any] = {"channel": channel_id, "id": message.id}
    head["time"] = message.time.isoformat().replace("+00:00", "Z")
    if message.event:
        head["event"] = message.event
    if message.missed:
        head["missed"] = int(message.missed) if message.missed.isdecimal() else message.missed
    if not _is_json(message.data):
        return json.dumps(head | {"text": message.data})
    # As it was published: digits of numbers, and the order of keys. A line end is white space here.
    data = re.sub("[\r\n]", " ", message.data)
    data = re.sub("[^\0-\x7f]", lambda found: json.dumps(found[0])[1:-1], data)
    return f'{json.dumps(head)[:-1]}, "data": {data}}}'


def _is_json(text: str) -> bool:
    try:
        strict_json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


# An escape of JSON: a character or half of one as `send_update` writes it, or any other.
_ESCAPED = re.compile(r"\\(?:u[0-9a-fA-F]{4}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2})?|.)")


def _unescaped(found: re.Match[str]) -> str:
    character: str = json.loads(f'"{found[0]}"')
    is_letter = character.isprintable() and character not in '"\\'
    return character if is_letter and found[0][1] == "u" else found[0]


def _gap(channel_id: str, missed: str) -> str:
    if missed == "unknown":
        why = "the channel or the push server has begun anew since then"
        return f"channel {channel_id!r}: messages before the next one may be missing: {why}"
    why = "see max_messages, message_timeout and max_memory of the store"
    return f"channel {channel_id!r}: messages before the next one were removed: {missed}; {why}"


def _printable(text: str) -> str:
    """On one line, and without what a terminal takes for commands."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _encodable(text: str, out: Any) -> str:
    encoding = getattr(out, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _nobody_reads() -> bool:
    """Whether what reads the output has ended, as ``head -1`` does; it is not told otherwise until
    the next message."""
    try:
        output = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    poll = select.poll()
    poll.register(output, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _write_no_more() -> None:
    """Or Python would complain when it writes the rest at its end."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
