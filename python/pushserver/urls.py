"""To be included where the settings' ``passthrough`` URL points, with or without a final slash."""

from __future__ import annotations

from django.urls import re_path

from pushserver.authorize import authorize
from pushserver.views import passthrough

# The group hides from Django's urls.W002 that a slash may come first. \Z, because $ also matches
# before a line end, as in /passthrough%0A.
urlpatterns = [
    re_path(r"^(?:/)?\Z", passthrough, name="pushserver-passthrough"),
    # nginx asks here, for locations that are `signed`.
    re_path(r"^(?:/)?authorize/?\Z", authorize, name="pushserver-authorize"),
]
