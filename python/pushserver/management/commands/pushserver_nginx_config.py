"""``manage.py pushserver_nginx_config``: the settings of ``runpushserver``, for nginx and Nchan."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from pushserver import conf, handover
from pushserver.binary import find_binary
from pushserver.daemon import DaemonError, ask


class Command(BaseCommand):
    help = "Prints an nginx configuration (with Nchan) that behaves as PUSH_SERVER says."
    requires_system_checks = ("pushserver",)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--listen",
            action="append",
            default=[],
            metavar="ADDRESS:PORT",
            help="where nginx listens, instead of PUSH_SERVER's address and port; repeatable",
        )

        parser.add_argument(
            "--allrequests",
            metavar="URL",
            help="where Django runs, for all other requests: http://host:port or unix:/path",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            binary = find_binary()
            push_server = handover.with_keys(conf.push_server())
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        arguments = [f"--listen={address}" for address in options["listen"]]
        if options["allrequests"]:
            arguments.append(f"--allrequests={options['allrequests']}")
        try:
            printed = ask(binary, push_server, "--nginx-config", *arguments)
        except DaemonError as error:
            raise CommandError(str(error), returncode=error.status) from error
        self.stdout.write(printed, ending="")
