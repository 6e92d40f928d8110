# SPDX-License-Identifier: Apache-2.0
"""JSON, a line at a time."""

import json
from typing import Any, Final

_encode: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def to_json(value: Any) -> str:
    """Returns one line of pure ASCII, without spaces: safe for any terminal and any parser."""
    return _encode(value)
