"""``channel_url`` in Django's templates and in Jinja2's."""

from __future__ import annotations

import pytest
from django.template import Context, RequestContext, Template, engines


def test_the_lines_of_the_old_documentation():
    template = Template(
        """{% load pushserver %}$.updates.subscribe({
        'main_channel': '{% filter escapejs %}{% channel_url "some_channel_id" %}{% endfilter %}'
        });"""
    )
    # escapejs writes "-" and the like as \u002D, which is the same in a script.
    text = template.render(Context()).encode().decode("unicode_escape")
    assert "'main_channel': 'http://127.0.0.1:8001/updates/some_channel_id'" in text


def test_an_id_cannot_leave_its_string():
    template = Template("{% load pushserver %}'{% channel_url id %}'")
    text = template.render(Context({"id": "'</script>\\\"&"}))
    assert text == "'http://127.0.0.1:8001/updates/%27%3C%2Fscript%3E%5C%22%26'"


def test_the_result_can_be_kept():
    template = Template("{% load pushserver %}{% channel_url 7 as url %}[{{ url }}]")
    assert template.render(Context()) == "[http://127.0.0.1:8001/updates/7]"


def test_a_page_of_localhost_subscribes_at_localhost(rf):
    request = rf.get("/", headers={"host": "localhost:8000"})
    template = Template("{% load pushserver %}{% channel_url 7 %}")
    assert template.render(RequestContext(request)) == "http://localhost:8001/updates/7"


QUERY = {"type": "subscriber", "url": "/updates", "query": "channel"}


def test_a_url_of_several_channels(settings):
    settings.PUSH_SERVER = {"locations": [QUERY]}
    template = Template("{% load pushserver %}{% channel_url 'a' rooms 7 %}")
    url = template.render(Context({"rooms": ["b", "&"]}))
    assert url == "http://127.0.0.1:8001/updates?channel=a&channel=b&channel=%26&channel=7"


@pytest.fixture
def jinja2(settings):
    engine = {
        "BACKEND": "django.template.backends.jinja2.Jinja2",
        "OPTIONS": {"extensions": ["pushserver.jinja2.PushServerExtension"]},
    }
    settings.TEMPLATES = [*settings.TEMPLATES, engine]
    return engines["jinja2"]


def test_the_jinja2_global(jinja2, rf):
    template = jinja2.from_string("{{ channel_url('a b') }}")
    assert template.render() == "http://127.0.0.1:8001/updates/a%20b"
    request = rf.get("/", headers={"host": "localhost:8000"})
    assert template.render(request=request) == "http://localhost:8001/updates/a%20b"


def test_the_jinja2_global_with_several_channels(jinja2, settings):
    settings.PUSH_SERVER = {"locations": [QUERY]}
    template = jinja2.from_string("{{ channel_url('a', ['b']) }}")
    assert template.render() == "http://127.0.0.1:8001/updates?channel=a&channel=b"
