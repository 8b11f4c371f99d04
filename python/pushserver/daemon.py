"""A running daemon: a child process that cannot outlive this one.

It gets its settings on standard input, which stays open as its lifeline: however this process ends,
the pipe closes and the daemon stops.

Only this module translates the daemon's messages about settings into terms of ``PUSH_SERVER``.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from django.core.serializers.json import DjangoJSONEncoder

from pushserver.child import Child

READY = "listening on "
STDIN = "standard input: "


class DaemonError(Exception):
    """The daemon did not start. With status 1 it has written the reason to standard error."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def ask(binary: Path, settings: Mapping[str, Any], *arguments: str) -> str:
    """The output of the binary for these settings.

    Raises ``DaemonError`` with the reason if it refuses them.
    """
    asked = subprocess.run(
        [str(binary), "-q", "--config", "-", *arguments],
        input=_written(settings),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if asked.returncode:
        raise DaemonError(_in_our_terms(asked.stderr), asked.returncode)
    return asked.stdout


def _in_our_terms(said: str) -> str:
    """The daemon's message about settings, which to it are those of standard input."""
    text = said.strip().removeprefix("pushserver: ")
    if text.startswith(STDIN):
        text = "PUSH_SERVER: " + text.removeprefix(STDIN).removeprefix("--nginx-config: ")
    return text or "the push server gave no reason"


def _written(settings: Mapping[str, Any]) -> str:
    try:
        return json.dumps(settings, cls=DjangoJSONEncoder, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DaemonError(f"PUSH_SERVER cannot be written as JSON: {error}", 2) from error


class Daemon(Child):
    """One daemon, which accepts connections at ``url`` when the constructor returns.

    Raises ``DaemonError`` if it does not within ``timeout_s``.
    """

    def __init__(
        self,
        binary: Path,
        settings: Mapping[str, Any],
        arguments: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        stderr: int | IO[Any] | None = None,
        timeout_s: float = 30,
    ) -> None:
        # Checked first: the daemon's own message would name its options, not PUSH_SERVER.
        ask(binary, settings, "--check-config")
        self.process: subprocess.Popen[str] = subprocess.Popen(
            [str(binary), "--config", "-", "--exit-on-stdin-eof", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=env,
            encoding="utf-8",
            # A terminal sends Ctrl-C to this process alone, which passes it on once: a second
            # signal means "at once" to the daemon.
            start_new_session=True,
        )
        try:
            self._configure(settings)
            self.url = self._wait_until_ready(timeout_s)
        except BaseException:
            self.stop()
            raise

    def wait(self) -> int:
        """Waits until the daemon ends, and returns its exit status."""
        assert self.process.stdout is not None, "it is a pipe"
        for _ in self.process.stdout:
            pass  # so that it never blocks on a full pipe
        return self.process.wait()

    def signal(self, number: int) -> None:
        """Passes a signal on."""
        self.process.send_signal(number)

    def stop(self, timeout_s: float = 10) -> None:
        """Terminates the daemon, and kills it if it does not end in time."""
        super().stop(timeout_s)
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):  # settings that the daemon did not read
                assert pipe is not None, "both are pipes"
                pipe.close()

    def _configure(self, settings: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None, "it is a pipe"
        try:
            self.process.stdin.write(_written(settings) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, which waiting for it reports

    def _wait_until_ready(self, timeout_s: float) -> str:
        assert self.process.stdout is not None, "it is a pipe"
        # Not every system can read a pipe with a timeout, but the process at its other end can be
        # killed.
        deadline = threading.Timer(timeout_s, self.process.kill)
        deadline.start()
        try:
            for line in self.process.stdout:
                if line.startswith(READY):
                    return line.removeprefix(READY).strip()
        finally:
            deadline.cancel()
        status = self.process.wait()
        raise DaemonError(f"the push server did not start (exit status {status})", status)
