"""Sending updates, the URLs of channels, taking access back, and who is there.

Works wherever Django's settings do: in views, commands, a shell, task queues. An update is sent at
most once; when ``send_update`` returns, the push server has it.
"""

from __future__ import annotations

import http.client
import io
import json
import logging
import re
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.request import Request
from urllib.response import addinfourl

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.http import HttpRequest
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from pushserver import conf, cursor, hosts, remedies, secrets, signals, tokens
from pushserver.presence import Member, PresenceError, ais_present, apresence, is_present, presence
from pushserver.revocation import RevocationError, arevoke, revoke
from pushserver.status import TIMEOUT_S, StatusError
from pushserver.utils.pool import shared

__all__ = [
    "Member",
    "PresenceError",
    "RevocationError",
    "StatusError",
    "UpdateError",
    "UpdateNotSerializable",
    "UpdateRejected",
    "ais_present",
    "apresence",
    "arevoke",
    "asend_update",
    "is_present",
    "presence",
    "publisher_url",
    "revoke",
    "send_update",
    "subscriber_url",
]

logger = logging.getLogger("pushserver")

# The most seconds that the push server waits for a subscriber.
WAIT_S_MAX = 30


class UpdateError(OSError):
    """An update was not sent, or it is not known that it was. The message says what to do."""

    def __init__(self, message: str, channel_id: str, url: str) -> None:
        super().__init__(message)
        self.channel_id = channel_id
        self.url = url


class UpdateNotSerializable(UpdateError, TypeError):
    """The data has no form as JSON."""


class UpdateRejected(UpdateError):
    """The push server, or another server, did not accept the update."""

    def __init__(self, message: str, channel_id: str, url: str, status: int) -> None:
        super().__init__(message, channel_id, url)
        self.status = status


def publisher_url(channel_id: object) -> str:
    """Where updates for this channel are sent."""
    return hosts.publisher_origin() + conf.path("publisher", channel_id)


def subscriber_url(
    channel_id: object,
    request: HttpRequest | None = None,
    user: object = tokens.FROM_REQUEST,
    expires: int | None = None,
    since: object = None,
) -> str:
    """Where browsers wait for this channel's updates; with a token where the location is `signed`.

    ``channel_id``: also a list or tuple of ids, for a location with ``query`` or ``delimiter``.
    ``request``: that of the page; see ``hosts.subscriber_origin``. ``user``: whose token it is, a
    user or an id; that of the request by default, nobody's if ``None``. ``expires``: seconds, by
    default those of ``PUSH_SERVER_TOKEN_SECONDS``.

    ``since``: where a page begins that has no update yet, instead of at the location's
    ``first_message``. With ``"now"`` it misses nothing that is published after its request came,
    or with a ``datetime`` or seconds since the Unix epoch, after that moment, and gets a second or
    two of what was published before. Also ``"oldest"``, or the id of the last message that it has.
    """
    origin = hosts.subscriber_origin(request)
    return origin + subscriber_path(channel_id, request, user, expires, since)


def subscriber_path(
    channel_id: object,
    request: HttpRequest | None,
    user: object,
    expires: int | None,
    since: object,
) -> str:
    """The same without the origin."""
    path, place, ids = conf.target("subscriber", *_flat([channel_id]))
    if since is not None:
        path = _with(path, "since", cursor.parameter(since, request))
    if place.get("signed"):
        path = _with(path, "token", tokens.to_subscribe(place, ids, request, user, expires))
    return path


def _with(path: str, name: str, value: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}{name}={value}"


def url_in_page(
    request: HttpRequest | None, channel_ids: Iterable[object], **options: Any
) -> SafeString:
    """The same of several channels, for templates.

    A ``&`` is written as it is, so that a script reads the URL, too. In an attribute it begins no
    character reference, since a name and ``=`` follow (HTML standard 13.2.5.73).
    """
    url = subscriber_url(_flat(channel_ids), request, **options)
    return mark_safe(escape(url).replace("&amp;", "&"))


