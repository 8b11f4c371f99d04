"""``manage.py demo``: Django and the push server with one command."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from pushserver import conf, handover
from pushserver.binary import find_binary
from pushserver.daemon import Daemon, DaemonError


class Command(BaseCommand):
    help = "Runs the example at http://127.0.0.1:8000/."

    def handle(self, *args: Any, **options: Any) -> None:
        push_server = handover.with_status(conf.push_server())
        try:
            daemon = Daemon(find_binary(), handover.daemon_settings(push_server))
        except DaemonError as error:
            raise CommandError(str(error)) from error
        with daemon:
            call_command("runserver", use_reloader=False)
