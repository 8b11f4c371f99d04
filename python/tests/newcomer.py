"""What a new user does: the documentation's "First message" to the letter, the four steps to one,
and the example.

    python newcomer.py first_message|four_steps|example CHECKOUT PYTHON DIRECTORY

PYTHON is the interpreter of an environment with the package. Uses the ports 8000 and 8001, as new
users do: to be run in a network namespace of its own.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.browser.webdriver import Browser

EDIT = re.compile(r"<!-- append: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
PUSH = re.compile(r"^    python manage\.py push (\S+) '(.*)'$", re.MULTILINE)


def first_message(checkout: Path, python: str, directory: Path) -> None:
    """From nothing to an update in the browser."""
    text = section(checkout, "First message")
    edits = EDIT.findall(text)
    assert len(edits) == 3, "three edits"
    push = PUSH.search(text)
    assert push, "a line that pushes"

    subprocess.run([python, "-m", "django", "startproject", "mysite"], cwd=directory, check=True)
    project = directory / "mysite"
    append(project, dict(edits))

    manage = [python, "manage.py"]
    push_answer = [*manage, "push", *push.groups()]
    with Browser() as browser:
        with (
            running([*manage, "runserver"], project),
            running([*manage, "runpushserver"], project),
        ):
            page_gets(browser, push_answer, project)
        with running([*manage, "runpushserver", "--allrequests"], project):
            page_gets(browser, push_answer, project)
            # The template is read anew for each page.
            append(project, dict(EDIT.findall(section(checkout, "In pages"))))
            wait_for(lambda: opens(browser, "Room"))
            logged: list[str] = []
            wait_for(lambda: logged.extend(browser.log()) or any('"open"' in it for it in logged))
            said = ["push", "room-7", '{"type": "said", "text": "said to all"}']
            subprocess.run([*manage, *said], cwd=project, check=True)
            wait_for(
                lambda: logged.extend(browser.log()) or any('"said to all"' in it for it in logged)
            )
            browser.open("about:blank")


def section(checkout: Path, heading: str) -> str:
    """What docs/django.md has under this heading."""
    text = (checkout / "docs" / "django.md").read_text()
    _, _, text = text.partition(f"\n## {heading}\n")
    assert text, heading
    return text.partition("\n## ")[0]


# What any page of a project has, and a new project has none of.
PAGE = {
    "mysite/settings.py": 'INSTALLED_APPS += ["mysite"]',
    "mysite/urls.py": """
        from django.views.generic import TemplateView
        urlpatterns += [path("", TemplateView.as_view(template_name="room.html"))]
    """,
    "mysite/templates/room.html": "<title>Room</title> Said: <output></output>",
}
# The steps between `pip install` and `runpushserver`.
EDITS = {
    "mysite/settings.py": 'INSTALLED_APPS += ["pushserver"]',
    "mysite/templates/room.html": """
        {% load pushserver %}
        {% pushserver_script main="room-7" %}
        <script>
        document.addEventListener("pushserver", ({detail}) => {
          document.querySelector("output").value = `${detail.name}: ${detail.data.text}`;
        });
        </script>
    """,
}


def four_steps(checkout: Path, python: str, directory: Path) -> None:
    """From an installed package to an update in the browser; prints what it took, and how long."""
    subprocess.run([python, "-m", "django", "startproject", "mysite"], cwd=directory, check=True)
    project = directory / "mysite"
    append(project, PAGE)
    manage = [python, "manage.py"]
    push = [*manage, "push", "room-7", '{"text": "hello"}']
    with Browser() as browser:
        began = time.monotonic()
        append(project, EDITS)
        with running([*manage, "runpushserver", "--allrequests"], project):
            wait_for(lambda: opens(browser, "Room"))
            subprocess.run(push, cwd=project, check=True)
            said = "return document.querySelector('output').value"
            wait_for(lambda: browser.run(said) == "main: hello")
            took_s = time.monotonic() - began
            leave(browser)
    lines = sum(len(text.strip().splitlines()) for text in EDITS.values())
    print(json.dumps({"edits": len(EDITS), "lines": lines, "seconds": took_s}))


def append(project: Path, additions: dict[str, str]) -> None:
    for name, addition in additions.items():
        path = project / name
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as file:
            file.write("\n" + textwrap.dedent(addition) + "\n")


def page_gets(browser: Browser, push_answer: list[str], project: Path) -> None:
    wait_for(lambda: opens(browser, "Room"))
    answer = "return document.getElementById('answer').value"
    assert browser.run(answer) == "not known yet"
    wait_for(lambda: run(push_answer, project))
    wait_for(lambda: browser.run(answer) == "42")
    leave(browser)


def leave(browser: Browser) -> None:
    """The page had no complaints."""
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
    todo = {"first_message": first_message, "four_steps": four_steps, "example": example}
    todo[sys.argv[1]](Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
