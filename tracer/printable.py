# SPDX-License-Identifier: Apache-2.0
"""Makes text safe to show. Anybody may name a process, a device, a unit or a namespace, and must
not be able to move the cursor, to reorder the line, or to look like nothing or like something else.
"""

import re
from functools import lru_cache
from typing import Final

_SIMPLE: Final = "\u0300"  # below it, a character that prints does so in one column
_RIGHT_TO_LEFT: Final = ("R", "AL", "AN")  # they reorder what stands beside them: UAX #9
# Letters and signs that are blank, or drawn into what stands before them: Hangul fillers, vowels
# and finals, the empty Braille pattern, a notehead, hieroglyphs.
_INVISIBLE: Final = frozenset(
    map(chr, (0x115F, *range(0x1160, 0x1200), 0x2800, 0x3164, *range(0xD7B0, 0xD800), 0xFFA0,
              0x13441, 0x13442, 0x1D159))
)  # fmt: skip
# what makes an escape of a backslash before it
_ESCAPE: Final = re.compile(
    r"[\\nrt]|x(?:[0189][0-9a-f]|7f|a0|ad)|u[0-9a-f]{4}|U[0-9a-f]{8}", re.ASCII
)


def is_plain(text: str) -> bool:
    """Says whether text is shown as it is, a column for each character."""
    return text.isascii() and text.isprintable() and "\\" not in text


def safe(text: str) -> str:
    """Returns what to show: one line, with Python's escapes for what has no place or none of its
    own. It can be read back: a backslash is doubled where it would read as such an escape."""
    if is_plain(text):
        return text
    parts: list[str] = []
    after = ""  # as much as an escape may have behind its backslash
    for character in reversed(text):
        parts.append(_before(after, character))
        after = (parts[-1] + after)[:9]
    return "".join(reversed(parts))


def width(text: str) -> int:
    """Returns how many columns safe text takes on a terminal."""
    return len(text) if text.isascii() else _width(text)


def _before(after: str, character: str) -> str:
    """Returns how a character is shown before what follows it."""
    if character == "\\":
        return "\\\\" if _ESCAPE.match(after) else character
    return character if _shows(character) else character.encode("unicode_escape").decode()


@lru_cache(maxsize=4096)
def _shows(character: str) -> bool:
    """Says whether a character shows, by itself and in its place."""
    if character < _SIMPLE or not character.isprintable():
        return character.isprintable()
    from unicodedata import bidirectional, category  # noqa: PLC0415 (few runs need it)

    return (
        not category(character).startswith("M")  # a mark upon the one before it
        and bidirectional(character) not in _RIGHT_TO_LEFT
        and character not in _INVISIBLE
        and _columns(character) > 0
    )


@lru_cache(maxsize=4096)
def _width(text: str) -> int:
    return sum(map(_columns, text))


@lru_cache(maxsize=4096)
def _columns(character: str) -> int:
    if character < _SIMPLE:
        return 1
    from wcwidth import wcwidth  # noqa: PLC0415 (few runs need it)

    columns: int = wcwidth(character)
    return columns
