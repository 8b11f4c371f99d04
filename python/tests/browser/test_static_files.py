"""The module from production's static files, and by each of its names, in a real browser."""

from __future__ import annotations

import pytest
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage, staticfiles_storage

from pushserver.test import PushServer
from pushserver.utils import pool, updates
from tests.browser.conftest import running_nginx
from tests.test_static import FollowsImports, collect

# The types of files as Debian's nginx.conf has them.
NGINX = """
daemon off;
master_process off;  # its workers may not read a directory of root's
pid nginx.pid;
error_log stderr error;
events {{}}
http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log off;
    client_body_temp_path tmp;
    proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
    server {{
        listen 127.0.0.1:{port};
        root .;
    }}
}}
"""
PAGE = """<!doctype html>
<title>Static</title>
<link rel="icon" href="data:,">
<script type="module" src="%(app)s"></script>
<script type="module">
  import updates from "%(module)s";

  window.same = window.updates === updates;  // that of app.js, which is run before
  updates.registerProcessor("main", "answer", (data) => { window.answer = data.value; });
  updates.subscribe({main: "%(channel)s"});
</script>
"""


@pytest.mark.parametrize("storage", [ManifestStaticFilesStorage, FollowsImports])
def test_a_page_works_with_static_files_from_debians_nginx(
    browser, settings, tmp_path, wait_for, storage
):
    collect(settings, tmp_path, storage)
    with running_nginx(tmp_path, NGINX) as host, PushServer(locations=pages_of(host)):
        page = PAGE % {
            "app": staticfiles_storage.url("site/app.js"),
            "module": staticfiles_storage.url("pushserver/updates.module.js"),
            "channel": updates.subscriber_url("room"),
        }
        (tmp_path / "page.html").write_text(page)
        browser.open(f"http://{host}/page.html")
        updates.send_update("room", {"type": "answer", "value": 42})
        wait_for(lambda: browser.run("return window.answer ?? null") == 42)
        assert browser.run("return window.same")
        assert browser.log() == []
        browser.open("about:blank")
        browser.log()
        pool.shared.close()


def pages_of(host):
    return [
        {
            "type": "subscriber",
            "prefix": "/updates/",
            "create_on_get": True,
            "allow_origin": f"http://{host}",
            "allow_credentials": True,
        },
        {"type": "publisher", "prefix": "/send-update/"},
    ]


def test_each_name_of_the_module_leads_to_the_same_object(browser, live_server, wait_for):
    browser.open(f"{live_server.url}/passthrough")  # any page of this origin
    browser.log()
    browser.run(
        """
        Promise.all(arguments[0].map((name) => import("/static/pushserver/" + name))).then(
            (modules) => { window.loaded = modules.map((module) => module.default); },
            (error) => { window.loaded = String(error); },
        );
        """,
        ["updates.module.js", "updates.module.js?v=2", "updates.mjs"],
    )
    wait_for(lambda: browser.run("return window.loaded ?? null") is not None)
    assert browser.run("return loaded.map((updates) => updates === loaded[0])") == [True] * 3
    browser.open("about:blank")
