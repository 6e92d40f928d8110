# SPDX-License-Identifier: Apache-2.0
"""Shortens who somebody is to a column: the arguments give way first."""

from collections.abc import Callable
from typing import Final, TypeVar

from tracer.model.who import Who
from tracer.output.columns import Column
from tracer.output.terminal import fit, fit_end
from tracer.printable import safe, width

Row = TypeVar("Row")
_TAIL: Final = 3  # of what is shown of a command, a third is its end
_NARROW: Final = 24  # columns, in which there is room for what it runs only


def who_column(who_of: Callable[[Row], Who]) -> Column[Row]:
    """Returns the column that says who a row is about."""
    return Column[Row](
        "WHO",
        lambda row: str(who_of(row)),
        least=32,
        enough=56,
        in_file=100,  # a long command must not widen all rows
        cut=lambda row, room: fit_who(who_of(row), room),
    )


def fit_who(who: Who, columns: int) -> str:
    """Returns ``who`` as safe text in so many columns. If it does not fit, it loses the interpreter
    and the command's middle, but for its first half; then what it comes from loses its end. Where
    there is little room, it is the command alone."""
    whole = safe(str(who))
    if width(whole) <= columns:
        return whole
    command, origin = safe(who.script or who.command), safe(who.origin)
    if columns < _NARROW:
        return fit(command, columns)
    if not origin:
        return _shortened(command, columns)
    kept = min(width(command), max(columns // 2, columns - 1 - width(origin)))
    return f"{_shortened(command, kept)} {fit(origin, columns - 1 - kept)}"


def _shortened(command: str, columns: int) -> str:
    if width(command) <= columns:
        return command
    tail = columns // _TAIL
    return fit(command, columns - tail) + fit_end(command, tail)
