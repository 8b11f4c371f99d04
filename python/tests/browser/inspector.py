"""The inspector in a browser: its page, opened as the link of ``runpushserver`` opens it."""

from __future__ import annotations

from typing import Any

from pushserver import keys
from pushserver.test import PushServer
from tests.browser.webdriver import Browser
from tests.conftest import wait_until

STATUS = {"type": "status", "prefix": "/pushserver/", "inspector": True}

TEXT = """
    const element = document.querySelector(arguments[0]);
    return element?.checkVisibility() ? element.innerText : "";
"""
# One row of cells for each row of the table with this caption.
ROWS = """
    const table = [...document.querySelectorAll("table")]
        .find((one) => one.caption.textContent.startsWith(arguments[0]));
    return [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.innerText));
"""


def link_of(server: PushServer) -> str:
    """The link that ``runpushserver`` would print."""
    return f"{server.url}/pushserver/#token={keys.of_status()}"


class Inspector:
    """The page that the link opens; it has the browser's tab."""

    def __init__(self, browser: Browser, link: str) -> None:
        self.browser = browser
        self.link = link
        self.url = link.partition("#")[0]

    def open(self, **view: str) -> None:
        """Opens it as the link does, then a view."""
        # Another address, or the browser would only follow the fragment.
        self.browser.open("about:blank")
        self.browser.open(self.link)
        if view:
            self.go(**view)

    def go(self, **view: str) -> None:
        """Opens a view as a link of the page does."""
        self.browser.run("location.hash = new URLSearchParams(arguments[0])", view)

    def text(self, selector: str = "main") -> str:
        """What is written there."""
        said: str = self.browser.run(TEXT, selector)
        return said

    def rows(self, caption: str) -> list[list[str]]:
        """The cells of the table whose caption begins so."""
        cells: list[list[str]] = self.browser.run(ROWS, caption)
        return cells

    def wait_for_text(self, *parts: str, selector: str = "main") -> str:
        """Waits until all of it is there; fails with what is there instead."""
        said = [""]

        def has_all() -> bool:
            said[0] = self.text(selector)
            return all(part in said[0] for part in parts)

        try:
            wait_until(has_all)
        except AssertionError:
            raise AssertionError(f"{parts} is not in {said[0]!r}") from None
        return said[0]

    def fault(self) -> dict[str, Any]:
        """What the first look at any view says of what went wrong, and the fix to copy."""
        fault: dict[str, Any] = self.browser.run(
            """
            const box = document.querySelector("#wrong");
            return {said: box.innerText, fix: box.querySelector("code")?.textContent ?? ""};
            """
        )
        return fault

    def wait_for_fix(self, fix: str) -> str:
        """Waits until this is the fix of what went wrong, on every view; gives what is said."""
        found: dict[str, Any] = {}

        def is_it() -> bool:
            found.update(self.fault())
            return bool(found["fix"] == fix)

        try:
            wait_until(is_it)
        except AssertionError:
            raise AssertionError(f"{fix!r} is not the fix in {found}") from None
        return str(found["said"])
