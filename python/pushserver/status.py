"""Asking the push server itself, at its status location: for revocations, and for who is there."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from pushserver import conf, hosts, keys, remedies, secrets
from pushserver.utils.pool import shared

TIMEOUT_S = 5.0

# Entries in an answer; the most that the push server gives.
PAGE = 1000

Read = TypeVar("Read")


class StatusError(OSError):
    """The push server did not do or say what it was asked for. The message says what to do.

    ``status``: what it answered, ``None`` if nothing.
    """

    what = "nothing was learnt from"

    def __init__(self, message: str, url: str, status: int | None = None) -> None:
        super().__init__(message)
        self.url = url
        self.status = status


def ask(
    error: type[StatusError],
    method: str,
    name: str,
    fields: Mapping[str, str],
    read: Callable[[Any], Read],
    host: Any,
    timeout: float,
) -> Read:
    """What ``read`` makes of the answer to ``fields``: a form to ``POST``, a query to ``GET``.

    ``read``: of what the JSON is; may raise for what it does not know. ``host``: which push server,
    as ``publisher_host`` in ``PUSH_SERVER``. Raises ``error``.
    """
    place = conf.status_location()
    url = f"{hosts.publisher_origin(host)}{quote(str(place.get('prefix', '/')))}{name}"
    secret = place.get("secret")
    bearer = secrets.secret_of(secret, "secret") if secret else keys.of_status()
    headers = {"Authorization": f"Bearer {bearer}"}
    form = urlencode(fields)
    try:
        if method == "POST":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            answer = shared.post(url, form.encode(), headers, timeout)
        else:
            answer = shared.get(f"{url}?{form}", headers, timeout)
    except (OSError, http.client.HTTPException, ValueError) as cause:
        text = str(cause) or type(cause).__name__
        message = f"{error.what} {url}: {text}. {remedies.remedy(cause)}"
        raise error(message, url) from cause
    if answer.status == 200:
        # Told below: another server answers there.
        with suppress(ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            return read(json.loads(answer.body))
    remedy = _REMEDIES.get(answer.status, "See whether a push server answers there")
    message = f"{error.what} {url}: status {answer.status}{remedies.reason(answer)}. {remedy}"
    raise error(message, url, answer.status)


def ask_all(
    error: type[StatusError],
    name: str,
    fields: Mapping[str, str],
    key: str,
    entry: Callable[[Any], Read],
    host: Any,
    timeout: float,
) -> Iterator[Read]:
    """What ``entry`` makes of each that stands under ``key`` in the answers to ``fields``, in all
    pages, of which any may be short, or empty. Arguments and errors are those of ``ask``."""
    after: int | None = None

    def read(said: Any) -> tuple[list[Read], int | None]:
        following = said.get("next")
        # Or another server could keep this going for ever.
        if following is not None and following <= (-1 if after is None else after):
            raise ValueError("no next page")
        return [entry(each) for each in said[key]], following

    while True:
        page = {"limit": str(PAGE)} if after is None else {"limit": str(PAGE), "after": str(after)}
        found, after = ask(error, "GET", name, {**fields, **page}, read, host, timeout)
        yield from found
        if after is None:
            return


_REMEDIES = {
    401: "Its status location has another secret: both derive it from SECRET_KEY, unless "
    "PUSH_SERVER sets it. Start the push server with the settings of this project",
    403: "See the allow of its status location: it answers this machine only, unless that says "
    "more",
    404: "Start the push server with the settings of this project, and give those a status "
    """location: {"type": "status", "prefix": "/pushserver/"}; `runpushserver` adds one""",
}
