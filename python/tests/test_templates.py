"""``channel_url`` and ``pushserver_script`` in Django's templates and in Jinja2's."""

from __future__ import annotations

import json
import re
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.core.exceptions import SynchronousOnlyOperation
from django.template import Context, RequestContext, Template, TemplateSyntaxError, engines
from django.utils.functional import SimpleLazyObject


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


def urls_in(text):
    """The URLs by name in the data block of a script tag, and what stands behind the block."""
    before, _, rest = text.partition('<script type="application/json" data-pushserver>')
    assert before == ""
    data, _, behind = rest.partition("</script>")
    return json.loads(data), behind


def rendered(tag, context=None, request=None):
    template = Template("{% load pushserver %}" + tag)
    if request is None:
        return template.render(Context(context))
    return template.render(RequestContext(request, context))


MODULE = '<script type="module" src="/static/pushserver/auto.js"></script>'


def test_the_script_tag_has_the_urls_as_data_and_no_code(rf):
    before = int(time.time())
    request = rf.get("/", headers={"host": "localhost:8000"})
    tag = "{% pushserver_script main='room-7' other=object.pk many=ids %}"
    text = rendered(tag, {"object": {"pk": 7}, "ids": ["only"]}, request)
    urls, behind = urls_in(text)
    assert behind == MODULE
    assert list(urls) == ["main", "other", "many"]
    for url, channel in zip(urls.values(), ["room-7", "7", "only"], strict=True):
        place, _, since = url.partition("?since=")
        assert place == f"http://localhost:8001/updates/{channel}"
        assert before - 2 <= int(since) < time.time()


def test_the_urls_of_the_script_tag_are_signed_and_of_several_channels(settings, rf):
    settings.PUSH_SERVER = {"locations": [QUERY | {"signed": True}]}
    urls, _ = urls_in(rendered("{% pushserver_script all=ids %}", {"ids": ["a", "&"]}, rf.get("/")))
    query = parse_qs(urlsplit(urls["all"]).query)
    assert query["channel"] == ["a", "&"]
    assert len(query["since"]) == len(query["token"]) == 1


def test_nothing_leaves_the_data_block(jinja2, settings):
    settings.PUSH_SERVER = {"locations": [{"type": "subscriber", "prefix": "/&/"}]}
    text = jinja2.from_string("{{ pushserver_script(**names) }}").render(
        {"names": {"</script><!--": 7}}
    )
    urls, behind = urls_in(text)
    assert urls["</script><!--"].startswith("http://127.0.0.1:8001/&/7")
    assert behind == MODULE
    assert text.count("<") == 4
    assert "&" not in text


class Lazy(SimpleLazyObject):
    """A nonce that is false until it is read, as those of Django 6 and of django-csp."""

    def __bool__(self):
        return False


def nonce():
    return Lazy(lambda: 'a"b')


@pytest.mark.parametrize("is_djangos", [True, False])
def test_the_module_has_the_nonce_of_the_page(rf, is_djangos):
    request = rf.get("/")
    context = {"csp_nonce": nonce()} if is_djangos else {"csp_nonce": None}
    request.csp_nonce = None if is_djangos else nonce()
    _, behind = urls_in(rendered("{% pushserver_script main=7 %}", context, request))
    assert behind == MODULE.replace('js"', 'js" nonce="a&quot;b"')


@pytest.mark.parametrize("tag", ["{% pushserver_script main=7 %}", "{% channel_url 7 user=None %}"])
def test_a_part_that_sees_nothing_of_the_page_is_of_its_request(settings, rf, tag):
    part = Template("{% load pushserver %}" + tag)
    request = rf.get("/", headers={"host": "localhost:8000"})
    request.user = User(pk=42)
    request._csp_nonce = request.csp_nonce = "n"  # of Django 6, and of django-csp
    settings.PUSH_SERVER = {"locations": [QUERY | {"signed": True}]}
    text = rendered("{% include part only %}", {"part": part}, request)
    assert "http://localhost:8001/updates?channel=7" in text
    if "script" in tag:
        urls, behind = urls_in(text)
        assert behind == MODULE.replace('js"', 'js" nonce="n"')
        (token,) = parse_qs(urlsplit(urls["main"]).query)["token"]
        assert signing.loads(token, salt="pushserver.channel")["u"] == "42"


@pytest.mark.parametrize("tag", ["pushserver_script main=7", "channel_url 7"])
def test_an_asynchronous_page_is_told_to_fetch_its_user(settings, rf, tag):
    def fetch():
        raise SynchronousOnlyOperation("of the database")

    settings.PUSH_SERVER = {"locations": [QUERY | {"signed": True}]}
    request = rf.get("/")
    request.user = SimpleLazyObject(fetch)
    with pytest.raises(SynchronousOnlyOperation, match=re.escape("request.user = await request.")):
        rendered(f"{{% {tag} %}}", {}, request)


@pytest.mark.parametrize("location", [QUERY, {"type": "subscriber", "url": "/updates/([^/]+)"}])
@pytest.mark.parametrize(
    ("channel_id", "said"), [("", "the channel id is empty"), ("\udcc3", "is no text")]
)
def test_an_id_that_is_none_is_told(settings, location, channel_id, said):
    settings.PUSH_SERVER = {"locations": [location]}
    with pytest.raises(ValueError, match=said):
        rendered("{% channel_url id %}", {"id": channel_id})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "give each channel a name, as in {% pushserver_script main="),
        ("'room-7'", "\"'room-7'\" is not of the form name=channel"),
        ("my-room='room-7'", "is not of the form name=channel, as in"),
        ("7='room-7'", "does not begin with a digit"),
        ("main=", "'main=' is not of the form name=channel"),
        ("main=7 as tag", "'as' is not of the form name=channel"),
        ("main=7 main=8", "two channels have the name 'main'"),
        ("main=unknown", "main has no channel id: is what it names in the context?"),
        ("main=None", "main has no channel id"),
    ],
)
def test_a_script_tag_that_cannot_be_says_how_it_can(arguments, said):
    with pytest.raises(TemplateSyntaxError, match=re.escape(said)):
        rendered(f"{{% pushserver_script {arguments} %}}")


def test_the_script_tag_in_jinja2(jinja2, rf):
    template = jinja2.from_string("{{ pushserver_script(main='room-7', other=7) }}")
    urls, behind = urls_in(template.render())
    assert urls["main"].startswith("http://127.0.0.1:8001/updates/room-7?since=")
    assert list(urls) == ["main", "other"]
    assert behind == MODULE
    request = rf.get("/", headers={"host": "localhost:8000"})
    request.csp_nonce = nonce()
    urls, behind = urls_in(template.render(request=request))
    assert urls["other"].startswith("http://localhost:8001/updates/7?since=")
    assert behind == MODULE.replace('js"', 'js" nonce="a&quot;b"')


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "give each channel a name"),
        ("'room-7'", 'as in {{ pushserver_script(main="room-7") }}'),
        ("main=unknown", "main has no channel id"),
    ],
)
def test_a_script_in_jinja2_that_cannot_be_says_how_it_can(jinja2, arguments, said):
    template = jinja2.from_string(f"{{{{ pushserver_script({arguments}) }}}}")
    with pytest.raises(TemplateSyntaxError, match=re.escape(said)):
        template.render()
