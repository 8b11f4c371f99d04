"""What all checks of packages share: commands, deadlines, HTTP, and the count of what held."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()
PLACE = TARGET / "packages"
# Debian's name of an architecture, and ours.
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
DEADLINE_S = 30


class Counts:
    passed = 0
    failed = 0


def check(what: str, holds: object, otherwise: object = "") -> None:
    """Counts a check, and says what there was otherwise."""
    if holds:
        Counts.passed += 1
        print(f"ok      {what}", flush=True)
    else:
        Counts.failed += 1
        print(f"FAILED  {what}: {otherwise}", flush=True)


def run(*command: str | Path, fails: bool = False, **rest) -> str:
    """What a command prints, on both outputs. One that fails is an error, unless it may."""
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **rest,
    )
    if done.returncode and not fails:
        line = " ".join(map(str, command))
        raise SystemExit(f"{line}: exit code {done.returncode}:\n{done.stdout}")
    return done.stdout


def until(condition, what: str):
    """What `condition` gives, once it gives something."""
    end = time.monotonic() + DEADLINE_S
    while True:
        if found := condition():
            return found
        if time.monotonic() > end:
            raise SystemExit(f"not within {DEADLINE_S} s: {what}")
        time.sleep(0.05)


def children(process: subprocess.Popen) -> list[int]:
    """The processes that one that runs has started."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(child) for child in listed.split()]


def first_process(process: subprocess.Popen, name: str) -> int:
    """What `unshare --pid --fork` made process 1 of its namespace, once it runs this program."""

    def found() -> int | None:
        if process.poll() is not None:
            raise SystemExit(f"{name}: exit code {process.returncode}")
        for child in children(process):
            comm = Path(f"/proc/{child}/comm")
            if comm.exists() and comm.read_text().strip() == name:
                return child
        return None

    return until(found, f"{name} runs")


class Client:
    """Asks a daemon in the network of another process, by curl."""

    def __init__(self, pid: int, base: str) -> None:
        self.begin = ["nsenter", f"--net=/proc/{pid}/ns/net", "curl", "-sS", "--max-time", "20"]
        self.base = base

    def ask(self, path: str, *options: str) -> tuple[int, str]:
        """The status, 0 without an answer, and the body."""
        command = [*self.begin, "-w", "\n%{http_code}", *options, self.base + path]
        body, _, status = run(*command, fails=True).rpartition("\n")
        return (int(status), body) if status.isdigit() else (0, status)

    def wait_for(self, path: str, *options: str) -> subprocess.Popen:
        """A subscriber that waits."""
        command = [*self.begin, *options, self.base + path]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def subscribers(self, channel: str, *options: str) -> int:
        """How many wait on a channel, as its publisher is told."""
        status, body = self.ask(f"/publisher/{channel}", "-H", "Accept: application/json", *options)
        if status != 200:
            return 0
        return json.loads(body)["subscribers"]

    def passes_a_message(self, channel: str, subscriber: str, *options: str) -> str:
        """Publishes for a subscriber that waits; what that one got."""
        self.ask(f"/publisher/{channel}", "-X", "PUT", *options)
        waiting = self.wait_for(f"{subscriber}{channel}")
        until(lambda: self.subscribers(channel, *options), "a subscriber that waits")
        self.ask(f"/publisher/{channel}", "-d", "hello", *options)
        return waiting.communicate(timeout=DEADLINE_S)[0]
