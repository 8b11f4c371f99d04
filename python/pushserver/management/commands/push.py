"""``manage.py push CHANNEL JSON``: one update from the command line."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from pushserver import status
from pushserver.utils import updates


class Command(BaseCommand):
    help = "Sends an update to everybody who is subscribed to a channel."
    requires_system_checks = ("pushserver",)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("channel", help="the channel's id")
        parser.add_argument("json", help="the update as JSON, or - to read it from standard input")
        parser.add_argument(
            "--timeout", type=float, default=status.TIMEOUT_S, help="seconds to wait"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        text = sys.stdin.read() if options["json"] == "-" else options["json"]
        try:
            json.loads(text)
        except ValueError as error:
            raise CommandError(
                f"the update is not JSON: {error}. "
                """A shell needs it quoted, as in '{"type": "answer", "value": 42}'"""
            ) from error
        try:
            updates.send_update(
                options["channel"], text, already_serialized=True, timeout=options["timeout"]
            )
        except updates.UpdateError as error:
            raise CommandError(str(error)) from error
