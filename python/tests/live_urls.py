"""Pages of a live server that logs a user in, and the passthrough of its push server."""

from __future__ import annotations

from django.contrib.auth import get_user_model, login
from django.http import HttpRequest, HttpResponse
from django.urls import path

from pushserver.utils import updates
from tests.browser.urls import urlpatterns as pages


def enter(request: HttpRequest) -> HttpResponse:
    """Logs in; says where this page waits for updates."""
    login(request, get_user_model().objects.create_user("ana"))
    return HttpResponse(updates.subscriber_url("room", request))


urlpatterns = [*pages, path("enter", enter)]
