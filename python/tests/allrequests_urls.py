"""What a test asks of the project behind the daemon."""

from __future__ import annotations

import importlib
import os
import sys

from django.conf import settings
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from pushserver import signals
from pushserver.utils import updates
from tests import urls

DOWNLOAD_BYTES = 32 << 20

events: list[tuple[str, str]] = []
try:
    reloaded = importlib.import_module("reloaded").VALUE  # what a test puts there
except ModuleNotFoundError:
    reloaded = ""


@receiver(signals.channel_subscribe)
def subscribed(channel_id: str, **kwargs: object) -> None:
    events.append(("subscribe", channel_id))


@receiver(signals.channel_unsubscribe)
def unsubscribed(channel_id: str, **kwargs: object) -> None:
    events.append(("unsubscribe", channel_id))


def environment(request: HttpRequest) -> JsonResponse:
    """What the command gave to this process."""
    (address,) = [argument for argument in sys.argv if argument.startswith("127.0.0.1:")]
    return JsonResponse(
        dict(os.environ)
        | {"reloader": os.getppid(), "upstream": f"http://{address}", "arguments": sys.argv}
    )


def client(request: HttpRequest) -> JsonResponse:
    """The client's address, as far as Django knows."""
    address = request.META["REMOTE_ADDR"]
    # The one variable of that kind which is the tests'.
    ours = {name for name in request.META if name.startswith("PUSH_SERVER_")}
    ours -= {"PUSH_SERVER_BINARY"}
    return JsonResponse(
        {
            "address": address,
            "internal": address in settings.INTERNAL_IPS,
            "port": request.get_port(),
            "fields": [name for name in request.META if name.startswith("HTTP_X_PUSHSERVER")],
            "variables": sorted(ours),
            "cookies": len(request.META.get("HTTP_COOKIE", "")),
        }
    )


@csrf_exempt
def size(request: HttpRequest) -> HttpResponse:
    """Of what is uploaded."""
    return HttpResponse(str(len(request.body)))


def download(request: HttpRequest) -> HttpResponse:
    """More than what lies between a view and a reader that stops."""
    return HttpResponse(b"x" * DOWNLOAD_BYTES)


def told(request: HttpRequest) -> JsonResponse:
    """What signals told, in order."""
    return JsonResponse(events, safe=False)


def value(request: HttpRequest) -> HttpResponse:
    """Of the module that a test changes."""
    return HttpResponse(reloaded)


def channel(request: HttpRequest) -> HttpResponse:
    """Where a page waits for updates."""
    return HttpResponse(updates.subscriber_url(request.GET["id"], request))


@csrf_exempt
def say(request: HttpRequest) -> HttpResponse:
    """Sends an update from inside a request."""
    updates.send_update(request.GET["to"], {"type": "answer", "value": request.GET["value"]})
    return HttpResponse("said")


urlpatterns = [
    *urls.urlpatterns,
    path("environment", environment),
    path("client", client),
    path("size", size),
    path("download", download),
    path("told", told),
    path("value", value),
    path("channel", channel),
    path("say", say),
]
