"""The documentation's "First message", done to the letter by a new user with an installed package.

    python first_message.py DOCUMENTATION PYTHON DIRECTORY

PYTHON is the interpreter of an environment with the package. Uses the ports 8000 and 8001, as new
users do: to be run in a network namespace of its own.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.browser.webdriver import Browser

EDIT = re.compile(r"<!-- append: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
PUSH = re.compile(r"^    python manage\.py push (\S+) '(.*)'$", re.MULTILINE)


def main(documentation: Path, python: str, directory: Path) -> None:
    text = documentation.read_text()
    edits = EDIT.findall(text)
    assert len(edits) == 3, "three edits"
    push = PUSH.search(text)
    assert push, "a line that pushes"

    subprocess.run([python, "-m", "django", "startproject", "mysite"], cwd=directory, check=True)
    project = directory / "mysite"
    for name, addition in edits:
        path = project / name
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as file:
            file.write("\n" + addition)

    manage = [python, "manage.py"]
    with contextlib.ExitStack() as stack:
        for command in ("runserver", "runpushserver"):
            process = stack.enter_context(subprocess.Popen([*manage, command], cwd=project))
            stack.callback(process.terminate)
        browser = stack.enter_context(Browser())
        wait_for(lambda: opens(browser, "http://127.0.0.1:8000/"))
        answer = "return document.getElementById('answer').value"
        assert browser.run(answer) == "not known yet"
        wait_for(lambda: run([*manage, "push", push[1], push[2]], project))
        wait_for(lambda: browser.run(answer) == "42")
        complaints = [line for line in browser.log() if "favicon.ico" not in line]
        assert not complaints, complaints
    print("the first message arrived")


def opens(browser: Browser, url: str) -> bool:
    with contextlib.suppress(AssertionError):
        browser.open(url)
        return browser.run("return document.title") == "Answer"
    return False


def run(command: list[str], directory: Path) -> bool:
    return subprocess.run(command, cwd=directory).returncode == 0


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
