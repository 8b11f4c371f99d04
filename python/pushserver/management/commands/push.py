"""``manage.py push CHANNEL JSON``: one update from the command line."""

from __future__ import annotations

import sys
from typing import Any
from urllib.response import addinfourl

from django.core.management.base import BaseCommand, CommandError, CommandParser

from pushserver import conf, running, signals, status, strict_json
from pushserver.utils import updates


class Command(BaseCommand):
    help = "Sends an update to everybody who is subscribed to a channel."
    requires_system_checks = ("pushserver",)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("channel", help="the channel's id")
        parser.add_argument("json", help="the update as JSON, or - to read it from standard input")
        parser.add_argument(
            "--timeout",
            type=float,
            default=status.TIMEOUT_S,
            help="seconds for each wait for the network",
        )
        parser.add_argument(
            "--wait",
            type=int,
            metavar="SECONDS",
            help="wait so long (1 to 30) for a subscriber if there is none, and say what became "
            "of the update",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            text = sys.stdin.read() if options["json"] == "-" else options["json"]
            strict_json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CommandError(
                f"the update is not JSON: {error}. "
                """A shell needs it quoted, as in '{"type": "answer", "value": 42}'"""
            ) from error
        running.find()
        signals.post_send_update.connect(self.keep)
        try:
            updates.send_update(
                options["channel"],
                text,
                already_serialized=True,
                timeout=options["timeout"],
                wait=options["wait"],
            )
        except (updates.UpdateError, ValueError) as error:
            raise CommandError(str(error)) from error
        finally:
            signals.post_send_update.disconnect(self.keep)
        if options["wait"] is not None and isinstance(self.answer, addinfourl):
            self.stdout.write(_outcome(self.answer, options["wait"]))

    answer: object = None
    """What the push server said, or the error where ``PUSH_SERVER_IGNORE_ERRORS`` is set."""

    def keep(self, response: object, **kwargs: Any) -> None:
        self.answer = response


def _outcome(answer: addinfourl, wait_s: int) -> str:
    """What became of the update."""
    if answer.status == 201:
        count = updates.subscribers_before(answer)
        return f"delivered to {count or 'the first subscriber that came'}"
    if not conf.location("publisher").get("store_messages", True):
        return "nobody listens: the update is gone, since its location has no store_messages"
    if answer.headers["Preference-Applied"]:
        return f"nobody listened for {wait_s} second{'s' * (wait_s > 1)}: kept for later"
    return (
        "nobody listens: kept for later. The push server did not wait: nginx does not, nor does "
        "a push server for which limits.waiting_publishers wait already"
    )
