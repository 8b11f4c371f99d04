"""A site served by ``runpushserver --allrequests`` behind what ends TLS, as a tunnel does."""

from __future__ import annotations

import http.client
import http.cookies
import re
import ssl
import subprocess
import urllib.parse

import pytest

from tests.browser.conftest import running_nginx
from tests.project import Project

NAME = "site.example"
NGINX = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr error;
events {{}}
http {{
    access_log off;
    client_body_temp_path tmp;
    proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate certificate.pem;
        ssl_certificate_key key.pem;
        location / {{
            proxy_pass UPSTREAM;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Proto https;
        }}
    }}
}}
"""
CERTIFICATE = "req -x509 -newkey rsa:2048 -nodes -days 1 -keyout key.pem -out certificate.pem"
ACCOUNT = {
    "DJANGO_SUPERUSER_USERNAME": "ana",
    "DJANGO_SUPERUSER_EMAIL": "ana@example.com",
    "DJANGO_SUPERUSER_PASSWORD": "correct horse",
}


class Client:
    """What a browser does of this: TLS, cookies, and the origin of a form."""

    def __init__(self, host):
        self._host = host
        self._tls = ssl.create_default_context()
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE
        self._cookies = http.cookies.SimpleCookie()

    def ask(self, path, form=None, from_page=True):
        """The answer's status, and its body as text."""
        cookies = "; ".join(f"{name}={it.value}" for name, it in self._cookies.items())
        headers = {"Host": NAME, "Cookie": cookies}
        if form is not None and from_page:
            headers |= {
                "Content-Type": "application/x-www-form-urlencoded",
                "Origin": f"https://{NAME}",
                "Referer": f"https://{NAME}{path}",
            }
        if form is not None:
            form = urllib.parse.urlencode(form)
        connection = http.client.HTTPSConnection(self._host, context=self._tls, timeout=60)
        connection.request("GET" if form is None else "POST", path, form, headers)
        response = connection.getresponse()
        for cookie in response.headers.get_all("Set-Cookie", []):
            self._cookies.load(cookie)
        body = response.read().decode()
        connection.close()
        return response.status, body

    def log_in(self):
        """The status of the form's answer."""
        _, page = self.ask("/admin/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        name, password = ACCOUNT["DJANGO_SUPERUSER_USERNAME"], ACCOUNT["DJANGO_SUPERUSER_PASSWORD"]
        form = {"username": name, "password": password, "csrfmiddlewaretoken": token[1]}
        return self.ask("/admin/login/?next=/admin/", form)[0]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """With a certificate, and a database that has a user."""
    directory = tmp_path_factory.mktemp("tunnel")
    openssl = ["openssl", *CERTIFICATE.split(), "-subj", f"/CN={NAME}"]
    subprocess.run(openssl, cwd=directory, check=True, capture_output=True)
    project = Project(directory, TEST_URLS="tests.browser.project_urls", **ACCOUNT)
    for command in (["migrate", "-v0"], ["createsuperuser", "--noinput", "-v0"]):
        assert project.manage(*command).wait(60) == 0
    return directory


@pytest.mark.parametrize("trusts", [False, True])
def test_a_login_and_a_channel_behind_a_tunnel(directory, trusts):
    settings = "tests.tunnel_settings" if trusts else "tests.allrequests_settings"
    urls = "tests.browser.project_urls"
    project = Project(directory, DJANGO_SETTINGS_MODULE=settings, TEST_URLS=urls)
    nginx = NGINX.replace("UPSTREAM", project.url)
    with project, running_nginx(directory, nginx) as host:
        client = Client(host)
        assert client.log_in() == (302 if trusts else 403)
        assert client.ask("/admin/")[0] == (200 if trusts else 302)
        scheme = "https" if trusts else "http"
        assert client.ask("/channel?id=room") == (200, f"{scheme}://{NAME}/updates/room")
        if trusts:
            # To the push server everybody is at 127.0.0.1.
            assert client.ask("/send-update/room", {"a": 1}, from_page=False)[0] == 401
        assert client.ask("/say?to=room&value=1") == (200, "said")
        assert client.ask("/updates/room") == (200, '{"type":"answer","value":"1"}')
