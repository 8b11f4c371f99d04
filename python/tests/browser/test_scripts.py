"""Both scripts against a server that answers as each test says: every turn a poll can take."""

from __future__ import annotations

import time

import pytest

from tests.browser.plan import message
from tests.stub import DROP, Answer


@pytest.fixture(params=["jquery", "module"])
def script(request):
    return request.param


def pauses(browser):
    """The milliseconds that polls paused."""
    return browser.run("return window.pauses")


def values(browser, script):
    return browser.run("return window.got[arguments[0]]", script)


def test_the_cursor_follows_without_asking_leave_first(plan, page, script, wait_for):
    plan.answers = [message(1), message(2, etag='"1"'), message(3, etag='W/"2"')]
    browser = page("room", scripts=script)
    wait_for(lambda: len(plan.times) == 4)
    assert values(browser, script) == [1, 2, 3]
    assert plan.cursors() == [None, "100:0", "100:1", "100:2"]
    assert {request.method for request in plan.stub.requests} == {"GET"}
    for request in plan.stub.requests:
        assert "if-none-match" not in request.headers
        assert "if-modified-since" not in request.headers
    assert browser.log() == []


def test_a_tag_that_may_not_be_read_is_found_in_cache_control(plan, page, script, wait_for):
    hidden = {"Access-Control-Expose-Headers": "", "Cache-Control": "no-cache, etag=7"}
    plan.answers = [message(1, etag="7", **hidden)]
    page("room", scripts=script)
    wait_for(lambda: plan.cursors() == [None, "100:7"])


REWRITTEN_TAGS = [
    *["3", '"3"', 'W/"3"', "W/3", 'w/"3"', '3"', 'W/3"'],
    *['"3-gzip"', '3-gzip"', 'W/"3-gzip"', "3--gzip", '"3;br"', '"3"-gzip', '3"-gzip', '"3-br-x2"'],
]
UNREADABLE_TAGS = [
    *["*", '""', "abc", "-3", "3, 3", '"3", "3"', "3:1", "3 gzip", '"3'],
    *['"3-1"', '"3-gzip', '"3-"', '"3:br"', '"3"4"', 'W/"W/3"', "12345678901"],
]


def test_tags_as_caches_rewrite_them(plan, page, script, wait_for):
    plan.answers = [message(value, etag=tag) for value, tag in enumerate(REWRITTEN_TAGS)]
    browser = page("room", scripts=script)
    wait_for(lambda: len(plan.times) == len(REWRITTEN_TAGS) + 1)
    assert plan.cursors() == [None, *["100:3"] * len(REWRITTEN_TAGS)]
    assert browser.log() == []


@pytest.mark.parametrize("told", ["no-cache, no-transform, etag=7", 'ETag="7",private'])
def test_a_tag_that_cannot_be_read_is_found_in_cache_control(plan, page, script, wait_for, told):
    plan.answers = [
        message(value, etag=tag, **{"Cache-Control": told})
        for value, tag in enumerate(UNREADABLE_TAGS)
    ]
    browser = page("room", scripts=script)
    wait_for(lambda: len(plan.times) == len(UNREADABLE_TAGS) + 1)
    assert plan.cursors() == [None, *["100:7"] * len(UNREADABLE_TAGS)]
    assert browser.log() == []


@pytest.mark.parametrize("connects", [True, False])
def test_a_content_security_policy_has_to_let_pages_connect(plan, page, script, wait_for, connects):
    policy = "default-src 'none'; img-src data:; script-src 'self' 'nonce-n'; connect-src "
    plan.answers = [message(1)]
    source = f"http://{plan.stub.host}" if connects else "'self'"
    browser = page("room", scripts=script, csp=policy + source)
    if connects:
        wait_for(lambda: values(browser, script) == [1])
        assert browser.log() == []
    else:
        wait_for(lambda: any("connect-src" in line for line in browser.log()))
        assert plan.times == []


