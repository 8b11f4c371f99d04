"""The page, what it posts, and where the push server tells of subscribers."""

from __future__ import annotations

from django.urls import include, path

from room import views

urlpatterns = [
    path("", views.room),
    path("name", views.rename, name="rename"),
    path("say", views.say, name="say"),
    path("passthrough", include("pushserver.urls")),
]
