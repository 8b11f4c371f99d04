"""Headless Chromium, driven through chromedriver's HTTP interface (W3C WebDriver)."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from typing import Any

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


class Browser:
    """One browser with one window. A context manager.

    ``arguments``: of its command line, besides those of all.
    """

    def __init__(self, *arguments: str) -> None:
        self._arguments = [*ARGUMENTS, *arguments]

    def __enter__(self) -> Browser:
        self._url = self._start(_program("chromedriver"))
        options = {"binary": _program("chromium"), "args": self._arguments}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self._post("/session", {"capabilities": {"alwaysMatch": wanted}})
        self._url += f"/session/{session['sessionId']}"
        return self

    def __exit__(self, *exception: Any) -> None:
        self._request("DELETE", "", None)
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def open(self, url: str) -> None:
        """Goes there, and returns when the page is loaded."""
        self._post("/url", {"url": url})

    def back(self) -> None:
        """Goes back in the history."""
        self._post("/back", {})

    def run(self, script: str, *arguments: Any) -> Any:
        """The value that the script, the body of a function, returns."""
        return self._post("/execute/sync", {"script": script, "args": arguments})

    def press(self, *keys: str) -> None:
        """Presses keys one after the other; those of one string at once, as control and enter.

        WebDriver has characters of its own for keys without one (its section 17.4.2).
        """
        actions = [
            {"type": kind, "value": key}
            for chord in keys
            for kind, chosen in (("keyDown", chord), ("keyUp", chord[::-1]))
            for key in chosen
        ]
        self._post("/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def add_cookie(self, name: str, value: str) -> None:
        """For the page's host."""
        self._post("/cookie", {"cookie": {"name": name, "value": value}})

    def log(self) -> list[str]:
        """The console's lines since the last call."""
        return [entry["message"] for entry in self._post("/se/log", {"type": "browser"})]

    def windows(self) -> list[str]:
        """All tabs."""
        return self._request("GET", "/window/handles", None)

    def open_tab(self, url: str) -> str:
        """A new tab, which the following calls are for; returns when its page is loaded."""
        tab: str = self._post("/window/new", {"type": "tab"})["handle"]
        self.switch(tab)
        self.open(url)
        return tab

    def switch(self, tab: str) -> None:
        """The following calls are for this tab."""
        self._post("/window", {"handle": tab})

    def close_tab(self) -> None:
        """Closes the tab; the next call has to be `switch`."""
        self._request("DELETE", "/window", None)

    def command(self, name: str, **parameters: Any) -> Any:
        """A command of the Chrome DevTools Protocol, for the tab."""
        return self._post("/goog/cdp/execute", {"cmd": name, "params": parameters})

    def _start(self, driver: str) -> str:
        # The port it picks is free on IPv6, and now and then in use on IPv4: then it gives up.
        for _ in range(20):
            self._process = subprocess.Popen(
                [driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            assert self._process.stdout is not None
            said = ""
            for line in self._process.stdout:
                said += line
                if "successfully on port" in line:
                    return "http://127.0.0.1:" + line.rstrip(".\n").rpartition(" ")[2]
            self._process.wait()
            self._process.stdout.close()
        raise AssertionError(f"chromedriver did not start: {said}")

    def _post(self, path: str, body: Any) -> Any:
        return self._request("POST", path, json.dumps(body).encode())

    def _request(self, method: str, path: str, body: bytes | None) -> Any:
        request = urllib.request.Request(self._url + path, body, method=method)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, timeout=60) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(json.load(error)["value"]["message"]) from None


def _program(name: str) -> str:
    path = shutil.which(name)
    assert path, f"{name} is not installed (Debian: apt-get install chromium chromium-driver)"
    return path
