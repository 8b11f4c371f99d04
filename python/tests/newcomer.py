"""What a new user does: the documentation's "First message" to the letter, and the example.

    python newcomer.py first_message|example CHECKOUT PYTHON DIRECTORY

PYTHON is the interpreter of an environment with the package. Uses the ports 8000 and 8001, as new
users do: to be run in a network namespace of its own.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.browser.webdriver import Browser

EDIT = re.compile(r"<!-- append: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
STEP = re.compile(r"^\*\*Step \d+\.\*\*", re.MULTILINE)
PUSH = re.compile(r"^    python manage\.py push (\S+) '(.*)'$", re.MULTILINE)


def first_message(checkout: Path, python: str, directory: Path) -> None:
    """From an installed package to an update in the browser; prints what that took, as JSON."""
    text = section(checkout, "First message")
    edits = EDIT.findall(text)
    assert len(edits) == 3, "three edits"
    push = PUSH.search(text)
    assert push, "a line that pushes"

    subprocess.run([python, "-m", "django", "startproject", "mysite"], cwd=directory, check=True)
    project = directory / "mysite"
    manage = [python, "manage.py"]
    push_answer = [*manage, "push", *push.groups()]
    with Browser() as browser:
        began = time.monotonic()
        append(project, edits)
        with running([*manage, "runpushserver", "--allrequests"], project):
            page_gets(browser, push_answer, project)
        took_s = time.monotonic() - began
        with (
            running([*manage, "runserver"], project),
            running([*manage, "runpushserver"], project),
        ):
            page_gets(browser, push_answer, project)
            append(project, EDIT.findall(section(checkout, "In pages")))
            # `runserver` notices within a second that a template has changed.
            has_both = "return document.querySelectorAll('script[type=module]').length === 2"
            wait_for(lambda: opens(browser, "Room") and browser.run(has_both))
            logged: list[str] = []
            wait_for(lambda: logged.extend(browser.log()) or any('"open"' in it for it in logged))
            said = ["push", "room-7", '{"type": "said", "text": "said to all"}']
            subprocess.run([*manage, *said], cwd=project, check=True)
            wait_for(
                lambda: logged.extend(browser.log()) or any('"said to all"' in it for it in logged)
            )
            browser.open("about:blank")
    steps = len(STEP.findall(text))
    lines = sum(len(addition.splitlines()) for _, addition in edits)
    print(json.dumps({"steps": steps, "edits": len(edits), "lines": lines, "seconds": took_s}))


def section(checkout: Path, heading: str) -> str:
    """What docs/django.md has under this heading."""
    text = (checkout / "docs" / "django.md").read_text()
    _, _, text = text.partition(f"\n## {heading}\n")
    assert text, heading
    return text.partition("\n## ")[0]


def append(project: Path, edits: list[tuple[str, str]]) -> None:
    for name, addition in edits:
        path = project / name
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as file:
            file.write("\n" + addition)


def page_gets(browser: Browser, push_answer: list[str], project: Path) -> None:
    wait_for(lambda: opens(browser, "Room"))
    answer = "return document.getElementById('answer').value"
    assert browser.run(answer) == "not known yet"
    wait_for(lambda: run(push_answer, project))
    wait_for(lambda: browser.run(answer) == "42")
    complaints = [line for line in browser.log() if "favicon.ico" not in line]
    browser.open("about:blank")  # it would complain of the end of the servers
    assert not complaints, complaints


def example(checkout: Path, python: str, directory: Path) -> None:
    """The page sees what is said, who is online, itself among them, and another tab's new name."""
    manage = [python, checkout / "python" / "example" / "manage.py"]
    with running([*manage, "demo"], directory), Browser() as browser:
        wait_for(lambda: opens(browser, "Room"))
        names = "return [...document.querySelectorAll('#online li')].map((item) => item.innerText)"
        name = browser.run("return document.querySelector('[name=name]').value")
        wait_for(lambda: browser.run(names) == [name])
        browser.run(
            """
            document.querySelector("[name=text]").value = "hello";
            document.querySelector("#say button").click();
            """
        )
        wait_for(
            lambda: (
                browser.run("return document.getElementById('said').innerText") == f"{name}: hello"
            )
        )
        (first,) = browser.windows()
        browser.open_tab("http://127.0.0.1:8000/")
        browser.run(
            """
            document.querySelector("[name=name]").value = "Ana";
            document.querySelector("form button").click();
            """
        )
        browser.switch(first)
        renamed = "return document.querySelector('[name=name]').value"
        wait_for(lambda: browser.run(renamed) == "Ana")
        # Both tabs are one visitor, and who had the old name is gone when it has not come back.
        wait_for(lambda: browser.run(names) == ["Ana"])
        assert browser.log() == []


@contextlib.contextmanager
def running(command: list[str | Path], directory: Path) -> Iterator[None]:
    with subprocess.Popen(command, cwd=directory) as process:
        try:
            yield
        finally:
            process.terminate()


def opens(browser: Browser, title: str) -> bool:
    # What an earlier try has met, while the servers started, is no complaint of the page.
    browser.open("about:blank")
    browser.log()
    with contextlib.suppress(AssertionError):
        browser.open("http://127.0.0.1:8000/")
        return browser.run("return document.title") == title
    return False


def run(command: list[str], directory: Path) -> bool:
    return subprocess.run(command, cwd=directory).returncode == 0


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)


if __name__ == "__main__":
    todo = {"first_message": first_message, "example": example}[sys.argv[1]]
    todo(Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
