"""README.md and docs/django.md: every command in them is run, and every setting has its row."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from pushserver.schema import SCHEMA
from tests import walk
from tests.test_nchan_page import keys

PAGES = ["README.md", "docs/django.md"]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_works(page, tmp_path):
    command = [sys.executable, walk.__file__, page, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_said_of_commands_is_about_some():
    said = {*walk.FETCHES, *walk.RUNS_ON, *walk.ELSEWHERE, *walk.LONG}
    found = [step for page in PAGES for step in walk.steps((walk.CHECKOUT / page).read_text())]
    assert said <= {walk.bare(step.text) for step in found if step.kind == "command"}


PAGE = """\
# One

    first   # of all
    second \\
        more

- a list

```text
said
```

<!-- append: a/b.py -->
```python
third
```
"""


def test_all_of_a_page_is_found():
    found = [(step.kind, walk.bare(step.text), step.where) for step in walk.steps(PAGE)]
    assert found == [
        ("heading", "One", ""),
        ("command", "first", ""),
        ("command", "second more", ""),
        ("output", "said", ""),
        ("append", "third", "a/b.py"),
    ]


@pytest.mark.parametrize("block", ["```python\nnobody\n```", "<!-- apend: a -->\n```sh\na\n```"])
def test_a_block_that_nobody_runs_is_an_error(block):
    with pytest.raises(AssertionError):
        walk.steps(block)


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("    true\n    false", "`false`: status 1"),
        ("    echo 12 a\n\n```text\n7 b\n```", "nothing says\n7 b"),
        ("    cd nowhere", "nowhere is no directory"),
    ],
)
def test_what_does_not_work_is_said(page, complaint, tmp_path, monkeypatch):
    (tmp_path / "page.md").write_text(page)
    monkeypatch.setattr(walk, "PATIENCE", 1)
    with pytest.raises(AssertionError, match=re.escape(complaint)):
        walk.Walk(tmp_path / "page.md", tmp_path, as_written=False).walk()


FIGURES = walk.CHECKOUT / "benches" / "support" / "figures.py"


def check_numbers(root):
    command = [sys.executable, FIGURES, "check", root]
    return subprocess.run(command, capture_output=True, text=True)


def test_numbers_are_those_that_were_measured():
    done = check_numbers(walk.CHECKOUT)
    assert done.returncode == 0, done.stderr


def test_a_number_that_was_not_measured_is_found(tmp_path):
    pages = ["README.md", "docs/numbers.md", "benches/results/speed.md"]
    for name in [*pages, "benches/results/numbers.json"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((walk.CHECKOUT / name).read_text())
    assert check_numbers(tmp_path).returncode == 0
    for name in pages:
        page = (tmp_path / name).read_text()
        measured = re.search(r"\d+(?= µs \|)", page)
        (tmp_path / name).write_text(f"{page[: measured.start()]}0{page[measured.end() :]}")
        done = check_numbers(tmp_path)
        assert (done.returncode, done.stderr.split()[0]) == (1, name), done.stderr
        (tmp_path / name).write_text(page)


def test_readme_is_short():
    assert len((walk.CHECKOUT / "README.md").read_text().splitlines()) <= 200


def test_the_guide_is_read_in_ten_minutes():
    """At 240 words a minute."""
    text = (walk.CHECKOUT / "docs" / "django.md").read_text()
    prose = re.sub(r"```.*?```|^    .*$|<!--.*?-->|\]\([^)]*\)", "", text, flags=re.DOTALL | re.M)
    assert len(re.findall(r"\w\S*", prose)) <= 2400


def test_every_setting_has_its_row():
    page = (walk.CHECKOUT / "docs" / "settings.md").read_text()
    heads = re.findall(r"^\| ([^|]*) \|", page, re.MULTILINE)
    named = {name for head in heads for name in re.findall(r"`(\w+)`", head)}
    inner = {"$schema", "limits", "env", "file", "location", "secure", "master", "nodes"}
    inner |= {"ca", "cert", "key", "server_name"}  # of `tls`
    assert keys(SCHEMA) - named - inner == set()
    assert all(f"{name}" in page for name in inner)
