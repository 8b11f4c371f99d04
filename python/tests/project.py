"""``runpushserver --allrequests`` with a whole project behind it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conftest import wait_until
from tests.ports import own_port

PYTHON = Path(__file__).parents[1]


class Project:
    """A context manager: the project is served at ``url`` once it is entered.

    What the project keeps is in ``directory``, and modules there can be imported.
    """

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        address: str = "127.0.0.1",
        elsewhere: str = "127.0.0.1:9",
        **environment: str,
    ) -> None:
        port = str(own_port())
        self.url = f"http://127.0.0.1:{port}"
        self.shown = f"is running at http://{address}:{port}/"
        self._log = directory / "log"
        self._arguments = ("runpushserver", f"{address}:{port}", "--allrequests", *arguments)
        self._mark = f"TEST_DIRECTORY={directory}\0".encode()
        self._environment = {
            "PYTHONPATH": str(directory),
            "TEST_PORT": port,
            "TEST_ELSEWHERE": elsewhere,
            "TEST_DIRECTORY": str(directory),
            "DJANGO_SETTINGS_MODULE": "tests.allrequests_settings",
            # What its parts say stands in the log in that order.
            "PYTHONUNBUFFERED": "1",
            **environment,
        }

    def manage(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Starts a command of the project."""
        return subprocess.Popen(
            [sys.executable, "-m", "django", *arguments],
            cwd=PYTHON,
            env=os.environ | self._environment,
            stdin=subprocess.DEVNULL,
            **options,
        )

    def launch(self) -> None:
        """Starts it all, and does not wait."""
        with self._log.open("wb") as log:
            self.process = self.manage(*self._arguments, stdout=log, stderr=log)

    def log(self) -> str:
        """What all its parts have said."""
        return self._log.read_text()

    def processes(self) -> list[int]:
        """All that are left of it."""
        environments = Path("/proc").glob("*/environ")
        return [int(path.parent.name) for path in environments if self._mark in _read(path)]

    def is_served(self) -> bool:
        assert self.process.poll() is None, self.log()
        return self.shown in self.log()

    def __enter__(self) -> Project:
        self.launch()
        try:
            wait_until(self.is_served, seconds=60)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: Any) -> None:
        self.process.terminate()
        self.process.wait(30)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # another user's, or gone
