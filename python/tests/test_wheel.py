"""The built wheel, in an environment with nothing else, as the documentation has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parents[1]
PROFILE = os.environ.get("PUSHSERVER_TEST_PROFILE", "dev")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    maturin = [sys.executable, "-m", "maturin", "build", "--locked", "--profile", PROFILE]
    subprocess.run([*maturin, "--out", out], cwd=ROOT, check=True)
    (built,) = out.glob("*.whl")
    return built


def own_network():
    """A prefix for commands that need their ports to themselves."""
    for prefix in (["unshare", "-n"], ["unshare", "-rn"]):
        if subprocess.run([*prefix, "true"], capture_output=True).returncode == 0:
            return [*prefix, "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    return []


def test_it_carries_all_of_the_package_and_nothing_else(wheel):
    package = ROOT / "python" / "pushserver"
    files = {
        str(path.relative_to(package.parent))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
        plugins = archive.read(entry_points).decode().replace(" ", "")
    assert "[pytest11]\npushserver=pushserver.pytest_plugin\n" in plugins
    assert {name for name in names if ".dist-info" not in name and ".data" not in name} == files
    assert [name for name in names if ".data" in name] == [
        f"{'-'.join(wheel.name.split('-')[:2])}.data/scripts/pushserver"
    ]


class Installed(NamedTuple):
    python: Path
    seconds: float


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The interpreter of an environment with the wheel and what it requires."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    quiet = ["-q", "--disable-pip-version-check"]
    began = time.monotonic()
    subprocess.run([python, "-m", "pip", "install", *quiet, wheel], check=True)
    return Installed(python, time.monotonic() - began)


def test_a_newcomer_has_a_first_message_in_four_steps(installed, tmp_path, record_property):
    said = newcomer("first_message", installed.python, tmp_path, stdout=subprocess.PIPE)
    took = json.loads(said.splitlines()[-1])
    assert took["steps"] == 4
    record_property(
        "first message",
        f"{took['steps']} steps with {took['edits']} edits of {took['lines']} lines; "
        f"{installed.seconds:.1f} s of pip, {took['seconds']:.1f} s until the page had it",
    )


def test_a_newcomer_can_run_the_example(installed, tmp_path):
    newcomer("example", installed.python, tmp_path)


def newcomer(what, python, directory, **options):
    command = [sys.executable, TESTS / "newcomer.py", what, ROOT, python, directory]
    # Nothing of these tests' surroundings may help: neither the checkout nor a binary of theirs.
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = [*own_network(), *command]
    done = subprocess.run(command, env=kept, check=True, timeout=180, text=True, **options)
    return done.stdout
