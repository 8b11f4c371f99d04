"""To be included where the settings' ``passthrough`` URL points, with or without a final slash."""

from __future__ import annotations

from django.urls import re_path

from pushserver.views import passthrough

urlpatterns = [re_path(r"^/?$", passthrough, name="pushserver-passthrough")]