@pytest.mark.parametrize("status", [304, 408])
def test_a_poll_that_was_held_and_brought_nothing_is_repeated_at_once(
    plan, page, script, wait_for, status
):
    def hold(request):
        if len(plan.times) == 1:
            time.sleep(1.1)
        return plan(request)

    plan.answers = [message(1), Answer(status)]
    plan.stub.answer = hold
    browser = page("room", scripts=script, pauses="endless")
    wait_for(lambda: plan.cursors() == [None, "100:0", "100:0"])
    assert pauses(browser) == []


def test_interval_polling_is_not_a_busy_loop(plan, page, script, wait_for):
    plan.answers = [message(1), Answer(304), Answer(304)]
    browser = page("room", scripts=script)
    wait_for(lambda: len(plan.times) == 4)
    assert len(pauses(browser)) == 2
    assert plan.times[2] - plan.times[1] > 0.9
    assert plan.times[3] - plan.times[2] > 0.9


# Twice dropped, since the browser itself tries once more on a connection that it had open.
@pytest.mark.parametrize("errors", [[DROP, DROP], [Answer(503)], [Answer(429)], [Answer(410)]])
def test_after_an_error_it_goes_on_where_it_was(plan, page, script, wait_for, errors):
    plan.answers = [message(1), *errors, message(2, etag="1")]
    browser = page("room", scripts=script, pauses="quick")
    wait_for(lambda: len(plan.times) == 3 + len(errors))
    assert values(browser, script) == [1, 2]
    (pause,) = pauses(browser)
    assert 500 <= pause <= 1000
    assert plan.cursors()[-1] == "100:1"


def test_pauses_grow_while_errors_last(plan, page, script, wait_for):
    plan.answers = [*[Answer(503)] * 7, message(1), Answer(503)]
    browser = page("room", scripts=script, pauses="quick")
    wait_for(lambda: len(plan.times) == 10)
    most = [1000, 2000, 4000, 8000, 16000, 30000, 30000, 1000]
    for pause, most_ms in zip(pauses(browser), most, strict=True):
        assert most_ms / 2 <= pause <= most_ms


def test_an_update_that_is_no_json_stops_nothing(plan, page, script, wait_for):
    broken = message(0)._replace(body=b"{")
    plan.answers = [broken, message(0)._replace(body=b""), message(2, etag="1")]
    browser = page("room", scripts=script)
    wait_for(lambda: plan.cursors() == [None, "100:0", "100:0", "100:1"])
    assert values(browser, script) == [2]
    assert any("not JSON" in line for line in browser.log())


def test_a_processor_that_throws_stops_nothing(plan, page, script, wait_for):
    plan.answers = [message('"throw"'), message(2, etag="1")]
    browser = page("room", scripts=script)
    wait_for(lambda: values(browser, script) == ["throw", 2])
    wait_for(lambda: any("a processor's fault" in line for line in browser.log()))


def test_an_answer_of_no_push_server_is_not_processed_over_and_over(plan, page, script, wait_for):
    plan.answers = [Answer(200, b'{"type": "answer", "value": 1}')] * 3
    browser = page("room", scripts=script)
    wait_for(lambda: len(plan.times) == 2)
    assert values(browser, script) == []
    if script == "jquery":
        assert any("is it a push server?" in line for line in browser.log())


def test_a_page_that_comes_back_goes_on_where_it_was(plan, page, script, wait_for):
    plan.answers = [message(1)]
    browser = page("room", scripts=script)
    wait_for(lambda: len(plan.times) == 2)
    plan.answers = [message(2, etag="1")]
    browser.run(
        """
        for (const type of ["pagehide", "pageshow", "pageshow"]) {
            dispatchEvent(new PageTransitionEvent(type, {persisted: true}));
        }
        """
    )
    wait_for(lambda: values(browser, script) == [1, 2])
    wait_for(lambda: len(plan.times) == 4)
    assert plan.cursors() == [None, "100:0", "100:0", "100:1"]
    assert browser.log() == []


def test_being_online_again_ends_a_pause(plan, page, script, wait_for):
    plan.answers = [Answer(503), message(1)]
    browser = page("room", scripts=script, pauses="endless")
    wait_for(lambda: pauses(browser))
    browser.run("dispatchEvent(new Event('online'))")
    wait_for(lambda: values(browser, script) == [1])


