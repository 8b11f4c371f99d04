"""A room: who is in it, and what they say."""

from __future__ import annotations

import random
import secrets

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from pushserver.utils import updates
from room.presence import ONLINE, ROOM, names


def room(request: HttpRequest) -> HttpResponse:
    """The page, with its three channels: what is said, who is there, and the visitor's own."""
    name = request.session.setdefault("name", f"Guest {random.randint(1, 999)}")
    own = request.session.setdefault("own", secrets.token_urlsafe())
    channels = {"room": ROOM, "who": ONLINE, "own": own}
    return render(request, "room/room.html", {"name": name, "online": names(), **channels})


@require_POST
def rename(request: HttpRequest) -> HttpResponse:
    """Another name, which the visitor's other tabs have, too."""
    name = request.session["name"] = request.POST["name"][:30].strip() or request.session["name"]
    updates.send_update(request.session["own"], {"type": "renamed", "name": name})
    return redirect("/")


@require_POST
def say(request: HttpRequest) -> HttpResponse:
    """Tells everybody who is in the room."""
    said = {"type": "said", "name": request.session["name"], "text": request.POST["text"][:1000]}
    updates.send_update(ROOM, said)
    return HttpResponse(status=204)
