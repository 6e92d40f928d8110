# SPDX-License-Identifier: Apache-2.0
"""The live table: a line for each event."""

from collections.abc import Sequence
from typing import Final

from tracer.live.row import Format, Row, merged
from tracer.trace.event import Event
from tracer.trace.options import Console

_RED: Final = "\x1b[31m"
_BOLD: Final = "\x1b[1m"
_RESET: Final = "\x1b[0m"


class Table:
    """Writes a line for each event."""

    def __init__(
        self,
        console: Console,
        *,
        columns: int | None,
        color: bool,
        header: bool,
        merges: bool = False,
    ) -> None:
        """``columns`` of the terminal; None: there is none. ``merges``: events of a batch that
        differ in local ports only are one line."""
        self._merges = merges
        self._out = console.out
        self._color = color
        self._format = Format(console.clock, console.names, columns)
        if header:
            self._out.write(self.header())

    def write(self, events: Sequence[Event]) -> None:
        """Writes a line for each event."""
        rows = merged(events) if self._merges else map(Row.of, events)
        self._out.write("".join(f"{self.line(row)}\n" for row in rows))

    def header(self) -> str:
        """Returns the line with the columns' names."""
        return f"{_BOLD * self._color}{self._format.header()}{_RESET * self._color}\n"

    def line(self, row: Row) -> str:
        """Returns a line without its end; failures are red."""
        is_red = self._color and row.error > 0
        return f"{_RED * is_red}{self._format.line(row)}{_RESET * is_red}"
