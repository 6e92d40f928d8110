# SPDX-License-Identifier: Apache-2.0
"""A mapping to another schema: a table of its fields, and what of an event each of them gets."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from tracer.report import times
from tracer.report.schemas.event import End, Event

Kinds = Mapping[str, Callable[[Any], bool]]  # of values, by the schema's names
_ARRAY: Final = "[]"


class Row(NamedTuple):
    """A field of the schema, of which kind it is, what it gets (as docs/log.md says it), and how;
    None: it is left out."""

    target: str
    kind: str
    source: str
    get: Callable[[Event], Any]


def copied(target: str, kind: str, path: str) -> Row:
    """Returns the row of a field that is the log's own."""
    return Row(target, kind, f"`{path}`", lambda event: event[path])


def constant(target: str, kind: str, value: object) -> Row:
    """Returns the row of a field that always has the same value."""
    shown = " ".join(map(str, value)) if isinstance(value, list) else value
    return Row(target, kind, f"always `{shown}`", lambda _: value)


def of_end(target: str, kind: str, end: str, source: str, get: Callable[[End], Any]) -> Row:
    """Returns the row of a field of an event's end, by the name that the event has for it."""

    def of_event(event: Event) -> Any:
        found = getattr(event, end)
        return None if found is None else get(found)

    return Row(target, kind, source, of_event)


def fields(rows: Iterable[Row], kinds: Kinds, event: Event) -> Iterator[tuple[Row, Any]]:
    """Yields each field that an event has. Raises ValueError if a value is of another kind."""
    for row in rows:
        value = row.get(event)
        if value is None:
            continue
        if not _is_of_kind(value, row.kind, kinds):
            raise ValueError(f"{row.target} is no {row.kind}")
        yield row, value


def nested(rows: Iterable[Row], kinds: Kinds, event: Event) -> dict[str, Any]:
    """Returns the fields as the JSON object that their dotted names make. Raises ValueError."""
    found: dict[str, Any] = {}
    for row, value in fields(rows, kinds, event):
        *above, name = row.target.split(".")
        place = found
        for part in above:
            place = place.setdefault(part, {})
        place[name] = value
    return found


def table(rows: Iterable[Row]) -> str:
    """Returns the rows of the documentation's table: fields that get the same in one."""
    targets: dict[str, list[str]] = {}
    for row in rows:
        targets.setdefault(row.source, []).append(f"`{row.target}`")
    return "".join(f"| {', '.join(names)} | {source} |\n" for source, names in targets.items())


def _is_of_kind(value: Any, kind: str, kinds: Kinds) -> bool:
    if not kind.endswith(_ARRAY):
        return kinds[kind](value)
    is_one = kinds[kind.removesuffix(_ARRAY)]
    return isinstance(value, list) and all(map(is_one, value))


def is_text(value: Any) -> bool:
    """Says whether a value is a text."""
    return type(value) is str


def is_time(value: Any) -> bool:
    """Says whether a value is a time as the log writes it. Raises ValueError."""
    return is_text(value) and bool(times.checked(value.encode()))


def is_number(value: Any) -> bool:
    """Says whether a value is an integer that is not negative and that 63 bits hold."""
    return type(value) is int and 0 <= value < 1 << 63
