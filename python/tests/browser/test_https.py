"""Pages over HTTPS from ``runpushserver --allrequests``, with the certificate for development."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from tests.browser.webdriver import Browser
from tests.project import Project
from tests.test_allrequests import get

SETTINGS = """
from tests.allrequests_settings import *

HOST = f"127.0.0.1:{os.environ['TEST_PORT']}"
PUSH_SERVER["port"] = os.environ["TEST_PORT"]
PUSH_SERVER["subscriber_host"] = {"location": HOST, "secure": True}
"""
SOCKET = """
    window.socket = new WebSocket(arguments[0]);
    window.heard = [];
    socket.onmessage = ({data}) => heard.push(data);
"""


def digest(certificate):
    """The key that the browser is to trust, as its option wants it."""
    openssl = ["openssl", "x509", "-pubkey", "-noout", "-in", certificate]
    pem = subprocess.check_output(openssl)
    der = subprocess.check_output(["openssl", "pkey", "-pubin", "-outform", "der"], input=pem)
    made = subprocess.check_output(["openssl", "dgst", "-sha256", "-binary"], input=der)
    return base64.b64encode(made).decode()


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("https")


@pytest.fixture(scope="module")
def project(directory):
    (directory / "secure.py").write_text("import os\n" + SETTINGS)
    urls = "tests.browser.project_urls"
    state = str(directory / "state")
    options = {"DJANGO_SETTINGS_MODULE": "secure", "TEST_URLS": urls, "XDG_STATE_HOME": state}
    with Project(directory, **options) as started:
        yield started


@pytest.fixture(scope="module")
def browser(project, directory):
    trusted = digest(Path(directory, "state/pushserver/localhost.pem"))
    with Browser(f"--ignore-certificate-errors-spki-list={trusted}") as started:
        yield started


def test_pages_listen_over_tls_by_all_transports(project, browser, wait_for):
    secure = project.url.replace("http", "https")
    assert f"{project.url}/ and {secure}/" in project.log()
    browser.open(f"{secure}/page?channel=room")
    assert browser.run("return location.protocol") == "https:"
    assert browser.run("return isSecureContext")
    wait_for(lambda: browser.run("return events.at(-1)?.transport") == "eventsource")
    browser.run(SOCKET, f"{secure.replace('http', 'ws')}/updates/room")
    wait_for(lambda: browser.run("return socket.readyState") == 1)
    for value in ("1", "2"):
        # To a view that plain HTTP leads to.
        assert get(f"{project.url}/say?to=room&value={value}") == "said"
    wait_for(lambda: browser.run("return got") == {"module": ["1", "2"], "jquery": ["1", "2"]})
    wait_for(lambda: len(browser.run("return heard")) == 2)
    asked = "return performance.getEntriesByType('resource').map(({name}) => name)"
    ours = [name for name in browser.run(asked) if "/updates/" in name]
    assert ours
    assert all(name.startswith(f"{secure}/updates/room") for name in ours)
    assert browser.log() == []
    browser.open("about:blank")


def test_django_knows_which_pages_are_secure(project, browser):
    secure = project.url.replace("http", "https")
    for url in (project.url, secure):
        browser.open(f"{url}/channel?id=room")
        assert browser.run("return document.body.innerText") == f"{url}/updates/room"
    browser.open("about:blank")


def test_a_stranger_of_a_browser_does_not_trust_it(project):
    secure = project.url.replace("http", "https")
    with Browser() as browser:
        browser.open(f"{secure}/page?channel=room")
        assert browser.run("return location.protocol") == "chrome-error:"
        assert "ERR_CERT_AUTHORITY_INVALID" in browser.run("return document.body.innerText")
