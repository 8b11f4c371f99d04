"""A whole site: what of Django a proxy in front could spoil."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.views.decorators.csrf import ensure_csrf_cookie

from tests import allrequests_urls
from tests.browser.urls import page

gates: dict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(0))


class Members(admin.TabularInline):  # type: ignore[type-arg]
    """Its rows are added by jQuery."""

    model = User.groups.through
    extra = 0


class GroupWithMembers(GroupAdmin):
    inlines = (Members,)


admin.site.unregister(Group)
admin.site.register(Group, GroupWithMembers)


def stream(request: HttpRequest, kind: str) -> StreamingHttpResponse:
    """Each piece goes out only when it was asked for."""

    def pieces() -> Iterator[str]:
        for piece in ("one", "two", "three"):
            assert gates[kind].acquire(timeout=60)
            yield f"data: {piece}\n\n" if kind == "event-stream" else piece

    return StreamingHttpResponse(pieces(), content_type=f"text/{kind}")


def more(request: HttpRequest, kind: str) -> HttpResponse:
    gates[kind].release()
    return HttpResponse()


@ensure_csrf_cookie
def visit(request: HttpRequest) -> JsonResponse:
    visits = request.session["visits"] = request.session.get("visits", 0) + 1
    response = JsonResponse({"visits": visits, "from": request.build_absolute_uri("/")})
    response.set_cookie("first", "1")
    response.set_cookie("second", "2")
    return response


def upload(request: HttpRequest) -> HttpResponse:
    """The uploaded file back; needs the token against forgery."""
    return HttpResponse(request.FILES["file"].read(), content_type="application/octet-stream")


def hop(request: HttpRequest, kind: str) -> HttpResponse:
    return redirect("/visit" if kind == "path" else request.build_absolute_uri("/visit"))


urlpatterns = [
    *allrequests_urls.urlpatterns,
    path("admin/", admin.site.urls),
    path("page", page),
    path("stream/<kind>", stream),
    path("more/<kind>", more),
    path("visit", visit),
    path("upload", upload),
    path("hop/<kind>", hop),
]
