"""Does what a document says: every command and every edit, in its order, as they stand there.

    python walk.py PAGE DIRECTORY [--as-written]

PAGE is README.md or docs/django.md. DIRECTORY is empty: a virtual environment goes there, and
whatever the page makes "anywhere else". Commands are blocks that are indented or marked `sh`; a
block marked `text` is what they print; all other blocks say in a comment before them what becomes
of them (`MARKS`). A block or a command with which nothing is done is an error.

The commands run in a network and a process table of their own, as a new user's do on a new machine:
they use the ports 8000 and 8001. What is downloaded is downloaded before.

By default `cargo` leaves out `--release`, and long commands are left to `tests/nightly documents`,
which has `--as-written`: a release build takes minutes, and says no more of whether a command
works.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).resolve().parents[2]

# What needs the network of this machine, and listens nowhere.
FETCHES = ["pip install ."]


class RunsOn(NamedTuple):
    """A command that runs until Ctrl-C."""

    ready: str  # what it says when it is there
    port: int | None  # where it listens: whoever listened there before is ended, by Ctrl-C


RUNS_ON = {
    "cargo run --release": RunsOn("listening on http://127.0.0.1:8001", 8001),
    "cargo run --release -- --config config.example.json": RunsOn("listening on ", 8001),
    "cargo run --release -- --allrequests http://127.0.0.1:8002": RunsOn("listening on ", 8000),
    "curl -N -H 'Accept: text/event-stream' http://127.0.0.1:8001/subscriber/news": RunsOn(
        "data: Hello!", None
    ),
    "python manage.py runpushserver --allrequests": RunsOn("is running at http://", 8000),
    "python manage.py listen room-7": RunsOn("listening to room-7", None),
    "python python/example/manage.py demo": RunsOn("server at http://127.0.0.1:8000/", 8000),
}

# Commands that are not run here, and why.
ELSEWHERE = {
    "tests/run": "it is what runs this",
    "benches/readme.sh": "it writes this page anew: `tests/nightly documents` has it write copies",
}
# Those that only `--as-written` runs: minutes on a machine with nothing else to do.
LONG = {
    "benches/small.sh": "it makes three release builds, and measures them",
}

# Seconds for what a command has still to say.
PATIENCE = 60

MARKS = {
    "append": "appended to this file of the project",
    "in": "where the commands that follow are run: `checkout` or `elsewhere`",
    "shell": "given to `manage.py shell`",
}
FENCE = re.compile(r"^ {0,3}```(\w*)$")
MARK = re.compile(r"^<!-- (\w+)(?:: (\S+))? -->$")
HEADING = re.compile(r"^#+ (.*)$")


@dataclass
class Step:
    """`kind`: command, output, heading, or a mark."""

    kind: str
    text: str
    where: str = ""


def steps(page: str) -> list[Step]:
    """What a page says, in its order.

    Raises an AssertionError where it has a block that would not be run.
    """
    found: list[Step] = []
    mark: tuple[str, str] | None = None
    lines = iter(page.splitlines())
    before = ""
    for line in lines:
        if heading := HEADING.match(line):
            found.append(Step("heading", heading[1]))
        elif said := MARK.match(line):
            kind, where = said[1], said[2] or ""
            assert kind in MARKS, f"{line}: none of {', '.join(MARKS)}"
            if kind == "in":
                found.append(Step("in", where))
            else:
                mark = kind, where
        elif fence := FENCE.match(line):
            block = []
            while (inside := next(lines)) != "```":
                block.append(inside)
            found += fenced(fence[1], "\n".join(block), mark)
            mark = None
        elif line.startswith("    ") and (not before or before.startswith("    ")):
            found.append(Step("command", line.strip()))
        before = line
    return joined(found)


def fenced(language: str, block: str, mark: tuple[str, str] | None) -> list[Step]:
    if mark:
        kind, where = mark
        return [Step(kind, block, where)]
    if language == "text":
        return [Step("output", block)]
    assert language == "sh", f"nothing is done with this block ({language}):\n{block}"
    return [Step("command", line) for line in block.splitlines()]


def joined(found: list[Step]) -> list[Step]:
    """A command may go on in the next line, behind a backslash."""
    whole: list[Step] = []
    for step in found:
        if whole and whole[-1].kind == step.kind == "command" and whole[-1].text.endswith("\\"):
            whole[-1].text = whole[-1].text[:-1] + step.text
        else:
            whole.append(step)
    return whole


def bare(command: str) -> str:
    """Without a comment."""
    return re.sub(r"\s+# .*$", "", command)


class Running:
    """A command that was started; what it says goes to a file."""

    def __init__(self, command: str, directory: Path, log: Path, environment: dict[str, str]):
        self.command = command
        self._log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                ["bash", "-c", command],
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def until_it_says(self, text: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.said():
            assert self.process.poll() is None, f"`{self.command}` ended:\n{self.said()}"
            assert time.monotonic() < deadline, (
                f"`{self.command}` never says {text!r}:\n{self.said()}"
            )
            time.sleep(0.1)

    def ctrl_c(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise AssertionError(f"`{self.command}` does not end by Ctrl-C") from None


class Walk:
    """One walk through a page."""

    def __init__(self, page: Path, directory: Path, as_written: bool) -> None:
        self.page = page
        self.directory = directory
        self.as_written = as_written
        self.steps = steps(page.read_text())
        self.place = CHECKOUT
        self.running: list[tuple[Running, int | None]] = []
        self.section: list[Running] = []
        programs = directory / "programs"
        self.environment = {
            **{
                name: os.environ[name]
                for name in ("HOME", "CARGO_HOME", "RUSTUP_HOME", "CARGO_TARGET_DIR", "LANG")
                if name in os.environ
            },
            "PATH": f"{programs}:{directory / 'venv' / 'bin'}:{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        if not as_written:
            self.environment["MATURIN_PEP517_ARGS"] = "--profile dev"

    def prepare(self) -> None:
        """Makes the environment, and downloads what is downloaded."""
        venv.create(self.directory / "venv", with_pip=True)
        programs = self.directory / "programs"
        programs.mkdir()
        if not self.as_written:
            cargo = programs / "cargo"
            cargo.write_text(CARGO.format(real=shutil.which("cargo")))
            cargo.chmod(0o700)
        for step in self.steps:
            if step.kind == "command" and bare(step.text) in FETCHES:
                self.run(bare(step.text), 1800)

    def walk(self) -> None:
        try:
            for step in self.steps:
                print(f"{step.kind}: {step.text.splitlines()[0]}", flush=True)
                getattr(self, f"do_{step.kind}")(step)
        finally:
            self.end_all()

    def do_heading(self, step: Step) -> None:
        self.section = []
        # What a section of the README starts, ends with it.
        if self.page.name == "README.md":
            self.end_all()

    def do_in(self, step: Step) -> None:
        self.place = {"checkout": CHECKOUT, "elsewhere": self.directory}[step.text]

    def do_append(self, step: Step) -> None:
        path = self.place / step.where
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(f"\n{step.text}\n")

    def do_shell(self, step: Step) -> None:
        arguments = ["python", "manage.py", "shell", "-c", step.text]
        done = subprocess.run(
            arguments, cwd=self.place, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{step.text}\n{done.stdout}{done.stderr}"

    def do_command(self, step: Step) -> None:
        command = bare(step.text)
        if command in FETCHES or command in ELSEWHERE:
            return
        if command in LONG and not self.as_written:
            return
        if command.startswith("cd "):
            self.place /= command.removeprefix("cd ")
            assert self.place.is_dir(), f"`{command}`: {self.place} is no directory"
        elif command in RUNS_ON:
            ready, port = RUNS_ON[command]
            self.end_those_at(port)
            started = self.start(command)
            self.running.append((started, port))
            started.until_it_says(ready, 1800 if "cargo" in command else 120)
        else:
            self.run(command, 3600 if command in LONG else 900)

    def do_output(self, step: Step) -> None:
        """That one of the section's commands has said this: numbers may be others."""
        pattern = r"\d+".join(map(re.escape, re.split(r"\d+", step.text)))
        pattern = re.sub(r"(\\\n)+", r"\\s+", pattern.replace("…", ".*"))
        deadline = time.monotonic() + PATIENCE
        ran = [*self.section, *(running for running, _ in self.running)]
        while not any(re.search(pattern, one.said()) for one in ran):
            said = "\n".join(f"$ {one.command}\n{one.said()}" for one in ran)
            assert time.monotonic() < deadline, f"nothing says\n{step.text}\nbut:\n{said}"
            time.sleep(0.1)

    def run(self, command: str, seconds: float) -> None:
        started = self.start(command)
        try:
            status = started.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(started.process.pid, signal.SIGKILL)
            raise AssertionError(f"`{command}` does not end:\n{started.said()}") from None
        assert status == 0, f"`{command}`: status {status}\n{started.said()}"

    def start(self, command: str) -> Running:
        number = len(list(self.directory.glob("*.log")))
        log = self.directory / f"{number}.log"
        started = Running(command, self.place, log, self.environment)
        self.section.append(started)
        return started

    def end_those_at(self, port: int | None) -> None:
        for running, its_port in [*self.running]:
            if port is not None and its_port == port:
                self.running.remove((running, its_port))
                running.ctrl_c()

    def end_all(self) -> None:
        while self.running:
            running, _ = self.running.pop()
            running.ctrl_c()


CARGO = """#!/bin/sh
# cargo, in the profile that the other tests have built already.
for argument; do
    shift
    [ "$argument" = --release ] || set -- "$@" "$argument"
done
exec {real} "$@"
"""


def own_machine() -> list[str]:
    """A prefix for commands that need ports and processes to themselves."""
    alone = ["--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
    for prefix in (["unshare", *alone], ["unshare", "--map-root-user", *alone]):
        if subprocess.run([*prefix, "true"], capture_output=True).returncode == 0:
            return [*prefix, "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    return []


def main(arguments: list[str]) -> int:
    flags = [argument for argument in arguments if argument.startswith("--")]
    page, directory = (Path(argument) for argument in arguments if argument not in flags)
    walk = Walk(CHECKOUT / page, directory.resolve(), "--as-written" in flags)
    if "--prepared" in flags:
        walk.walk()
        return 0
    walk.prepare()
    again = [sys.executable, __file__, *arguments, "--prepared"]
    return subprocess.run([*own_machine(), *again]).returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except AssertionError as error:
        sys.exit(str(error))
