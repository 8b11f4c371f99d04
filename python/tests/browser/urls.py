"""Pages that subscribe with both scripts."""

from __future__ import annotations

import os
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.urls import include, path

PAGE = """<!doctype html>
{% load static pushserver %}
<title>updates</title>
<link rel="icon" href="data:,">
<script nonce="n">
    window.got = {jquery: [], module: []};
    window.events = [];
    // The scripts' pauses: kept, and where a test says so cut short or without end.
    window.pauses = [];
    const OTHERS = [500, 1000, 2000, 5000, 10000]; // what the module waits for otherwise
    const SHORT = [{{ short }}]; // and what of it is ten times shorter
    const setTimer = window.setTimeout;
    window.setTimeout = (callback, ms) => {
        if (ms > 0 && ms <= 30000 && !OTHERS.includes(ms)) {
            pauses.push(ms);
            ms = {quick: 1, endless: 1000000}["{{ pauses }}"] ?? ms;
        }
        return setTimer(callback, SHORT.includes(ms) ? ms / 10 : ms);
    };
</script>
<script src="{{ jquery }}"></script>
<script src="{% static 'pushserver/updates.js' %}"></script>
<script nonce="n" type="text/javascript">
    $.updates.registerProcessor('main_channel', 'answer', function (data) {
        got.jquery.push(data.value);
        if (data.value === "throw") {
            throw new Error("a processor's fault");
        }
    });
    {% if "jquery" in scripts %}
    $.updates.subscribe({
        'main_channel': '{% filter escapejs %}{% channel_url channel since=since %}{% endfilter %}'
    });
    {% endif %}
</script>
<script nonce="n" type="module">
    import updates from "{% static 'pushserver/updates.module.js' %}";
    window.updates = updates;
    for (const type of ["message", "state", "gap"]) {
        updates.addEventListener(type, (event) => events.push({type, ...event.detail}));
    }
    updates.registerProcessor("main", "answer", (data) => {
        got.module.push(data.value);
        if (data.value === "throw") {
            throw new Error("a processor's fault");
        }
    });
    {% if "module" in scripts %}
    updates.subscribe({
        main: "{% filter escapejs %}{% channel_url channel since=since %}{% endfilter %}"
    });
    {% endif %}
    updates.subscribe(JSON.parse("{{ urls|escapejs }}"));
</script>
"""


def page(request: HttpRequest) -> HttpResponse:
    template = engines["django"].from_string(PAGE)
    context = {
        "channel": request.GET["channel"],
        "since": request.GET.get("since"),
        "scripts": request.GET.get("scripts", "jquery module"),
        "pauses": request.GET.get("pauses", ""),
        "short": request.GET.get("short", ""),
        "urls": request.GET.get("urls", "{}"),  # what the module subscribes to besides
        "jquery": request.GET.get("jquery", "/static/admin/js/vendor/jquery/jquery.js"),
    }
    response = HttpResponse(template.render(context, request))
    if "csp" in request.GET:
        response["Content-Security-Policy"] = request.GET["csp"]
    return response


def other_jquery(request: HttpRequest) -> HttpResponse:
    """The one that npm has, newer than the admin's."""
    script = Path(os.environ["PUSHSERVER_TEST_JQUERY"])  # python/tests/run installs it
    return HttpResponse(script.read_bytes(), content_type="text/javascript")


def nchan(request: HttpRequest) -> HttpResponse:
    """A page with Nchan's own client."""
    script = Path(os.environ["PUSHSERVER_TEST_NODE_MODULES"], "nchan/NchanSubscriber.js")
    head = '<!doctype html><title>clients</title><link rel="icon" href="data:,">'
    return HttpResponse(f"{head}<script>{script.read_text()}</script>")


urlpatterns = [
    path("nchan", nchan),
    path("page", page),
    path("jquery4.js", other_jquery),
    path("passthrough", include("pushserver.urls")),
]