def test_a_gap_is_told(plan, page, script, wait_for):
    plan.answers = [
        message(1, **{"X-Push-Gap": "3"}),
        message(2, etag="1", **{"X-Push-Gap": "unknown"}),
    ]
    browser = page("room", scripts=script)
    wait_for(lambda: values(browser, script) == [1, 2])
    if script == "module":
        gaps = "return window.events.filter((event) => event.type === 'gap')"
        assert browser.run(gaps) == [
            {"type": "gap", "name": "main", "missed": 3},
            {"type": "gap", "name": "main", "missed": None},
        ]
    else:
        assert [line for line in browser.log() if "lost" in line and line.endswith('3"')]


def states(browser):
    return browser.run(
        "return window.events.filter((event) => event.type === 'state').map((event) => event.state)"
    )


def test_states_of_a_channel(plan, page, wait_for):
    plan.answers = [message(1), Answer(503)]
    browser = page("room", scripts="module", pauses="quick")
    wait_for(lambda: states(browser) == ["connecting", "open", "waiting", "open"])
    assert browser.run("return window.updates.state('main')") == "open"
    (waiting,) = browser.run("return window.events.filter((event) => event.state === 'waiting')")
    assert 500 <= waiting["retryMs"] <= 1000
    error = "return window.events.find((event) => event.state === 'waiting').error.message"
    assert "answered 503" in browser.run(error)


@pytest.mark.parametrize("answers", [[Answer(404)], [Answer(410), Answer(404)], [Answer(410)] * 2])
def test_a_channel_that_is_gone_ends(plan, page, wait_for, answers):
    plan.answers = [message(1), *answers]
    browser = page("room", scripts="module", pauses="quick")
    wait_for(lambda: states(browser)[-1] == "closed")
    closed = "return window.events.find((event) => event.state === 'closed').error.message"
    assert f"answered {answers[-1].status}" in browser.run(closed)
    assert browser.run("return window.updates.state('main')") == "closed"
    # It may be subscribed again, from the beginning.
    browser.run("window.updates.subscribe({main: arguments[0]})", f"http://{plan.stub.host}/x")
    wait_for(lambda: len(plan.times) == 2 + len(answers))
    assert plan.cursors() == [None, *["100:0"] * len(answers), None]


def test_unsubscribing_ends_polls_and_updates(plan, page, wait_for):
    browser = page("room", scripts="module")
    wait_for(lambda: len(plan.times) == 1)
    browser.run("window.updates.unsubscribe('main', 'unknown')")
    assert browser.run("return window.updates.state('main')") == "closed"
    assert states(browser)[-1] == "closed"
    browser.run("window.updates.subscribe({main: arguments[0]})", f"http://{plan.stub.host}/x")
    wait_for(lambda: len(plan.times) == 2)


def test_a_processor_is_taken_back(plan, page, wait_for):
    browser = page("room", scripts="")
    plan.answers = [message(1), message(2, etag="1")]
    browser.run(
        """
        window.took = [];
        const take = (data) => took.push(data.value);
        const takeBack = updates.registerProcessor("main", "answer", take);
        updates.registerProcessor("main", "answer", () => takeBack());
        updates.subscribe({main: arguments[0]});
        """,
        f"http://{plan.stub.host}/x",
    )
    wait_for(lambda: values(browser, "module") == [1, 2])
    assert browser.run("return window.took") == [1]


def test_a_name_that_is_subscribed_stays(plan, page, script, wait_for):
    browser = page("room", scripts=script)
    wait_for(lambda: len(plan.times) == 1)
    browser.run(
        """
        const [script, url] = arguments;
        const [api, name] = script === "jquery" ? [$.updates, "main_channel"] : [updates, "main"];
        api.subscribe({[name]: url + "/again", other: url + "/other", no: ""});
        """,
        script,
        f"http://{plan.stub.host}",
    )
    wait_for(lambda: len(plan.times) == 2)
    assert plan.stub.requests[1].path.startswith("/other")
