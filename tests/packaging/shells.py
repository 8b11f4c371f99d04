"""The manual page and the completions, as installed: by the programs that read them."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import time
from pathlib import Path

from checks import PLACE, ROOT, check, run

FILES = ROOT / "docs/package"
# A command line, and what completes its last word.
LINES = {
    "pushserver --print-": ["--print-config", "--print-schema"],
    "pushserver b": ["bench"],
    "pushserver --check-config --config set": ["settings.json"],
    "pushserver --pid-file=set": ["settings.json"],
    "pushserver bench cy": ["cycle"],
    "pushserver bench --compare-p": ["--compare-pid", "--compare-publish"],
    "pushserver bench --transport web": ["websocket"],
    "pushserver bench --repoll=a": ["after-all", "at-once"],
}


def check_shells(binary: Path) -> None:
    said = run("mandoc", "-T", "lint", "-W", "style", FILES / "pushserver.1", fails=True)
    # Whether other pages are installed is not this one's affair.
    said = "\n".join(line for line in said.splitlines() if "mandoc.db" not in line)
    check("mandoc has nothing to say of the page", not said, said)
    wide = os.environ | {"MANWIDTH": "100", "LC_ALL": "C.UTF-8"}
    page = run("man", "--warnings", "-l", FILES / "pushserver.1", env=wide)
    page = re.sub(r".\x08", "", page)
    check("groff has no warnings", "warning:" not in page, page)
    options = set(re.findall(r"(?m)^ +(?:-\w, )?(--[a-z0-9-]+)", run(binary, "--help")))
    missing = [option for option in options if not re.search(rf"{option}\b", page)]
    check(f"man shows all {len(options)} options", len(options) > 15 and not missing, missing)

    place = PLACE / "shells"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "settings.json").write_text("{}")
    run("zsh", "-n", FILES / "_pushserver")
    for shell, completes in [("bash", bash), ("fish", fish), ("zsh", zsh)]:
        for line, expected in LINES.items():
            found = completes(line, place, expected)
            check(f"{shell} completes {line!r}", found == expected, found)
    shutil.rmtree(place)


def bash(line: str, place: Path, expected: list[str]) -> list[str]:
    """By way of bash-completion, which finds the file by the command's name."""
    folder = place / "data/bash-completion/completions"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(FILES / "pushserver.bash", folder / "pushserver")
    # Readline splits at = as at spaces.
    words = [word for word in re.split(r" |(=)", line) if word]
    script = """
        source /usr/share/bash-completion/bash_completion
        _completion_loader pushserver
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _pushserver pushserver "${@: -1}" 2>/dev/null
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    environment = os.environ | {"XDG_DATA_HOME": str(place / "data")}
    command = ["bash", "--norc", "-c", script, "bash", *words]
    return sorted(run(*command, cwd=place, env=environment).split())


def fish(line: str, place: Path, expected: list[str]) -> list[str]:
    script = f"source {FILES}/pushserver.fish; complete -C '{line}'"
    environment = os.environ | {"HOME": str(place)}
    said = run("fish", "--no-config", "-c", script, cwd=place, env=environment)
    # Each line is a word and what it means; of --name=value the whole is offered.
    words = [word.split("\t")[0] for word in said.splitlines()]
    return sorted(word.rpartition("=")[2] for word in words)


def zsh(line: str, place: Path, expected: list[str]) -> list[str]:
    """At a terminal, as zsh completes nowhere else. What of the expected words is shown."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(place)
        os.environ.update(TERM="vt100", PS1="> ", ZDOTDIR=str(place), COLUMNS="200")
        os.execvp("zsh", ["zsh", "-f", "-i"])
    shown = ""

    def until_shown(condition) -> None:
        nonlocal shown
        end = time.monotonic() + 20
        while not condition(shown) and time.monotonic() < end:
            if select.select([terminal], [], [], 0.1)[0]:
                shown += os.read(terminal, 65536).decode(errors="replace")

    load = f"fpath=({FILES} $fpath); autoload -Uz compinit; compinit -u -D; echo loa''ded\n"
    os.write(terminal, load.encode())
    until_shown(lambda text: "loaded" in text)
    shown = ""
    # The second one lists what the first one leaves open.
    os.write(terminal, f"{line}\t\t".encode())
    until_shown(lambda text: all(word in text for word in expected))
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    os.close(terminal)
    return [word for word in expected if word in shown]
