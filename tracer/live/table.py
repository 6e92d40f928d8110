# SPDX-License-Identifier: Apache-2.0
"""The live table: one line for each event."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from tracer.clock import WallClock
from tracer.host.resolver import Names
from tracer.model.flow import Endpoint, EventKind, destination, error_name, outcome
from tracer.output.stream import Stream
from tracer.output.terminal import cell, fit, fit_middle
from tracer.trace.event import Event, TrackedFlow

WHOLE: Final = 169  # columns that everything takes
_NARROW: Final = 100  # below this, there is no room for the user and the local end

_RESULT_WIDTH: Final = 12
_MOVED: Final = (EventKind.CLOSE, EventKind.VOLUME)
_SENDS: Final = (EventKind.SEND, EventKind.FORWARD)

_RED: Final = "\x1b[31m"
_BOLD: Final = "\x1b[1m"
_RESET: Final = "\x1b[0m"


class Widths(NamedTuple):
    """Widths in characters of the columns that grow with the terminal; 0: no such column."""

    comm: int
    user: int
    proto: int
    local: int
    remote: int


def widths(columns: int) -> Widths:
    """Returns the widths for a terminal of so many columns. What is beyond 100 goes to the
    protocol, until ipv6-icmp fits, then to the addresses, the remote one first, until IPv6 fits,
    then to the name."""
    if columns < _NARROW:
        return Widths(10, 0, 5, 0, 20)
    proto = min(columns - _NARROW, 4)
    spare = columns - _NARROW - proto
    remote = min(spare, 27)
    local = min(spare - remote, 32)
    comm = min(spare - remote - local, 6)
    return Widths(10 + comm, 6, 5 + proto, 15 + local, 20 + remote)


class Table:
    """Writes aligned lines to ``out``, ``columns`` wide."""

    def __init__(
        self,
        out: Stream,
        clock: WallClock,
        names: Names | None = None,
        *,
        columns: int,
        color: bool,
        header: bool,
    ) -> None:
        """``names`` looks up the names of addresses; None if they are not wanted."""
        self._names = names
        self._out = out
        self._clock = clock
        self._color = color
        self._widths = widths(columns)
        if header:
            self._write_header()

    def write(self, events: Sequence[Event]) -> None:
        """Writes a line for each event."""
        self._out.write("".join(map(self._line, events)))

    def _write_header(self) -> None:
        line = f"{'TIME':12} {self._align('PID', 'COMM', 'USER', 'PROTO', 'LOCAL', 'REMOTE')} "
        line += f"{'BYTES':>5} RESULT"
        self._out.write(f"{_BOLD}{line}{_RESET}\n" if self._color else f"{line}\n")

    def _line(self, event: Event) -> str:
        tracked, error = event.tracked, event.error
        row = tracked.row
        if row is None:
            row = self._row(tracked)
            if not (self._names and self._names.pending(*tracked.flow.addresses)):
                tracked.row = row
        kind = tracked.flow.kind
        sent = kind in _MOVED or (kind in _SENDS and error == 0)
        shown = _short(event.bytes) if sent else "-"
        result = fit(_result(event), _RESULT_WIDTH)
        result += f" x{event.count}" if event.count > 1 else ""
        line = f"{self._clock.local(event.time)} {row} {shown:>5} {result}"
        return f"{_RED}{line}{_RESET}\n" if self._color and error > 0 else f"{line}\n"

    def _row(self, tracked: TrackedFlow) -> str:
        """Returns the columns that stay the same for a flow."""
        flow, process = tracked.flow, tracked.flow.process
        return self._align(
            str(process.pid or "?") if process else "-",
            flow.sender,
            (process.user or str(process.uid)) if process else "-",
            flow.proto,
            self._end(flow.src, flow.proto),
            destination(flow.dst, flow.nat.dst, flow.proto, self._name_of),
        )

    def _align(self, pid: str, name: str, user: str, proto: str, src: str, dst: str) -> str:
        widths = self._widths
        cells = [
            cell(pid, 7, right=True),
            cell(name, widths.comm),
            cell(user, widths.user) if widths.user else "",
            cell(proto, widths.proto),
            cell(src, widths.local, fit_middle) if widths.local else "",
            cell(dst, widths.remote, fit_middle),
        ]
        return " ".join(filter(None, cells))

    def _end(self, end: Endpoint, proto: str) -> str:
        return end.shown(self._name_of, proto)

    def _name_of(self, addr: str) -> str | None:
        return self._names.of(addr) if self._names else None


def _short(size: int) -> str:
    """Returns at most five characters: 99999, 9765K, 9536M …"""
    for unit in ("", "K", "M", "G", "T"):
        if len(f"{size}{unit}") <= 5:
            return f"{size}{unit}"
        size //= 1024
    return f"{size}P"


def _result(event: Event) -> str:
    """Says what became of it, in a word; or what was received."""
    kind, error = event.tracked.flow.kind, event.error
    if kind in (EventKind.VOLUME, EventKind.RECEIVE):
        return f"recv {_short(event.received)}"
    return error_name(error) or outcome(kind, error) or kind.name.lower()
