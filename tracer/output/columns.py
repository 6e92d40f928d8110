# SPDX-License-Identifier: Apache-2.0
"""Fits a table's columns to a terminal: what matters least goes first, and nothing wraps."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from tracer.output.terminal import align, fit_middle
from tracer.printable import safe, width

Row = TypeVar("Row")
_MOST: Final = 1 << 30  # more than any width or rank
_UNITS: Final = ("", "k", "M", "G", "T", "P")


class Sizes(Protocol):
    """What :func:`fitted` asks of a column; see :class:`Column`."""

    @property
    def name(self) -> str:
        """Its header."""

    @property
    def rank(self) -> int:
        """Columns with a lower one give way first; 0: it stays."""

    @property
    def least(self) -> int:
        """How narrow it may get."""

    @property
    def enough(self) -> int:
        """How wide it gets before others do."""


@dataclass(frozen=True)
class Column(Generic[Row]):
    """A column: what it shows of a row, and how it gives way.

    Where the terminal is too narrow, columns shrink to ``least`` (0: they do not), those with the
    lowest ``rank`` first; if that is not enough, columns are left out in the same order. Rank 0 is
    never left out. What room is left then goes to those that matter most, first up to ``enough``
    (0: all that they take). ``in_file`` is the most that it takes where there is no terminal (0:
    there is no limit). ``cut`` shortens a row's text to a width.
    """

    name: str
    text: Callable[[Row], str]
    rank: int = 0
    least: int = 0
    enough: int = 0
    in_file: int = 0
    right: bool = False
    cut: Callable[[Row, int], str] | None = None
    is_shown: Callable[[Sequence[Row]], bool] = lambda _: True


def render(
    columns: Iterable[Column[Row]], rows: Sequence[Row], room: int | None, *, header: bool = True
) -> str:
    """Returns aligned lines, none longer than ``room`` (None: there is no limit)."""
    shown = [column for column in columns if column.is_shown(rows)]
    texts = {column.name: [safe(column.text(row)) for row in rows] for column in shown}
    widths = {
        column.name: max([*map(width, texts[column.name]), len(column.name) * header])
        for column in shown
    }
    if room is not None:
        widths = fitted(shown, widths, room)
    else:
        limits = {column.name: column.in_file for column in shown if column.in_file}
        widths |= {name: min(limit, widths[name]) for name, limit in limits.items()}
    lines = [_line([_head(column, widths) for column in shown if column.name in widths])] * header
    for at, row in enumerate(rows):
        cells = (
            _cell(one, row, texts[one.name][at], widths) for one in shown if one.name in widths
        )
        lines.append(_line(cells))
    return "".join(f"{line}\n" for line in lines)


def quantity(number: int) -> str:
    """Returns a number for people, of at most five characters below 10^18: 9999, 12.3k, 1.2M."""
    if number < 10_000:
        return str(number)
    value, unit = float(number), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f}{_UNITS[unit]}" if value < 99.95 else f"{value:.0f}{_UNITS[unit]}"


def fitted(columns: Sequence[Sizes], natural: dict[str, int], room: int) -> dict[str, int]:
    """Returns the widths of the columns that are shown in so much room; ``natural`` is what they
    take by name."""
    if _total(natural) <= room:
        return natural
    # what matters most first; of equals, the first
    order = sorted(columns, key=lambda column: -(column.rank or _MOST))
    widths = {one.name: min(natural[one.name], one.least or _MOST) for one in columns}
    for column in reversed(order):
        if _total(widths) <= room:
            break
        if column.rank:
            del widths[column.name]
    for is_whole in (False, True):
        for column in order:
            _grow(column, natural, widths, room, is_whole=is_whole)
    return _within(widths, room)


def _within(widths: dict[str, int], room: int) -> dict[str, int]:
    """Narrows the widest column of a terminal that has no room for the rest."""
    widest = max(widths, key=lambda name: widths[name])
    return widths | {widest: widths[widest] - max(0, _total(widths) - room)}


def _grow(
    column: Sizes,
    natural: dict[str, int],
    widths: dict[str, int],
    room: int,
    *,
    is_whole: bool,
) -> None:
    """Gives a column of the room that is left what it takes; unless ``is_whole``, what is enough
    for it."""
    if column.name in widths:
        wanted = natural[column.name]
        if column.enough and not is_whole:
            wanted = min(wanted, column.enough)
        spare = min(wanted - widths[column.name], room - _total(widths))
        widths[column.name] += max(0, spare)


def _total(widths: dict[str, int]) -> int:
    return sum(widths.values()) + len(widths) - 1


def _head(column: Column[Row], widths: dict[str, int]) -> str:
    columns = widths[column.name]
    return align(fit_middle(column.name, columns), columns, right=column.right)


def _cell(column: Column[Row], row: Row, text: str, widths: dict[str, int]) -> str:
    columns = widths[column.name]
    if width(text) > columns:
        text = column.cut(row, columns) if column.cut else fit_middle(text, columns)
    return align(text, columns, right=column.right)


def _line(cells: Iterable[str]) -> str:
    return " ".join(cells).rstrip()
