"""What to do where the push server cannot be reached, for messages of errors."""

from __future__ import annotations

import http.client
import ssl

from pushserver import certificate, conf, hosts
from pushserver.utils.pool import Answer


def reason(answer: Answer) -> str:
    """Why it was refused, if the answer says so."""
    # The push server says why in one line; what begins with < is another server's page.
    line = answer.body[:200].decode(errors="replace").split("\n")[0].strip()
    return f" ({line})" if line and not line.startswith("<") else ""


def remedy(error: Exception, changes: bool = True) -> str:
    """For an error of the network.

    ``changes``: what was asked for changes something, and may have been done: the text says so.
    """
    doubt = "Whether it was taken is not known. " if changes else ""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            "Give that server a certificate that this machine trusts. That for development, which "
            "the push server makes, is trusted if this user owns it, at "
            f"{certificate.path() or 'a place below HOME, which is not set'}: run both as one "
            "user, with the same XDG_STATE_HOME"
        )
    if isinstance(error, ssl.SSLError):
        return (
            "If no TLS is spoken there, set PUSH_SERVER['publisher_host']['secure'] to False. The "
            "push server itself speaks it where its settings have a certificate, or a "
            "publisher_host at its own loopback address with secure; start it again with these "
            "settings"
        )
    if isinstance(error, TimeoutError):
        return f"{doubt}See what holds that server up" + (", or raise timeout" if changes else "")
    if isinstance(error, (ConnectionResetError, http.client.HTTPException)):
        return f"{doubt}See whether a push server listens there, its log"
    text = (
        "Start the push server with `manage.py runpushserver`, or set "
        "PUSH_SERVER['publisher_host'] to where it runs"
    )
    if hosts.is_default_port():
        text += (
            f'. `runpushserver --allrequests` is at port {conf.ALL_REQUESTS_PORT}: put "port": '
            f"{conf.ALL_REQUESTS_PORT} into PUSH_SERVER"
        )
    return text
