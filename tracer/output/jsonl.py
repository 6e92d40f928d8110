# SPDX-License-Identifier: Apache-2.0
"""JSON, a line at a time."""

import json
from typing import Any, Final

_encode: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


_SURROGATE: Final = "\\ud"  # how the escape of one begins


def to_json(value: Any) -> str:
    """Returns one line of pure ASCII, without spaces: safe for any terminal and any parser. Half a
    surrogate pair, which is what Python makes of a byte that is not UTF-8, becomes its escape as
    text: many parsers refuse such a half (RFC 8259, section 8.2)."""
    text = _encode(value)
    return _encode(_whole(value)) if _SURROGATE in text else text


def _whole(value: Any) -> Any:
    """Returns the value with half pairs as text."""
    if isinstance(value, str):
        return value.encode("utf-8", errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_whole(name): _whole(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return list(map(_whole, value))
    return value
