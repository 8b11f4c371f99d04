"""To be included where the settings' ``passthrough`` URL points, with or without a final slash."""

from __future__ import annotations

from django.urls import re_path

from pushserver.views import passthrough

# The group hides from Django's urls.W002 that a slash may come first.
urlpatterns = [re_path(r"^(?:/)?$", passthrough, name="pushserver-passthrough")]
