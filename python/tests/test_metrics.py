"""What the daemon counts, as Prometheus' own parsers read it."""

from __future__ import annotations

import urllib.request

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

from pushserver.test import PushServer
from pushserver.utils import updates


@pytest.fixture
def served():
    with PushServer() as server:
        updates.send_update("room", {"value": 1})
        with urllib.request.urlopen(updates.subscriber_url("room"), timeout=20) as answer:
            answer.read()
        yield f"{server.url}/pushserver/metrics"


def fetch(url, accept):
    request = urllib.request.Request(url, headers={"Accept": accept} if accept else {})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def values(families):
    """Each sample once, by its name and labels."""
    found = {}
    for family in families:
        assert family.name.startswith(("pushserver_", "process_")), family.name
        assert family.type in ("counter", "gauge", "histogram"), family.name
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def test_both_formats_are_what_the_parsers_of_prometheus_read(served):
    kind, text = fetch(served, "")
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    assert len(text.encode()) <= 8192
    plain = values(parser.text_string_to_metric_families(text))
    kind, text = fetch(served, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert len(text.encode()) <= 8192
    # Strict: counters end in _total, buckets only grow, and the end is marked.
    strict = values(openmetrics.text_string_to_metric_families(text))
    assert plain.keys() == strict.keys()
    for each in (plain, strict):
        assert each["pushserver_messages_published_total", ()] == 1
        assert each["pushserver_messages_delivered_total", ()] == 1
        assert each["pushserver_channels", ()] == 1