def _flat(channel_ids: Iterable[object]) -> list[object]:
    """The ids, those in lists and tuples too."""
    found: list[object] = []
    for each in channel_ids:
        found += each if isinstance(each, (list, tuple)) else (each,)
    return found


def send_update(
    channel_id: object,
    data: Any,
    already_serialized: bool = False,
    ignore_errors: bool = False,
    on_commit: bool = False,
    timeout: float = TIMEOUT_S,
    wait: int | None = None,
) -> int | None:
    """Sends ``data`` as JSON to everybody who is subscribed to the channel.

    ``already_serialized``: ``data`` is JSON, as ``str`` or ``bytes``. ``ignore_errors``: they are
    logged instead of raised. ``on_commit``: serialised now, and sent when the database transaction
    is committed. ``timeout``: seconds, for each wait for the network; ``wait`` is added to it.

    ``wait``: seconds, 1 to 30, to wait for a subscriber if there is none; returns as soon as one
    was sent the update. Nginx does not wait, nor does a push server for which already
    ``limits.waiting_publishers`` wait.

    Returns how many subscribers there were to be sent it, 1 for one that came while waiting, 0 for
    nobody; ``None`` where that is not known: with ``on_commit``, or after an error that is ignored.
    Raises ``UpdateError``, and ``ValueError`` for a ``wait`` that is none.
    """
    if wait is not None and (type(wait) is not int or not 1 <= wait <= WAIT_S_MAX):
        raise ValueError(
            f"wait is {wait!r}: it has to be a whole number of seconds from 1 to {WAIT_S_MAX}, or "
            "None"
        )
    ignore_errors = ignore_errors or getattr(settings, "PUSH_SERVER_IGNORE_ERRORS", False)
    try:
        request = _request(str(channel_id), data, already_serialized)
    except UpdateError as error:
        if not ignore_errors:
            raise
        logger.error("%s", error)
        return None
    if wait is not None:
        request.add_header("Prefer", f"wait={wait}")
        timeout += wait
    signal_arguments = {
        "channel_id": channel_id,
        "data": data,
        "already_serialized": already_serialized,
        "request": request,
    }
    send = partial(_send, str(channel_id), request, signal_arguments, ignore_errors, timeout)
    if not on_commit:
        return send()
    transaction.on_commit(send)
    return None


async def asend_update(
    channel_id: object,
    data: Any,
    already_serialized: bool = False,
    ignore_errors: bool = False,
    on_commit: bool = False,
    timeout: float = TIMEOUT_S,
    wait: int | None = None,
) -> int | None:
    """``send_update`` for asynchronous code; waits in a thread, not in the event loop."""
    # A wait has a thread of its own: those of the event loop are few, and others need them. There
    # are no more than limits.waiting_publishers for long.
    executor = ThreadPoolExecutor(1, "send_update") if wait and not on_commit else None
    # The transaction of on_commit belongs to the thread that all synchronous code shares.
    send = sync_to_async(send_update, thread_sensitive=on_commit, executor=executor)
    try:
        return await send(
            channel_id, data, already_serialized, ignore_errors, on_commit, timeout, wait
        )
    finally:
        if executor:
            executor.shutdown(wait=False)


def _request(channel_id: str, data: Any, already_serialized: bool) -> Request:
    try:
        url = publisher_url(channel_id)
    except ValueError as error:
        message = f"update for channel {channel_id!r} was not sent: {error}"
        raise UpdateError(message, channel_id, "") from error
    try:
        body = data if already_serialized else _serialize(data)
        if isinstance(body, str):
            body = body.encode()
        elif not isinstance(body, bytes):
            raise TypeError(f"already serialised data is str or bytes, not {type(body).__name__}")
    except (TypeError, ValueError, RecursionError) as error:
        message = (
            f"update for channel {channel_id!r} was not sent to {url}: {error}. "
            "Make the data of what JSON knows: dict, list, str, finite numbers, bool, None"
        )
        raise UpdateNotSerializable(message, channel_id, url) from error
    headers = {"Content-Type": "application/json; charset=utf-8"}
    return Request(url, data=body, headers=headers, method="POST")


