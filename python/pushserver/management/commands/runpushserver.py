"""``manage.py runpushserver``: the daemon with the settings of this project.

Starts the daemon, forwards signals to it and exits with it. With ``--allrequests`` the daemon
stands in front of the project's own ``runserver``, which this command starts too
(``pushserver.upstream``).
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.management.commands.runserver import naiveip_re

from pushserver import conf, handover, hosts, secrets
from pushserver.binary import find_binary
from pushserver.daemon import Daemon, DaemonError
from pushserver.upstream import Upstream

# By Django's --verbosity.
LOGGING = {0: ["-q"], 1: [], 2: ["--access-log"], 3: ["--access-log", "-v"]}

ENDING = (signal.SIGINT, signal.SIGTERM)

# Options of `runserver` that this command has, too; others go behind `--`.
RUNSERVER_FLAGS = {
    "noreload": "do not use the auto-reloader.",
    "nothreading": "do not use threading.",
    "nostatic": "do not serve static files at STATIC_URL.",
    "insecure": "serve static files even if DEBUG is False.",
}


class Command(BaseCommand):
    help = "Starts the push server."
    requires_system_checks = ("pushserver",)
    stealth_options = ("runserver_options",)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        epilog = "Arguments behind -- go to the runserver of --allrequests."
        return super().create_parser(prog_name, subcommand, epilog=epilog, **kwargs)

    def run_from_argv(self, argv: list[str]) -> None:
        # Not left to argparse, which may take the first word behind -- for the address.
        if "--" in argv:
            at = argv.index("--")
            argv, self.runserver_options = argv[:at], argv[at + 1 :]
        super().run_from_argv(argv)

    runserver_options: Sequence[str] = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "addrport", nargs="?", help="Optional port number, or ipaddr:port, or unix:/path"
        )
        parser.add_argument(
            "--ipv6", "-6", action="store_true", dest="use_ipv6", help="Use an IPv6 address."
        )
        parser.add_argument(
            "--allrequests",
            action="store_true",
            help="Serve the whole project: other requests go to a runserver behind it.",
        )
        parser.add_argument(
            "--forcehost", metavar="HOST", help="With --allrequests, redirect all requests here."
        )
        parser.add_argument(
            "--runserver-command",
            metavar="NAME",
            help="With --allrequests, run this command in place of runserver: runserver_plus.",
        )
        parser.add_argument(
            "--noinspector",
            action="store_true",
            help="Do without the inspector: the address that is shown opens it.",
        )
        for name, what in RUNSERVER_FLAGS.items():
            parser.add_argument(
                f"--{name}", action="store_true", help=f"With --allrequests, {what}"
            )

    def handle(self, *args: Any, **options: Any) -> None:
        command = self.runserver_command(options)
        if options["use_ipv6"] and not socket.has_ipv6:
            raise CommandError("Your Python does not support IPv6.")
        try:
            binary = find_binary()
            push_server = self.daemon_settings(options)
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        with ExitStack() as stack:
            arguments = LOGGING[options["verbosity"]]
            upstream = None
            if options["allrequests"]:
                upstream = stack.enter_context(Upstream(push_server, options, command))
                if options["forcehost"]:
                    push_server["forcehost"] = options["forcehost"]
            try:
                env = self.environment(options)
                daemon = stack.enter_context(Daemon(binary, push_server, arguments, env))
            except DaemonError as error:
                # A clean exit is an error here too: nothing is running.
                raise CommandError(_with_remedy(error), returncode=error.status or 1) from error
            except OSError as error:
                raise CommandError(f"{binary} cannot be run: {error.strerror}") from error
            shown = _shown(daemon.url, push_server)
            self.inspector = "" if options["noinspector"] else _inspector(daemon.url, push_server)
            with _passing_on_signals(daemon) as received:
                if upstream:
                    announce = partial(self.announce_start, binary, shown)
                    upstream.whenever_it_serves(announce)
                    upstream.when_it_ends(partial(_end, daemon, received))
                else:
                    self.announce(binary, shown)
                status = daemon.wait()
            if upstream and upstream.status() and not received:
                raise CommandError(f"Django's own server ended with status {upstream.status()}")
        if status:
            raise CommandError(f"the push server ended with status {status}", returncode=status)

    def daemon_settings(self, options: dict[str, Any]) -> dict[str, Any]:
        """``PUSH_SERVER``, with the command line's address and port over it."""
        push_server = conf.push_server()
        given = getattr(settings, "PUSH_SERVER", None) or {}
        if options["allrequests"] and not given.get("port"):
            push_server["port"] = conf.ALL_REQUESTS_PORT
        if options["use_ipv6"] and not given.get("address"):
            push_server["address"] = "::1"
        if options["addrport"]:
            address, port = _parse(options["addrport"], options["use_ipv6"])
            push_server["address"] = address or push_server["address"]
            push_server["port"] = push_server["port"] if port is None else port
        made = handover.with_status(push_server, inspector=not options["noinspector"])
        return handover.daemon_settings(made, options["use_ipv6"])

    def environment(self, options: dict[str, Any]) -> dict[str, str]:
        """The daemon colours its log for a terminal, unless told otherwise."""
        env = dict(os.environ)
        if options["no_color"]:
            env["NO_COLOR"] = "1"
        if options["force_color"]:
            env["CLICOLOR_FORCE"] = "1"
        return env

    def runserver_command(self, options: dict[str, Any]) -> list[str]:
        """What to run behind the daemon, and with which options of its own."""
        flags = [f"--{name}" for name in RUNSERVER_FLAGS if options[name]]
        behind = options.get("runserver_options") or self.runserver_options
        if not options["allrequests"]:
            name = options["runserver_command"]
            given = ["--forcehost"] if options["forcehost"] else []
            given += ["--runserver-command"] if name else []
            given += [*flags, *(["--"] if behind else [])]
            if given:
                raise CommandError(f"{given[0]} can be given only with --allrequests.")
        return [options["runserver_command"] or "runserver", *flags, *behind]

    def announce_start(self, binary: Path, url: str, changed: str) -> None:
        """Prints the daemon's address after each start of ``runserver``, which prints its own."""
        if changed:
            text = f"{changed} changed: stop and start runpushserver again."
            self.stdout.write(self.style.WARNING(text))
        if self.is_announced:
            self.stdout.write(f"Development push server is running at {url}")
            self.stdout.flush()
        else:
            self.announce(binary, url)
        self.is_announced = True

    is_announced = False

    inspector = ""

    def announce(self, binary: Path, url: str) -> None:
        version = subprocess.run([binary, "--version"], capture_output=True, text=True).stdout
        self.stdout.write(
            f"Django version {self.get_version()}, using settings {settings.SETTINGS_MODULE!r}\n"
            f"Push server version {version.split()[-1] if version else 'unknown'}\n"
            f"Development push server is running at {url}\n"
            f"{self.inspector}"
            "Quit the server with CONTROL-C."
        )
        self.stdout.flush()


