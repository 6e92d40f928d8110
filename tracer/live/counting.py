# SPDX-License-Identifier: Apache-2.0
"""The live table on a terminal: what a process repeats is one line that counts up, and a flood
stays readable."""

import shutil
import time
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from tracer.live.row import Row, key_of
from tracer.live.table import Table
from tracer.model.counts import counted
from tracer.output import echo
from tracer.trace.event import Event
from tracer.trace.options import Console

PERIOD: Final = 0.1  # seconds between two updates of the screen, at least
_PAUSE: Final = 1_000_000_000  # nanoseconds after which a line does not count on
_NOWHERE: Final = -(1 << 40)  # the place of a line that a flood has left out


class _Line:
    """A line: what it shows and what it has shown so far, when its last event was, and its place,
    counted in lines from the start; None: it is not on the screen yet."""

    __slots__ = ("last", "place", "row", "shown")

    def __init__(self, row: Row, last: int) -> None:
        self.row = row
        self.shown: Row | None = None
        self.last = last
        self.place: int | None = None


class CountingTable:
    """Writes to a terminal, at most ten times a second, and rewrites the lines of the last
    screenful that count up."""

    def __init__(self, console: Console, *, color: bool, header: bool, whole: str) -> None:
        """``whole`` says where the lines are that a flood leaves out."""
        self._console = console
        self._color = color
        self._header = header
        self._whole = whole
        self._open: dict[Hashable, _Line] = {}
        self._new: list[_Line] = []
        self._changed: dict[Hashable, _Line] = {}
        self._written = 0  # lines
        self._next = 0.0
        self._fit()
        self._others = self._written_by_others()
        console.at_end(echo.off(0))
        console.at_end(self.finish)
        console.on_check(self.check)

    def write(self, events: Sequence[Event]) -> None:
        """Takes a batch; the screen shows it in a moment."""
        for event in events:
            self._take(event)
        self.check()

    def check(self) -> None:
        """Updates the screen, if it is time to."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + PERIOD
            self.finish()

    def finish(self) -> None:
        """Shows what is not shown yet."""
        if not (self._new or self._changed):
            return
        if self._others != self._written_by_others() or self._size != shutil.get_terminal_size():
            self._begin_anew()
        room = max(1, self._size.lines - 2)
        parts = [*self._rewritten(), *map(self._appended, self._new[:room])]
        if self._new[room:]:
            parts.append(self._left_out(self._new[room:]))
        self._changed.clear()
        self._new.clear()
        self._console.out.write("".join(parts))
        self._others = self._written_by_others()
        self._open = {key: line for key, line in self._open.items() if self._is_in_reach(line)}

    def _take(self, event: Event) -> None:
        key = key_of(event)
        line = self._open.get(key)
        if line is None or event.time - line.last > _PAUSE:
            line = self._open[key] = _Line(Row.of(event), event.last_time)
            self._new.append(line)
            return
        line.row.add(event)
        line.last = max(line.last, event.last_time)
        if line.place is not None:
            self._changed[key] = line

    def _rewritten(self) -> Iterator[str]:
        """Yields what goes up to each line that has changed, writes it, and comes back."""
        for line in self._changed.values():
            assert line.place is not None
            up = self._written - line.place
            line.shown = replace(line.row)
            yield f"\x1b[{up}A{self._table.line(line.row)}\x1b[K\r\x1b[{up}B"

    def _appended(self, line: _Line) -> str:
        line.place, line.shown = self._written, replace(line.row)
        self._written += 1
        return f"{self._table.line(line.row)}\n"

    def _left_out(self, lines: Sequence[_Line]) -> str:
        for line in lines:
            line.place = _NOWHERE
        self._written += 1
        events = counted(sum(line.row.count for line in lines), "event")
        return f"… {counted(len(lines), 'more line')} ({events}): {self._whole}\n"

    def _is_in_reach(self, line: _Line) -> bool:
        return line.place is None or self._written - line.place < self._size.lines

    def _written_by_others(self) -> tuple[int, int]:
        """Returns what changes when lines move: messages on the same terminal, lines that were
        dropped because nobody read them."""
        return self._console.messages.taken, self._console.out.lost

    def _begin_anew(self) -> None:
        """Lets what is on the screen be, since it is not where it was; what a line has not shown
        goes to a new one."""
        for key, line in self._changed.items():
            assert line.shown
            rest = self._open[key] = _Line(line.row.without(line.shown), line.last)
            self._new.append(rest)
        self._changed.clear()
        self._open = {key: line for key, line in self._open.items() if line.place is None}
        if self._size != shutil.get_terminal_size():
            self._fit()

    def _fit(self) -> None:
        """Begins lines as wide as the terminal is now."""
        self._size = shutil.get_terminal_size()
        self._table = Table(
            self._console, columns=self._size.columns, color=self._color, header=self._header
        )
        self._written += self._header
