# SPDX-License-Identifier: Apache-2.0
"""A block: rows that are sent together. The same lines after the same make the same bytes."""

import dataclasses
import zlib
from typing import Any, Final, NamedTuple

from tracer.ship.cursor import Context, Cursor
from tracer.ship.follow import LogFile
from tracer.ship.rows import TABLES, Row, Rows, with_token

MAX_ROWS: Final = 10_000 - 3  # a line has a row, and at most three about what is missing
_MAX_LINES: Final = 100_000  # where most are damaged
_MAX_PARTS: Final = 12  # beyond these, another block
_GZIP: Final = 31  # zlib's window bits for it
_LEVEL: Final = 1


class Part(NamedTuple):
    """The rows of a block for one table and day, which the server takes as a whole. ``rows`` are
    JSONEachRow in gzip."""

    table: str
    day: str
    token: str
    rows: bytes


class Block(NamedTuple):
    """A block, what the lines after it are to know (``context``), and the place after it. ``gaps``
    say what is missing before and in it; ``is_full``: the next lines need not be waited for."""

    parts: list[Part]
    context: Context
    end: int
    lines: int
    damaged: int
    gaps: list[str]
    is_full: bool


class _Body:
    """The rows of a part, compressed as they come: only so they take little memory."""

    def __init__(self) -> None:
        self._packer = zlib.compressobj(_LEVEL, wbits=_GZIP)
        self._packed: list[bytes] = []

    def add(self, text: str) -> None:
        """Adds a row."""
        packed = self._packer.compress(text.encode())
        if packed:
            self._packed.append(packed)

    def rows(self) -> bytes:
        """Ends it."""
        return b"".join([*self._packed, self._packer.flush()])


class _Run:
    """Follows what the lines say of the run that they are of."""

    def __init__(self, context: Context, rows: Rows) -> None:
        self.context = dataclasses.replace(context)
        self.damaged = 0
        self.gaps: list[str] = []
        self._rows = rows
        rows.host = context.host

    def rows_of(self, raw: bytes) -> list[Row]:
        """Returns a line's row, after those that tell what is missing before it; none if it is
        damaged."""
        context, row = self.context, self._rows.row(raw)
        if row is None:
            self.damaged += 1
            context.damaged += 1
            context.lines = _after(context.lines)
            return []
        found = [row]
        if row.line:
            found[:0] = self._missing(row.line, row.time)
            self._go_on(row.line)
        elif context.may_miss:
            found[:0] = [self._gap(row.time, None)]
        if context.damaged or context.refused:
            found[:0] = self._faults(row.time)
        context.lines = _after(context.lines)
        context.time, context.may_miss = row.time, False
        return found

    def _missing(self, line: dict[str, Any], time: str) -> list[Row]:
        """Returns a row if lines are missing before this one, which counts those of its run."""
        context, before = self.context, line.get("lines")
        goes_on = line["event"] != "start" and line.get("run") == context.run
        if not context.time and line["event"] == "alive" and type(before) is int and before:
            return [self._gap(time, before)]  # from before this cursor
        if not goes_on or type(before) is not int or context.lines is None:
            return [self._gap(time, None)] if context.may_miss else []
        if before > context.lines:
            return [self._gap(time, before - context.lines)]
        return [self._gap(time, None)] if before < context.lines and context.may_miss else []

    def _gap(self, time: str, lines: int | None) -> Row:
        since = self.context.time or None
        number = "it is not known how many" if lines is None else f"{lines:,}"
        self.gaps.append(
            f"lines are gone from the log ({since or 'its begin'} to {time}): {number}"
        )
        return self._rows.own("missing", time, run=self.context.run, since=since, lines=lines)

    def _faults(self, time: str) -> list[Row]:
        context = self.context
        found = {"damaged": context.damaged, "refused": context.refused}
        context.damaged = context.refused = 0
        return [
            self._rows.own(fault, time, run=context.run, lines=number)
            for fault, number in found.items()
            if number
        ]

    def _go_on(self, line: dict[str, Any]) -> None:
        context, before = self.context, line.get("lines")
        context.host = self._rows.host
        context.run = str(line.get("run") or "")
        if line["event"] == "start":
            context.lines = 0
        elif type(before) is int:
            context.lines = before


def _after(lines: int | None) -> int | None:
    return None if lines is None else lines + 1


def read(file: LogFile, cursor: Cursor, rows: Rows) -> Block | None:
    """Reads the cursor's block from the file, which is at its start: the one that is pending, or as
    much as there is. Returns None if there is no whole line, or not all of what is pending."""
    run = _Run(cursor.context, rows)
    end = cursor.end if cursor.is_pending else None
    bodies: dict[tuple[str, str], _Body] = {}
    lines = made = 0
    is_full = False
    while not is_full and file.position != end:
        raw = file.take()
        if raw is None:
            break
        lines += 1
        for row in run.rows_of(raw):
            made += 1
            body = bodies.setdefault((row.table, row.time[:10]), _Body())
            body.add(with_token(row.text, cursor.token))
        is_full = made >= MAX_ROWS or lines >= _MAX_LINES or len(bodies) >= _MAX_PARTS
    if not lines or (end is not None and file.position != end):
        return None
    parts = [
        Part(table, day, cursor.token, body.rows())
        for (table, day), body in sorted(bodies.items(), key=_in_order)
    ]
    is_full |= end is not None  # there may be more after what was pending
    return Block(parts, run.context, file.position, lines, run.damaged, run.gaps, is_full)


def _in_order(item: tuple[tuple[str, str], _Body]) -> tuple[int, str]:
    (table, day), _ = item
    return TABLES.index(table), day