def _shown(url: str, push_server: Mapping[str, Any]) -> str:
    """The URL as ``runserver`` shows it, and that of HTTPS where the daemon speaks both; a Unix
    socket's path without a slash at its end."""
    if url.startswith("unix:"):
        return url
    is_secure = any(hosts.is_secure_self(push_server, key) for key in hosts.HOSTS)
    if url.startswith("http:") and (push_server.get("certificate") or is_secure):
        return f"{url}/ and {url.replace('http', 'https', 1)}/"
    return f"{url}/"


def _inspector(url: str, push_server: Mapping[str, Any]) -> str:
    """The line with the inspector's address, ``""`` without one.

    The secret is in the fragment, which no browser sends; this line is the one place that shows it.
    """
    for place in push_server["locations"]:
        if place.get("inspector") and conf.is_status(place) and not url.startswith("unix:"):
            prefix = quote(str(place.get("prefix", "/")))
            secret = secrets.secret_of(place["secret"], "secret")
            return f"Inspector: {url}{prefix}#token={quote(secret, safe='')}\n"
    return ""


def _with_remedy(error: DaemonError) -> str:
    """The daemon's message, and how to set the address here."""
    if error.status != 1:
        return str(error)
    return (
        f"{error}. Where it listens: `manage.py runpushserver ADDRESS:PORT`, or "
        "PUSH_SERVER['address'] and ['port']"
    )


def _end(daemon: Daemon, received: Sequence[int]) -> None:
    # After Ctrl-C the daemon has got a signal; a second one would mean "at once".
    if not received:
        daemon.signal(signal.SIGTERM)


@contextmanager
def _passing_on_signals(daemon: Daemon) -> Iterator[list[int]]:
    """Forwards SIGINT and SIGTERM to the daemon. Yields the list of those received.

    A thread forwards them. A handler in Python runs only when the main thread goes on, and a signal
    that comes a moment before a read begins does not interrupt the read: it would be lost.
    """
    received: list[int] = []
    # Only the main thread may set handlers; without them the daemon still ends with its lifeline.
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    reading, writing = os.pipe()

    def pass_on() -> None:
        while number := os.read(reading, 1):
            if number[0] in ENDING:
                received.append(number[0])
                daemon.signal(number[0])

    # The thread last: a signal that still raises KeyboardInterrupt must not leave it waiting.
    os.set_blocking(writing, False)
    wakeup_before = signal.set_wakeup_fd(writing)
    before = [signal.signal(number, _do_nothing) for number in ENDING]
    thread = threading.Thread(target=pass_on)
    thread.start()
    try:
        yield received
    finally:
        signal.set_wakeup_fd(wakeup_before)
        os.close(writing)
        thread.join()
        os.close(reading)
        for number, handler in zip(ENDING, before, strict=True):
            signal.signal(number, handler)


def _do_nothing(number: int, frame: object) -> None:
    # A signal that has a handler in Python is written to the wakeup descriptor at once.
    pass


def _parse(addrport: str, use_ipv6: bool) -> tuple[str, int | None]:
    """Address and port of ``8001``, ``127.0.0.1:8001``, ``[::1]:8001``, or of ``unix:/path``."""
    if addrport.startswith("unix:"):
        return addrport, None
    match = re.match(naiveip_re, addrport)
    if match is None or not match["port"].isdigit() or int(match["port"]) > 65535:
        raise CommandError(f"{addrport!r} is not a valid port number or address:port pair.")
    address = match["addr"] or ""
    if address and use_ipv6 and not match["ipv6"] and not match["fqdn"]:
        raise CommandError(f"{address!r} is not a valid IPv6 address.")
    return address.strip("[]"), int(match["port"])
