"""A child process that does not outlive the block it is for."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self  # Python 3.11


class Child:
    """A context manager: ``process`` is stopped at its end."""

    process: subprocess.Popen[Any]

    def stop(self, timeout_s: float = 10) -> None:
        """Terminates the process, and kills it if it does not end in time."""
        self.process.terminate()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
