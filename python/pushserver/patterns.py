"""Patterns of locations, percent-encoded as in the path of a request.

The daemon does the same with the parsed expression (``src/relay/location/spelling.rs``), and also
matches other spellings; this module has the one that URLs are made of. ``tests/locations.json``
tests both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

BYTES_MAX = 8 << 10

# Characters that clients encode in a path, as RFC 3986 section 3.3 does not allow them there.
# Without "?", which ends the path, and controls: no path has what they mean in a pattern.
_ENCODED_ASCII = ' "#<>[\\]^`{|}'
_ENCODED = frozenset(_ENCODED_ASCII.encode()) | frozenset(range(0x80, 0x100))

_CONTROLS = {"a": b"\a", "f": b"\f", "n": b"\n", "r": b"\r", "t": b"\t", "v": b"\v"}

_TOKEN = re.compile(
    r"""
      (?P<byte> \\x[0-9a-fA-F]{2} )
    | (?P<code> \\u[0-9a-fA-F]{4} | \\U[0-9a-fA-F]{8} )
    | (?P<control> \\[afnrtv] )
    | (?P<special> \\[0-9A-Za-z] | \(\?P?<[^>]*> | \(\?[a-zA-Z-]*[:)]? | [.^$()|] )
    | (?P<repetition> (?: [*+?] | \{[0-9]*,?[0-9]*\} ) [+?]? )
    | (?P<class> \[\^?\]?(?:\\.|[^\]\\])*\] )
    | \\?(?P<character> . )
    """,
    re.DOTALL | re.VERBOSE,
)
_VERBOSE_TOKEN = re.compile(r"(?P<ignored> \s | \#[^\n]* ) |" + _TOKEN.pattern, _TOKEN.flags)


def encoded_prefix(prefix: str) -> str:
    """A ``prefix`` as it stands in a path."""
    return "".join(_pieces(prefix.encode(), is_whole=True))


def check_length(pattern: str) -> None:
    """Raises ``ValueError`` for a pattern that the daemon refuses as too long."""
    if (size := len(pattern.encode())) > BYTES_MAX:
        raise ValueError(f"{size} bytes, and a pattern can have {BYTES_MAX}")


def encoded(expression: str) -> str:
    """A ``url`` that matches paths as they are sent. Raises ``ValueError`` where none can match."""
    parts: list[str] = []
    text = required = b""
    depth = 0
    has_alternatives = False
    before = ""
    for kind, token, literal, is_repeated in _tokens(expression):
        if token == ")" and re.fullmatch(r"\((?:\?P?<[^>]*>)?", before):
            raise ValueError("the group takes no character, but is the channel id; write ([^/]+)")
        before = token
        if literal and not is_repeated:
            text += literal
            required += literal if depth == 0 else b""
            continue
        parts.append(_text(text))
        text = b""
        if literal:
            parts.append(f"(?:{_text(literal)})")
        else:
            parts.append(_class(token) if kind == "class" else token)
        if kind == "special":
            depth += (token[0] == "(" and token[-1] != ")") - (token == ")")
            has_alternatives |= token == "|" and depth == 0
    if not has_alternatives:
        check_text(required.decode(errors="replace"))
    return "".join([*parts, _text(text)])


def check_text(text: str) -> None:
    """Raises ``ValueError`` where this text is in no path."""
    if "?" in text:
        raise ValueError(
            "no path has a '?', where the query begins; write %3F for a question mark in the path"
        )
    if re.search("[\0-\x1f\x7f]", text):
        raise ValueError("no path has a control character; leave it out")


def _tokens(expression: str) -> Iterator[tuple[str, str, bytes, bool]]:
    """Kind, source, the bytes that it matches if it is text, and whether it is repeated."""
    if re.compile(expression).flags & re.VERBOSE:
        expression = _compact(expression)
    matches = list(_TOKEN.finditer(expression))
    for match, following in zip(matches, [*matches[1:], None], strict=True):
        kind, token = match.lastgroup or "", match[0]
        literal = b""
        if kind == "byte":
            literal = bytes([int(token[2:], 16)])
        elif kind == "code":
            literal = chr(int(token[2:], 16)).encode(errors="surrogatepass")
        elif kind == "control":
            literal = _CONTROLS[token[1]]
        elif kind == "character":
            literal = match["character"].encode(errors="surrogatepass")
        yield kind, token, literal, following is not None and following.lastgroup == "repetition"


def _compact(expression: str) -> str:
    """Without the spaces and comments of ``(?x)``, and without that flag."""
    kept = ""
    for match in _VERBOSE_TOKEN.finditer(expression):
        if re.fullmatch(r"\(\?[a-zA-Z]+\)", match[0]):
            kept += match[0].replace("x", "").replace("(?)", "")
        elif match.lastgroup == "class":
            # The daemon's parser overlooks spaces there too.
            kept += re.sub(r"(\\.)|\s", r"\1", match[0])
        elif match.lastgroup != "ignored":
            kept += match[0]
    return kept


def _text(text: bytes) -> str:
    path = "".join(_pieces(text, is_whole=False))
    # The first and the last segment may go on beyond this text.
    segments = re.sub("%2E", ".", path).split("/")[1:-1]
    if "." in segments or ".." in segments:
        raise ValueError(
            "no path has a segment '.' or '..', since clients resolve them; leave it out"
        )
    return re.escape(path)


def _pieces(text: bytes, *, is_whole: bool) -> Iterator[str]:
    """Each byte as it stands in a path.

    A ``%`` that begins no ``%XX`` is a percent sign; but at the end, where the digits may follow,
    only if the text is whole.
    """
    at = 0
    while at < len(text):
        if re.match(rb"%[0-9a-fA-F]{2}", text[at:]):
            yield text[at : at + 3].decode().upper()
            at += 3
            continue
        is_sign = text[at] == ord("%") and (
            is_whole or not re.fullmatch(rb"[0-9a-fA-F]?", text[at + 1 :])
        )
        byte = text[at]
        yield f"%{byte:02X}" if is_sign or byte in _ENCODED else chr(byte)
        at += 1


def _class(source: str) -> str:
    """A class, with the encoded forms of its members."""
    if not source.isascii() or re.search(r"\\u(?!00[0-7])|\\U(?!000000[0-7])", source):
        raise ValueError(
            f"the class {source!r} can have only ASCII characters, since a path has others "
            "percent-encoded; write alternatives, as in (?:ä|ö)"
        )
    members = [f"%{ord(member):02X}" for member in _ENCODED_ASCII if re.match(source, member)]
    # As in the daemon: with "%" it takes what is encoded byte by byte, and a negated one without
    # "%" leaves that out on purpose.
    if not members or source.startswith("[^") or re.match(source, "%"):
        return source
    return f"(?:{source}|{'|'.join(members)})"
