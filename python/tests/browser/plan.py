"""Answers to polls, one after the other as a test plans them."""

from __future__ import annotations

import threading
import time
from urllib.parse import parse_qs, urlsplit

from tests.stub import DROP, Answer

LATER = object()
"""In a plan: hold the poll until the test is over."""


class Plan:
    """Answers polls one after the other as planned, and holds those after that."""

    def __init__(self, stub, origin):
        self.stub = stub
        self.origin = origin
        self.answers = []
        self.times = []
        self.over = threading.Event()
        stub.answer = self

    def __call__(self, request):
        if request.method == "OPTIONS":
            return Answer(500)
        self.times.append(time.monotonic())
        answer = self.answers.pop(0) if self.answers else LATER
        if answer is LATER:
            self.over.wait(30)
            return DROP
        if answer is DROP:
            return DROP
        cors = {
            "Access-Control-Allow-Origin": self.origin,
            "Access-Control-Allow-Credentials": "true",
            "Access-Control-Expose-Headers": "Last-Modified, Etag, Cache-Control, X-Push-Gap",
        }
        return answer._replace(headers=cors | answer.headers)

    def cursors(self):
        """What each poll named as the last it has."""
        return [
            parse_qs(urlsplit(request.path).query).get("last_event_id", [None])[0]
            for request in self.stub.requests
        ]


def message(value, time="Thu, 01 Jan 1970 00:01:40 GMT", etag="0", **headers):
    body = b'{"type": "answer", "value": %s}' % str(value).encode()
    return Answer(200, body, {"Last-Modified": time, "Etag": etag} | headers)