def _serialize(data: Any) -> str:
    # NaN and Infinity are not JSON: every browser would refuse the whole update.
    return json.dumps(data, cls=DjangoJSONEncoder, separators=(",", ":"), allow_nan=False)


def _send(
    channel_id: str,
    request: Request,
    signal_arguments: dict[str, Any],
    ignore_errors: bool,
    timeout: float,
) -> int | None:
    module = sys.modules[__name__]
    # Not before: a token for one update does not outlive a long transaction.
    if bearer := _bearer(channel_id):
        request.add_header("Authorization", f"Bearer {bearer}")
    signals.pre_send_update.send(sender=module, **signal_arguments)
    try:
        response = deliver(channel_id, request, timeout)
    except UpdateError as error:
        signals.post_send_update.send(sender=module, response=error, **signal_arguments)
        if not ignore_errors:
            raise
        logger.error("%s", error)
        return None
    subscribers = _subscribers(response)
    signals.post_send_update.send(sender=module, response=response, **signal_arguments)
    return subscribers


def _subscribers(response: addinfourl) -> int:
    """To how many it was sent; receivers of the signal find the answer as it came."""
    if response.status != 201:
        return 0
    # As of the moment of publishing: 0 where the first of them came while the server waited.
    return max(1, subscribers_before(response))


def subscribers_before(response: addinfourl) -> int:
    """How many subscribers the channel had when the update came, as the answer to it says."""
    response.seek(0)  # whatever a receiver of the signal has read
    said = re.search(rb"^active subscribers: ([0-9]{1,9})\r?$", response.read(), re.MULTILINE)
    response.seek(0)
    return int(said[1]) if said else 0


def _bearer(channel_id: str) -> str:
    """What lets an update in: the secret of the publisher location, or else a token."""
    place = conf.location("publisher")
    if secret := place.get("secret"):
        return secrets.secret_of(secret, "secret")
    return tokens.to_publish(place, channel_id) if _is_by_token() else ""


def _is_by_token() -> bool:
    place = conf.location("publisher")
    return bool(place.get("signed") and not place.get("secret"))


def deliver(channel_id: str, request: Request, timeout: float) -> addinfourl:
    """Hands the update to the push server. ``pushserver.test.capture_updates`` stands in for it."""
    url = request.full_url
    body = request.data
    assert isinstance(body, bytes), "_request makes bytes of it"
    try:
        answer = shared.post(url, body, dict(request.header_items()), timeout)
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = str(error) or type(error).__name__
        message = f"update for channel {channel_id!r} was not sent to {url}: {cause}. "
        raise UpdateError(message + remedies.remedy(error), channel_id, url) from error
    if answer.status not in (201, 202):
        message = (
            f"update for channel {channel_id!r} was not taken by {url}: status {answer.status}"
            f"{remedies.reason(answer)}. {_remedy_for_status(answer.status)}"
        )
        raise UpdateRejected(message, channel_id, url, answer.status)
    return addinfourl(io.BytesIO(answer.body), answer.headers, url, answer.status)


def _remedy_for_status(status: int) -> str:
    if status == 404:
        return (
            "Make PUSH_SERVER['locations'] here that of the push server there, and see its "
            "publisher location's create_on_post"
        )
    if status == 401 and _is_by_token():
        return (
            "The push server has to have the SECRET_KEY of this project: restart `runpushserver`, "
            "or write its file again with `manage.py pushserver_settings`. If the token has "
            "expired, their clocks differ"
        )
    if status in (401, 403):
        return "See the publisher location's allow and secret"
    if status == 413:
        return "Send less, or raise PUSH_SERVER['limits']['body_bytes']"
    if status >= 500:
        return "See that server's log"
    return "See whether PUSH_SERVER['publisher_host'] and the publisher location's url lead there"
