"""The application; importing the checks registers them."""

from __future__ import annotations

from django.apps import AppConfig


class PushServerConfig(AppConfig):
    name = "pushserver"
    verbose_name = "Push server"

    def ready(self) -> None:
        from pushserver import checks  # noqa: F401
        from pushserver.behind import follow_launcher

        follow_launcher()
