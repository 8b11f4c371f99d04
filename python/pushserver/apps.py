"""The application; importing the checks registers them."""

from __future__ import annotations

from django.apps import AppConfig


class PushServerConfig(AppConfig):
    name = "pushserver"
    verbose_name = "Push server"

    def ready(self) -> None:
        from django.core.signals import request_started

        from pushserver import checks, cursor  # noqa: F401
        from pushserver.behind import follow_launcher

        follow_launcher()
        # For `since="now"` in pages. Less than a microsecond of each request.
        request_started.connect(cursor.note_beginning, dispatch_uid="pushserver.since")
