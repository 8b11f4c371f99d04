"""Only what the daemon needs; browser tests serve their pages from ``tests.browser``."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [path("passthrough", include("pushserver.urls"))]
