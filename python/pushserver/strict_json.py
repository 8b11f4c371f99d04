"""JSON as RFC 8259 has it: Python's own reader also takes ``NaN`` and ``Infinity``."""

from __future__ import annotations

import json
from typing import Any


def loads(text: str, **options: Any) -> Any:
    """As ``json.loads``. Raises ``ValueError``, and ``RecursionError`` for what is too deep."""
    return json.loads(text, parse_constant=_refuse, **options)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON, and no browser reads it")
