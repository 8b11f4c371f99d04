"""A project of one page, without a database."""

from __future__ import annotations

SECRET_KEY = "an example has no secrets"
DEBUG = True
ROOT_URLCONF = "room.urls"
STATIC_URL = "static/"
INSTALLED_APPS = ["django.contrib.sessions", "django.contrib.staticfiles", "pushserver", "room"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    },
]

PUSH_SERVER = {
    # Whoever enters still sees what was said in the last minute.
    "store": {"type": "memory", "max_messages": 50, "message_timeout": 60},
    "locations": [
        {
            "type": "subscriber",
            # A page follows several channels with one request: /updates?channel=room&channel=online
            "url": r"/updates",
            "query": "channel",
            "create_on_get": True,
            # Only pages of this project may listen: each has a token in its URL.
            "signed": True,
            "allow_origin": ["http://127.0.0.1:8000", "http://localhost:8000"],
            "allow_credentials": True,
            # Who is there is kept, and the project is told who comes and goes.
            "passthrough": "http://127.0.0.1:8000/passthrough",
            "passthrough_events": "debounced",
        },
        {"type": "publisher", "url": r"/send-update/([^/]+)", "signed": True},
    ],
}
