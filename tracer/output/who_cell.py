# SPDX-License-Identifier: Apache-2.0
"""Shortens who somebody is to a column: the arguments give way first, the parent stays."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from tracer.model.who import Who
from tracer.output.columns import Column
from tracer.output.terminal import fit, fit_end
from tracer.printable import safe, width

Row = TypeVar("Row")
IN_FILE: Final = 100  # columns: a long command must not widen all rows
_TAIL: Final = 3  # of what is shown of a command, a third is its end
_NARROW: Final = 24  # columns; in fewer, no container or unit is shown
_PARENT, _PLACE = 7, 6  # columns; in fewer, a parent or a place tells nothing
_ONE: Final = 24  # columns; in fewer, one program less is shown of several
_MORE: Final = "…"  # arguments that are not known, or not shared
_BETWEEN: Final = "; "  # no shell's word has it: see shlex.quote()


def who_column(who_of: Callable[[Row], Who]) -> Column[Row]:
    """Returns the column that says who a row is about."""
    return Column[Row](
        "WHO",
        lambda row: str(who_of(row)),
        least=32,
        enough=56,
        in_file=IN_FILE,
        cut=lambda row, room: fit_who(who_of(row), room),
    )


def fit_who(who: Who, columns: int) -> str:
    """Returns ``who`` as safe text in so many columns. If it does not fit, it loses the interpreter
    and the command's middle, but for its first half; then the end of its place; then its arguments,
    for the parent. Where not even the program's name and the parent's beginning fit, it is the
    command alone."""
    whole = safe(str(who))
    if width(whole) <= columns:
        return whole
    command, name = safe(who.script or who.command), safe(who.name)
    if columns >= _NARROW:
        name = fit(name, columns // 2)
    with_half = min(width(command), max(width(name), columns // 2))
    origin = _origin(who, columns - 1 - with_half, columns - 1 - width(name))
    if not origin or (not who.parent and columns < _NARROW):
        return _shortened(command, name, columns)
    return f"{_shortened(command, name, columns - 1 - width(origin))} {origin}"


def list_programs(programs: Sequence[Who], each: int, limit: int | None = None) -> str:
    """Returns several as safe text, each in that many columns at most; of more than ``limit``, if
    there is one, the number only."""
    shown = programs[:limit]
    more = len(programs) - len(shown)
    return _BETWEEN.join([fit_who(one, each) for one in shown]) + f" +{more}" * bool(more)


def fit_programs(programs: Sequence[Who], limit: int, columns: int) -> str:
    """Returns at most ``limit`` of several as safe text in so many columns."""
    number = min(limit, len(programs), columns // _ONE) or 1
    more = len(programs) - number
    end = f" +{more}" * bool(more)
    left = columns - len(end)
    texts: list[str] = []
    for others, one in zip(reversed(range(number)), programs, strict=False):
        texts.append(fit_who(one, max(0, left - len(_BETWEEN) * others) // (others + 1)))
        left -= width(texts[-1]) + len(_BETWEEN)
    return fit(_BETWEEN.join(texts) + end, columns)


def _origin(who: Who, columns: int, most: int) -> str:
    """Returns where ``who`` comes from: in so many columns if a part of its place fits, else the
    parent alone, in at most ``most``; nothing where there is too little room."""
    parent, place = safe(who.parent), safe(who.place)
    both = f"{parent} {place}".strip()
    if width(both) <= columns or (place and columns >= width(both) - width(place) + _PLACE):
        return fit(both, columns)
    return fit(parent, most) if most >= min(width(parent), _PARENT) else ""


def _shortened(command: str, name: str, columns: int) -> str:
    """Cuts out the middle of what stands behind the name."""
    if width(command) <= columns:
        return command
    if name and columns < width(name) + 2:  # there is no room for a space and an ellipsis
        return fit(name, columns)
    tail = min(columns // _TAIL, columns - width(name) - 2) if name else columns // _TAIL
    end = fit_end(command, tail)
    if end.strip() == _MORE:  # it tells no more than the ellipsis before it
        return fit(command, columns)
    return fit(command, columns - tail) + end
