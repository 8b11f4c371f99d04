"""A room: who is in it, and what they say."""

from __future__ import annotations

import random

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from pushserver.utils import updates
from room.presence import CHANNEL, presence


def room(request: HttpRequest) -> HttpResponse:
    """The page."""
    name = request.session.setdefault("name", f"Guest {random.randint(1, 999)}")
    return render(request, "room/room.html", {"name": name, "channel": CHANNEL, "online": presence})


@require_POST
def rename(request: HttpRequest) -> HttpResponse:
    """Another name, from the next page on."""
    request.session["name"] = request.POST["name"][:40] or request.session["name"]
    return redirect("/")


@require_POST
def say(request: HttpRequest) -> HttpResponse:
    """Tells everybody who is in the room."""
    said = {"type": "said", "name": request.session["name"], "text": request.POST["text"][:1000]}
    updates.send_update(CHANNEL, said)
    return HttpResponse(status=204)
