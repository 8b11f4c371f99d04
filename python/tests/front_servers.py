"""Servers in front of the daemon, with the configurations of docs/operations.md."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.browser.conftest import wait_until_listening
from tests.ports import own_port

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"

NGINX = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr error;
events {}
http {
    access_log off;
    client_body_temp_path tmp;
    proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
    gzip on;
    gzip_types *;
    DOCUMENTED
}
"""
APACHE = """
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
LoadModule filter_module /usr/lib/apache2/modules/mod_filter.so
LoadModule deflate_module /usr/lib/apache2/modules/mod_deflate.so
LoadModule setenvif_module /usr/lib/apache2/modules/mod_setenvif.so
User www-data
Group www-data
ServerRoot DIRECTORY
DefaultRuntimeDir DIRECTORY
PidFile DIRECTORY/apache.pid
ErrorLog DIRECTORY/log
ServerName push.example.com
Listen 127.0.0.1:PORT
<VirtualHost *:PORT>
    SetOutputFilter DEFLATE
    DOCUMENTED
</VirtualHost>
"""
CADDY = """
{
    admin off
    storage file_system DIRECTORY
    log {
        level ERROR
    }
}
DOCUMENTED
"""
VARNISH = """
vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "DAEMON"; }
DOCUMENTED
"""

# The language of the block in the page, what stands around it, and the command.
SERVERS = {
    "nginx": ("nginx", NGINX, "nginx -p DIRECTORY -c FILE"),
    "haproxy": ("haproxy", "DOCUMENTED", "haproxy -db -f FILE"),
    "caddy": ("caddyfile", CADDY, "caddy run --adapter caddyfile --config FILE"),
    "apache2": ("apache", APACHE, "apache2 -DFOREGROUND -f FILE"),
    "varnishd": (
        "vcl",
        VARNISH,
        "varnishd -F -f FILE -a 127.0.0.1:PORT -n DIRECTORY/work -s malloc,16m -j none",
    ),
}


@contextlib.contextmanager
def front_server(
    name: str, directory: Path, daemon_url: str, changes: Sequence[tuple[str, str]] = ()
) -> Iterator[int]:
    """Runs the documented configuration in front of the daemon; gives the port.

    ``changes``: pairs of what is there, in the configuration or the command, and what is instead.
    """
    language, around, command = SERVERS[name]
    daemon_port = daemon_url.rpartition(":")[2]
    port = str(own_port())
    block = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    documented = block.search(PAGE.read_text())
    assert documented, language
    lines = documented[1]
    if name == "nginx":
        lines = lines.replace("location ", "server { listen 127.0.0.1:PORT;\nlocation ") + "}"
    text = around.replace("DOCUMENTED", lines)
    for documented_text, other in changes:
        assert documented_text in text + command
        text = text.replace(documented_text, other)
        command = command.replace(documented_text, other)
    for sample, real in [
        ("http://unix:/run/pushserver/sock:", daemon_url),
        ("127.0.0.1:8001", f"127.0.0.1:{daemon_port}"),
        ("bind :80", f"bind 127.0.0.1:{port}"),
        ("example.com {", f":{port} {{"),
        ("DAEMON", daemon_port),
        ("DIRECTORY", str(directory)),
        ("PORT", port),
    ]:
        text = text.replace(sample, real)
    file = directory / "configuration"
    file.write_text(text)
    words = command.replace("DIRECTORY", str(directory)).replace("FILE", str(file))
    program, *arguments = words.replace("PORT", port).split()
    path = shutil.which(program) or f"/usr/sbin/{program}"
    # Caddy keeps its configuration there.
    home = os.environ | {"HOME": str(directory)}
    with subprocess.Popen([path, *arguments], stdout=subprocess.DEVNULL, env=home) as process:
        try:
            wait_until_listening(int(port))
            yield int(port)
        finally:
            process.terminate()
