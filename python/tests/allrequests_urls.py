"""What a test asks of the project behind the daemon."""

from __future__ import annotations

import os

from django.http import HttpRequest, JsonResponse
from django.urls import path

from tests import urls


def environment(request: HttpRequest) -> JsonResponse:
    """What the command gave to this process."""
    return JsonResponse(dict(os.environ) | {"reloader": os.getppid()})


urlpatterns = [*urls.urlpatterns, path("environment", environment)]
