# SPDX-License-Identifier: Apache-2.0
"""Fits text to a terminal's width, and aligns it. A table's cells are made safe here."""

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TextIO

from tracer.printable import safe, width

_ELLIPSIS: Final = "…"
_WORD: Final = re.compile(r"[^ ,]*[ ,]|[^ ,]+")  # with what ends it


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


def wrap(text: str, columns: int, indent: str) -> Iterator[str]:
    """Yields safe text in indented lines, broken behind spaces and commas where there is one."""
    line = indent
    for word in _WORD.findall(text):
        if line != indent and width(line) + width(word.rstrip()) > columns:
            yield line.rstrip()
            line = indent
        line += word
        while width(line.rstrip()) > columns > len(indent) + 1:  # the word alone is too long
            head = _beginning(line, columns)
            yield head
            line = indent + line[len(head) :]
    yield line.rstrip()


def align(text: str, columns: int, *, right: bool = False) -> str:
    """Fills safe text up with spaces."""
    fill = " " * (columns - width(text))
    return fill + text if right else text + fill


def cell(
    text: str, columns: int, cut: Callable[[str, int], str] = fit, *, right: bool = False
) -> str:
    """Makes text safe, cuts it and aligns it."""
    return align(cut(safe(text), columns), columns, right=right)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns aligned lines."""
    lines = [header, *([safe(text) for text in row] for row in rows)]
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    return "".join(_aligned(line, widths) + "\n" for line in lines)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    return " ".join(map(align, line, widths)).rstrip()


def _beginning(text: str, columns: int) -> str:
    """Returns what fits of the beginning: a wide letter is never halved."""
    text = text[:columns]
    while width(text) > columns:
        text = text[:-1]
    return text
