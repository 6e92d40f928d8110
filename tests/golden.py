# SPDX-License-Identifier: Apache-2.0
"""Texts that are kept in tests/golden. With SOCKWATCH_GOLDEN=write they are written anew: read them
before you commit them."""

import os
from pathlib import Path

_FOLDER = Path(__file__).with_name("golden")


def same(text: str, name: str) -> bool:
    """Says whether a text is what is kept under that name."""
    kept = _FOLDER / name
    if os.environ.get("SOCKWATCH_GOLDEN") == "write":
        kept.write_text(text)
    return kept.read_text() == text
