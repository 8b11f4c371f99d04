"""Pages with ``{% pushserver_script %}``, whose body a test writes."""

from __future__ import annotations

import threading

from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.urls import include, path

from pushserver.utils import updates

PAGE = """<!doctype html>
{% load static pushserver %}
<title>Tag</title>
<link rel="icon" href="data:,">
<script nonce="n">
    window.got = [];
    document.addEventListener("pushserver", ({detail}) => got.push(detail));
</script>
"""


class Pages:
    """What is asked of the pages of a test, and when a script of theirs is let go."""

    opened = 0
    loads = threading.Event()


def page(request: HttpRequest) -> HttpResponse:
    Pages.opened += 1
    template = engines["django"].from_string(PAGE + request.GET["body"])
    context = {"csp_nonce": "n" if "csp" in request.GET else None}
    response = HttpResponse(template.render(context, request))
    if "says" in request.GET:
        # Behind whatever the page says of the channel, and before the browser has the page.
        updates.send_update("room", f"{request.GET['says']} {Pages.opened}")
    if "csp" in request.GET:
        response["Content-Security-Policy"] = request.GET["csp"]
    return response


def listens_late(request: HttpRequest) -> HttpResponse:
    """A script with a listener, which takes as long as the test says."""
    Pages.loads.wait(30)
    script = """
        window.late = [];
        document.addEventListener("pushserver", ({detail}) => late.push(detail));
    """
    return HttpResponse(script, content_type="text/javascript")


urlpatterns = [
    path("tag", page),
    path("late.js", listens_late),
    path("passthrough", include("pushserver.urls")),
]
