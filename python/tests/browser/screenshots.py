"""Makes the pictures of docs/inspector.md anew, from the real daemon with the example's project.

    cd python && PYTHONPATH=. python -m tests.browser.screenshots

Two visitors talk, one leaves, and a page that is open as localhost wants to listen.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.browser.webdriver import Browser
from tests.conftest import wait_until
from tests.ports import own_port

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
BYTES_MAX = 150_000
SETTINGS = """
from room.settings import *

PUSH_SERVER |= {"port": %(port)d}
PUSH_SERVER["locations"][0] |= {
    "allow_origin": ["http://127.0.0.1:%(port)d"],
    "passthrough": "http://127.0.0.1:%(port)d/passthrough",
}
"""
SAID = ["Hello!", "Is anybody here?", "Yes: I am.", "Good. Then it works."]
SAY = """
    const form = document.getElementById("say");
    form.elements.text.value = arguments[0];
    form.requestSubmit();
"""
HEARD = "return document.querySelectorAll('#said li').length"
URL = (
    "return document.documentElement.innerHTML.match(/room: \"(.*?)\"/)[1].replaceAll('&amp;', '&')"
)
ASK = "for (const url of arguments) fetch(url).catch(() => {})"


def main() -> None:
    """Starts the example, does what the pictures show, and takes them."""
    with tempfile.TemporaryDirectory() as directory:
        port = own_port()
        Path(directory, "pictured.py").write_text(SETTINGS % {"port": port})
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([directory, str(ROOT / "python/example"), "."]),
            "DJANGO_SETTINGS_MODULE": "pictured",
            "PYTHONUNBUFFERED": "1",
        }
        log = Path(directory, "log")
        command = [sys.executable, "-m", "django", "runpushserver", str(port), "--allrequests"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=ROOT / "python", env=environment, stdout=output, stderr=output
            )
        try:
            wait_until(lambda: "Inspector: " in log.read_text(), seconds=60)
            found = re.search(r"Inspector: (\S+)", log.read_text())
            assert found, "its address is printed"
            take_all(port, found[1])
        finally:
            process.terminate()
            process.wait(30)


def take_all(port: int, link: str) -> None:
    """All pictures."""
    address = f"http://127.0.0.1:{port}/"
    # A browser for each visitor, who has cookies of their own.
    with Browser() as ana, Browser("--window-size=1000,1250") as ben:
        for visitor, name in ((ana, "Ana"), (ben, "Ben")):
            visitor.open(address)
            script = "const field = document.getElementById('name'); field.value = arguments[0];"
            visitor.run(script + " field.form.requestSubmit()", name)
            wait_until(
                lambda visitor=visitor: (
                    "open" in visitor.run("return document.getElementById('state').textContent")
                )
            )
        for count, text in enumerate(SAID, 1):
            visitor = (ana, ben)[count % 2]
            if count == len(SAID):
                ana.open("about:blank")
                visitor = ben
            visitor.run(SAY, text)
            wait_until(lambda visitor=visitor, count=count: visitor.run(HEARD) >= count)
        url = ben.run(URL)
        ben.open_tab(address.replace("127.0.0.1", "localhost"))
        ben.run(ASK, url, url.partition("&token")[0])
        ben.open_tab(link)
        for scheme in ("light", "dark"):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            ben.command("Emulation.setEmulatedMedia", features=features)
            take(ben, f"channel-{scheme}", "Messages", view="channel", ch="room")
            take(ben, f"refusals-{scheme}", "What was refused", view="refusals")


def take(browser: Browser, name: str, table: str, **view: Any) -> None:
    """A picture of a view, once its table has rows."""
    browser.run("location.hash = new URLSearchParams(arguments[0])", view)
    rows = """
        const table = [...document.querySelectorAll("table")]
            .find((one) => one.caption.textContent.startsWith(arguments[0]));
        return table ? table.tBodies[0].rows.length : 0;
    """
    wait_until(lambda: browser.run(rows, table))
    wait_until(lambda: browser.run("return samples.length") > 5)
    wait_until(lambda: "…" not in browser.run("return document.querySelector('main').innerText"))
    picture = base64.b64decode(browser.command("Page.captureScreenshot", format="png")["data"])
    assert len(picture) <= BYTES_MAX, f"{name} has {len(picture)} bytes"
    (DOCS / f"inspector-{name}.png").write_bytes(picture)


if __name__ == "__main__":
    main()
