# SPDX-License-Identifier: Apache-2.0
"""A line of the live table, at the width that there is."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from tracer.clock import WallClock
from tracer.host.resolver import Names
from tracer.model.flow import EventKind, Flow, destination, error_name, outcome
from tracer.model.who import who_of
from tracer.output.columns import quantity
from tracer.output.terminal import align, cell, fit, fit_middle
from tracer.output.who_cell import fit_who
from tracer.printable import safe
from tracer.trace.event import Event, TrackedFlow

_MOVED: Final = (EventKind.CLOSE, EventKind.VOLUME)
_SENDS: Final = (EventKind.SEND, EventKind.FORWARD)
_RECEIVED: Final = (EventKind.VOLUME, EventKind.RECEIVE)


class Widths(NamedTuple):
    """Widths in columns of a terminal; 0: no such column."""

    time: int = 8
    pid: int = 7
    who: int = 16
    user: int = 0
    proto: int = 5
    local: int = 0
    remote: int = 21
    size: int = 5
    result: int = 12  # the longest error that is usual


_LEAST: Final = Widths()
_WHOLE: Final = 1000  # columns: what is written there is not cut
# What wider terminals have, in order: a column, and how wide it gets at once, or by and by.
_WIDER: Final = (
    ("time", 12, 12), ("who", 17, 32), ("result", 13, 18), ("user", 8, 8), ("local", 21, 21),
    ("who", 33, 48), ("proto", 9, 9), ("remote", 22, 47), ("local", 22, 47), ("who", 49, _WHOLE),
)  # fmt: skip
# In a file, and other places that have no width, no text but WHO is cut, which would leave no
# columns.
IN_FILE: Final = Widths(time=12, who=48, user=8, local=21)


def widths(columns: int) -> Widths:
    """Returns the widths for a terminal of so many columns; of less than 80, lines are cut."""
    found = _LEAST
    for name, least, most in _WIDER:
        now = getattr(found, name)
        spare = columns - _total(found) - (now == 0)
        if now + spare >= least:
            found = found._replace(**{name: min(most, now + spare)})
    return found


def _total(found: Widths) -> int:
    return sum(found) + sum(map(bool, found)) - 1


_RIGHT: Final = ("PID", "BYTES")


@dataclass(slots=True)
class Row:
    """What a line shows. ``count`` events, the first at ``time`` (CLOCK_BOOTTIME, nanoseconds);
    ``ports``: several of their local ports are merged."""

    tracked: TrackedFlow
    time: int
    count: int
    bytes: int
    received: int
    error: int
    ports: bool = False

    @classmethod
    def of(cls, event: Event) -> "Row":
        """Returns the line of one event."""
        return cls(event.tracked, event.time, event.count, event.bytes, event.received, event.error)

    def add(self, event: Event) -> None:
        """Adds one more."""
        self.count += event.count
        self.bytes += event.bytes
        self.received += event.received
        self.ports |= event.tracked.flow.src != self.tracked.flow.src

    def without(self, shown: "Row") -> "Row":
        """Returns what the line has more than it had."""
        return replace(
            self,
            count=self.count - shown.count,
            bytes=self.bytes - shown.bytes,
            received=self.received - shown.received,
        )


def key_of(event: Event) -> Hashable:
    """Returns what events of one line have in common: all that it shows, but for local ports."""
    flow = event.tracked.flow
    by = flow.process.identity if flow.process else flow.sender
    return by, flow.kind, flow.proto, flow.src.addr, flow.dst, flow.nat.dst, event.error


def merged(events: Iterable[Event]) -> list[Row]:
    """Returns a row for all events of one line."""
    rows: dict[Hashable, Row] = {}
    for event in events:
        key = key_of(event)
        if key in rows:
            rows[key].add(event)
        else:
            rows[key] = Row.of(event)
    return [*rows.values()]


class Format:
    """Writes lines of a width: ``columns`` of a terminal, None where there is none. ``names`` looks
    up the names of addresses; None if they are not wanted."""

    def __init__(self, clock: WallClock, names: Names | None, columns: int | None) -> None:
        self._clock = clock
        self._names = names
        self._room = columns
        self.widths = IN_FILE if columns is None else widths(columns)

    def header(self) -> str:
        """Returns the names of the columns."""
        names = ("TIME", "PID", "WHO", "USER", "PROTO", "LOCAL", "REMOTE", "BYTES",
                 "RESULT")  # fmt: skip
        shown = zip(names, self.widths, strict=True)
        cells = [align(name, width, right=name in _RIGHT) for name, width in shown if width]
        return self._within(" ".join(cells).rstrip())

    def line(self, row: Row) -> str:
        """Returns a line, without its end."""
        kind = row.tracked.flow.kind
        is_sent = kind in _MOVED or (kind in _SENDS and row.error == 0)
        size = quantity(row.bytes) if is_sent else "-"
        time = self._clock.local(row.time)[: self.widths.time]
        return self._within(f"{time} {self._fixed(row)} {size:>5} {self._result(row)}")

    def _within(self, line: str) -> str:
        return line if self._room is None else fit(line, self._room)

    def _fixed(self, row: Row) -> str:
        """Returns the columns that stay the same for a flow."""
        tracked = row.tracked
        if row.ports:
            return self._columns(tracked.flow, ports=True)
        known = tracked.row
        if known and known[0] == self.widths:
            text: str = known[1]
            return text
        text = self._columns(tracked.flow, ports=False)
        if not (self._names and self._names.pending(*tracked.flow.addresses)):
            tracked.row = (self.widths, text)
        return text

    def _columns(self, flow: Flow, *, ports: bool) -> str:
        process, widths = flow.process, self.widths
        src = flow.src.shown(self._name_of, flow.proto)
        if ports:
            src = f"{flow.src._replace(port=None).shown(self._name_of, flow.proto)[:-1]}…"
        dst = destination(flow.dst, flow.nat.dst, flow.proto, self._name_of)
        by = fit_who(who_of(flow.process, flow.sender), widths.who)
        cells = [
            align(str(process.pid or "?") if process else "-", widths.pid, right=True),
            align(by, widths.who),
            self._cell(process.shown_user if process else "-", widths.user) if widths.user else "",
            self._cell(flow.proto, widths.proto),
            self._cell(src, widths.local, fit_middle) if widths.local else "",
            self._cell(dst, widths.remote, fit_middle),
        ]
        return " ".join(filter(None, cells))

    def _cell(self, text: str, width: int, cut: Callable[[str, int], str] = fit) -> str:
        return cell(text, width, cut) if self._room else align(safe(text), width)

    def _result(self, row: Row) -> str:
        """Says what became of it, or what was received; and how many it were."""
        kind, error = row.tracked.flow.kind, row.error
        said = error_name(error) or outcome(kind, error) or kind.name.lower()
        received = f"recv {quantity(row.received)}"
        times = f" ×{quantity(row.count)}" if row.count > 1 else ""
        room = self.widths.result - len(times)
        if kind in _RECEIVED:
            said = received
        elif kind is EventKind.CLOSE and row.received:
            both = f"{said}, {received}"
            said = both if not self._room or len(both) <= room else said
        return (fit(said, room) if self._room else said) + times

    def _name_of(self, addr: str) -> str | None:
        return self._names.of(addr) if self._names else None
