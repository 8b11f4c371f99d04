"""``manage.py pushserver_settings``: the settings of ``runpushserver``, for a separate daemon."""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from pushserver import conf, handover
from pushserver.binary import find_binary
from pushserver.daemon import DaemonError, ask


class Command(BaseCommand):
    help = "Writes PUSH_SERVER as the JSON file that `pushserver --config` reads; with its secrets."
    requires_system_checks = ("pushserver",)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--output",
            metavar="FILE",
            help="write to this file instead of to standard output: all at once, readable by "
            "its owner only. An existing file keeps its owner, its group and their permissions",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            binary = find_binary()
            push_server = handover.daemon_settings(conf.push_server())
            ask(binary, push_server, "--check-config")
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        except DaemonError as error:
            raise CommandError(str(error), returncode=error.status) from error
        text = json.dumps(push_server, cls=DjangoJSONEncoder, indent=2) + "\n"
        if options["output"] in (None, "-"):
            self.stdout.write(text, ending="")
            self.warn_of_readers()
            return
        try:
            _replace(Path(options["output"]), text)
        except OSError as error:
            raise CommandError(f"{options['output']}: {error.strerror}") from error

    def warn_of_readers(self) -> None:
        with suppress(OSError, ValueError):  # no file, or none of the system's
            mode = os.fstat(sys.stdout.fileno()).st_mode
            if stat.S_ISREG(mode) and mode & 0o004:
                self.stderr.write(
                    "Everybody on this machine can read that file, and the secrets in it: use "
                    "--output FILE, or set `umask 077` before."
                )


def _replace(path: Path, text: str) -> None:
    """Replaces the file at once: the daemon may read it at any moment."""
    was = None
    with suppress(FileNotFoundError):
        was = path.stat()
    if was and not stat.S_ISREG(was.st_mode):
        # /dev/null would be replaced, too.
        raise CommandError(
            f"{path} is no regular file: leave out --output, and redirect the output"
        )
    path = path.resolve()
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if was:
                os.fchown(descriptor, was.st_uid, was.st_gid)
                os.fchmod(descriptor, was.st_mode & 0o770)
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise
