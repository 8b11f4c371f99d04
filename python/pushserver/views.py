"""The view for notices of the daemon: a browser began or ended waiting.

It answers 403 to everybody but the daemon, because a subscription reveals a user.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.csrf import csrf_exempt

from pushserver import secrets, signals

SECRET = "HTTP_X_PUSHSERVER_SECRET"


# Without login_not_required LoginRequiredMiddleware would answer the daemon with the login page.
@csrf_exempt
@login_not_required
def passthrough(request: HttpRequest) -> HttpResponse:
    """Sends ``channel_subscribe`` or ``channel_unsubscribe`` for the subscriber's own request."""
    if request.method != "POST" or not _is_from_daemon(request):
        raise PermissionDenied
    channel_id = request.POST.get("channel_id")
    subscribe = bool(request.POST.get("subscribe"))
    unsubscribe = bool(request.POST.get("unsubscribe"))
    if not channel_id or subscribe == unsubscribe:
        raise PermissionDenied
    signal = signals.channel_subscribe if subscribe else signals.channel_unsubscribe
    # Robust: Django logs the error of a receiver, and calls the others.
    signal.send_robust(sender=passthrough, request=request, channel_id=channel_id)
    return HttpResponse()


def _is_from_daemon(request: HttpRequest) -> bool:
    # Removed, so that no receiver sees it; `headers` may have been read before.
    given = request.META.pop(SECRET, "")
    request.__dict__.pop("headers", None)
    # Behind a proxy every address is an internal one, so where a secret is set it alone decides.
    if known := secrets.passthrough_secrets():
        return any(constant_time_compare(given, secret) for secret in known)
    return request.META.get("REMOTE_ADDR") in settings.INTERNAL_IPS
