# SPDX-License-Identifier: Apache-2.0
"""Fits text to a terminal's width, and aligns it. A table's cells are made safe here."""

import shutil
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, TextIO

from tracer.printable import safe, width

_ELLIPSIS: Final = "…"
_NO_LIMITS: Final[Mapping[int, int]] = MappingProxyType({})


def columns_of(stream: TextIO) -> int | None:
    """Returns how many columns the terminal behind a stream has; None: it is none."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def fit(text: str, columns: int) -> str:
    """Cuts off the end of safe text that takes more than so many ``columns``."""
    if width(text) <= columns:
        return text
    return _beginning(text, columns - 1) + _ELLIPSIS if columns > 0 else ""


def fit_middle(text: str, columns: int) -> str:
    """Cuts out the middle of safe text that takes more than so many ``columns``: an address keeps
    its port."""
    if width(text) <= columns:
        return text
    if columns < 1:
        return ""
    tail = (columns - 1) // 2
    return _beginning(text, columns - 1 - tail) + _ELLIPSIS + fit_end(text, tail)


def fit_end(text: str, columns: int) -> str:
    """Returns the end of safe text that takes at most so many ``columns``."""
    text = text[len(text) - max(0, min(len(text), columns)) :]
    while text and width(text) > columns:
        text = text[1:]
    return text


def align(text: str, columns: int, *, right: bool = False) -> str:
    """Fills safe text up with spaces."""
    fill = " " * (columns - width(text))
    return fill + text if right else text + fill


def cell(
    text: str, columns: int, cut: Callable[[str, int], str] = fit, *, right: bool = False
) -> str:
    """Makes text safe, cuts it and aligns it."""
    return align(cut(safe(text), columns), columns, right=right)


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Container[str],
    limits: Mapping[int, int] = _NO_LIMITS,
) -> str:
    """Returns aligned lines; the columns named in ``right`` are aligned to the right. ``limits``:
    the greatest width of a column, by its place; longer cells lose their middle."""
    lines = [header, *(_fitted(row, limits) for row in rows)]
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    return "".join(_aligned(line, header, widths, right) + "\n" for line in lines)


def _fitted(row: Sequence[str], limits: Mapping[int, int]) -> list[str]:
    texts = enumerate(map(safe, row))
    return [fit_middle(text, limits[at]) if at in limits else text for at, text in texts]


def _aligned(
    line: Sequence[str], header: Sequence[str], widths: Sequence[int], right: Container[str]
) -> str:
    aligned = (
        align(text, columns, right=name in right)
        for text, columns, name in zip(line, widths, header, strict=True)
    )
    return " ".join(aligned).rstrip()


def _beginning(text: str, columns: int) -> str:
    """Returns what fits of the beginning: a wide letter is never halved."""
    text = text[:columns]
    while width(text) > columns:
        text = text[:-1]
    return text
