# SPDX-License-Identifier: Apache-2.0
"""Makes text safe for a terminal and fits it to the width."""

from collections.abc import Container, Iterable, Sequence
from typing import Final

_ELLIPSIS: Final = "…"


def safe(text: str) -> str:
    """Escapes control characters and all else that does not print: a process may have
    any name, and must not be able to move the cursor or reorder the line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def fit(text: str, width: int) -> str:
    """Returns at most ``width`` characters; cuts off the end."""
    return text if len(text) <= width else text[: width - 1] + _ELLIPSIS


def fit_middle(text: str, width: int) -> str:
    """Returns at most ``width`` characters; cuts out the middle: an address keeps its port."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return text[: width - 1 - tail] + _ELLIPSIS + text[len(text) - tail :]


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Container[str]) -> str:
    """Returns aligned lines; the columns named in ``right`` are aligned to the right."""
    cells = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "".join(_align(row, header, widths, right) + "\n" for row in cells)


def _align(
    row: Sequence[str], header: Sequence[str], widths: Sequence[int], right: Container[str]
) -> str:
    aligned = (
        f"{cell:>{width}}" if name in right else f"{cell:{width}}"
        for cell, width, name in zip(row, widths, header, strict=True)
    )
    return " ".join(aligned).rstrip()
