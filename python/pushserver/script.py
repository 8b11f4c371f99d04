"""The two elements of ``{% pushserver_script %}``: URLs as data, and the module that reads them.

Nothing of it is inline code, so a Content-Security-Policy without ``'unsafe-inline'`` lets it be.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.http import HttpRequest
from django.template import TemplateSyntaxError
from django.templatetags.static import static
from django.utils.html import format_html, json_script
from django.utils.safestring import SafeString, mark_safe

from pushserver.utils import updates

try:
    from django.middleware.csp import get_nonce
except ImportError:  # before Django 6
    get_nonce = None  # type: ignore[assignment]

EXAMPLE = 'as in {% pushserver_script main="room-7" %}'


def script(
    channels: Mapping[str, object], request: HttpRequest | None, csp_nonce: object
) -> SafeString:
    """The elements for channels by name.

    The URLs begin with the page's request, so that it misses nothing that is published while it is
    rendered and loaded. ``csp_nonce``: that of the template's context.
    """
    if not channels:
        raise TemplateSyntaxError(f"pushserver_script: give each channel a name, {EXAMPLE}")
    urls = {name: _url(name, channel_id, request) for name, channel_id in channels.items()}
    # Django's own escaping, with an attribute that tells this block from a page's others.
    data = json_script(urls).replace(">", " data-pushserver>", 1)
    source = static("pushserver/auto.js")
    nonce = _nonce(csp_nonce, request)
    attribute = format_html(' nonce="{}"', nonce) if nonce else ""
    module = format_html('<script type="module" src="{}"{}></script>', source, attribute)
    return mark_safe(data + module)


def _url(name: str, channel_id: object, request: HttpRequest | None) -> str:
    if channel_id is None or channel_id == "":
        raise TemplateSyntaxError(
            f"pushserver_script: {name} has no channel id: is what it names in the context?"
        )
    return updates.subscriber_url(channel_id, request, since="now")


def _nonce(in_context: object, request: HttpRequest | None) -> str:
    """That of Django 6 or of django-csp; both make it when it is read, and are false until then."""
    of_django = get_nonce(request) if request and get_nonce is not None else None
    nonces = in_context, of_django, getattr(request, "csp_nonce", None)
    return next((str(nonce) for nonce in nonces if nonce is not None), "")
