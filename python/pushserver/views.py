"""The view for notices of the daemon: who began or ended waiting, and who is there.

It answers 403 to everybody but the daemon, because a subscription reveals a user.
"""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import unquote

from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.dispatch import Signal
from django.http import HttpRequest, HttpResponse, QueryDict
from django.utils.crypto import constant_time_compare
from django.utils.functional import SimpleLazyObject
from django.views.decorators.csrf import csrf_exempt

from pushserver import secrets, signals

SECRET = "HTTP_X_PUSHSERVER_SECRET"
# Whose token it is, percent-encoded. The daemon takes it out of what clients send.
USER = "HTTP_X_PUSHSERVER_USER"

_SIGNALS = {
    "subscribe": signals.channel_subscribe,
    "unsubscribe": signals.channel_unsubscribe,
    "join": signals.channel_join,
    "leave": signals.channel_leave,
    "reset": signals.presence_reset,
}
# The daemon tells these again until it hears that they were taken.
_TOLD_AGAIN = (signals.channel_join, signals.channel_leave, signals.presence_reset)


class ReceiverFailed(Exception):
    """A receiver raised, so the notice is not taken: answered 500, and the daemon tells it again.

    An exception of the receiver itself could be answered 404, after which nothing comes again.
    """


# Without login_not_required LoginRequiredMiddleware would answer the daemon with the login page.
@csrf_exempt
@login_not_required
def passthrough(request: HttpRequest) -> HttpResponse:
    """Sends the signal of a notice, with the subscriber's own request."""
    if request.method != "POST" or not _is_from_daemon(request):
        raise PermissionDenied
    try:
        signal, arguments = _read(request.POST)
    except (KeyError, ValueError):
        raise PermissionDenied from None
    _name_user(request)
    # Robust: Django logs the error of a receiver, and calls the others.
    heard = signal.send_robust(sender=passthrough, request=request, **arguments)
    errors = [error for _, error in heard if isinstance(error, Exception)]
    if errors and signal in _TOLD_AGAIN:
        raise ReceiverFailed("the push server will tell this again") from errors[0]
    return HttpResponse()


def _read(form: QueryDict) -> tuple[Signal, dict[str, Any]]:
    """The signal of a notice, and its arguments. Raises ``ValueError``, ``KeyError`` for none."""
    (kind,) = (each for each in _SIGNALS if form.get(each))
    if kind == "reset":
        return signals.presence_reset, {"instance": form["instance"]}
    if not form["channel_id"]:
        raise ValueError("no channel")
    arguments: dict[str, Any] = {"channel_id": form["channel_id"]}
    if kind in ("join", "leave"):
        arguments |= {
            "member": form["member"],
            "user_id": form.get("user"),
            "members": int(str(form["members"])),
            "instance": form["instance"],
        }
    if kind == "leave":
        arguments["reason"] = form["reason"]
    return _SIGNALS[kind], arguments


def _is_from_daemon(request: HttpRequest) -> bool:
    # Removed, so that no receiver sees it; `headers` may have been read before.
    given = request.META.pop(SECRET, "")
    request.__dict__.pop("headers", None)
    return any(constant_time_compare(given, known) for known in secrets.of_notices())


def _name_user(request: HttpRequest) -> None:
    """Where cookies name no user, ``request.user`` is that of the token."""
    name = request.META.get(USER)
    if not name or not apps.is_installed("django.contrib.auth"):
        return
    by_cookies = getattr(request, "user", None)
    # Looked up only if a receiver asks.
    user: Any = SimpleLazyObject(partial(_user, by_cookies, unquote(name)))

    async def auser() -> Any:
        await sync_to_async(lambda: user.is_authenticated)()
        return user

    request.user = user
    request.auser = auser


def _user(by_cookies: Any, name: str) -> Any:
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import AnonymousUser

    if by_cookies is not None and by_cookies.is_authenticated:
        return by_cookies
    try:
        found = get_user_model()._default_manager.filter(pk=name).first()
    except (ValueError, ValidationError):  # no primary key of these users
        found = None
    # As by cookies, who is not active is nobody.
    return found if found is not None and found.is_active else AnonymousUser()
