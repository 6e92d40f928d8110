# SPDX-License-Identifier: Apache-2.0
"""The lines of logs, each with all that is known of its process."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tracer.filter.filters import Filters
from tracer.model.expand import expanded
from tracer.report import times
from tracer.report.decode import Host
from tracer.report.files import Files
from tracer.report.keys import Seen
from tracer.report.reader import TIME, Reader
from tracer.report.times import Period

_ENDLESS = b"~"  # later than any time


class Line(NamedTuple):
    """An event as format 1 of the log has it, or a line about a run; and the host that it was on,
    None: not known."""

    fields: dict[str, Any]
    host: Host | None


class Expansion:
    """Reads logs line by line. ``undecided`` counts events that are left out because their line
    does not tell whether they match."""

    def __init__(self, filters: Filters, period: Period, *, with_runs: bool) -> None:
        """Only events that match are read; ``with_runs``: and the lines about runs, which would
        tell too much if some events are left out."""
        self.undecided = 0
        self._chosen = filters.of_flows
        self._reader = Reader(self._matches, filters.passes_outcome, keeps_lines=True)
        self._since, self._until = period.since.encode(), period.until.encode() or _ENDLESS
        self._with_runs = with_runs
        self._written: dict[str | None, int] = {}  # lines of each run

    @property
    def strangers(self) -> list[Path]:
        """The files that are no logs."""
        return self._reader.strangers

    def count_damage(self) -> None:
        """Counts a line as damaged."""
        self._reader.count_damage()

    def summary(self, written: int) -> str:
        """Says how many lines there were, and how many of them were written."""
        damaged = f", {self._reader.damaged} damaged and left out" if self._reader.damaged else ""
        undecided = f", {self.undecided} left out: they may match" if self.undecided else ""
        return f"{self._reader.lines} lines, {written} written{damaged}{undecided}"

    def lines(self, files: Files, advance: Callable[[int], None]) -> Iterator[Line]:
        """Yields the lines, oldest first; ``advance`` is told the bytes read. Raises OSError."""
        for fields in self._read(files, advance):
            run = fields.get("run")
            if "lines" in fields:  # there are fewer lines now: none about processes
                fields["lines"] = self._written.setdefault(run, fields["lines"])
            self._written[run] = self._written.get(run, 0) + 1
            yield Line(fields, self._reader.runs.host)

    def _read(self, files: Files, advance: Callable[[int], None]) -> Iterator[dict[str, Any]]:
        reader = self._reader
        for path in files.paths:
            entries = reader.entries(path, advance, goes_on=path in files.continued)
            for line, _, matches, _ in entries:
                yield from self._marks()
                if not self._is_of_period(line):
                    continue
                if matches:
                    yield self._whole(json.loads(line))
                else:
                    self.undecided += 1
            yield from self._marks()

    def _is_of_period(self, line: bytes) -> bool:
        try:
            return self._since <= times.checked(line[TIME]) <= self._until
        except ValueError:
            self.count_damage()
            return False

    def _matches(self, seen: Seen) -> bool | None:
        """Says whether a flow matches: None: it does not, False: that is not known."""
        if self._chosen.matches(seen.flow):
            return True
        return False if self._chosen.may_match(seen.flow) else None

    def _marks(self) -> Iterator[dict[str, Any]]:
        """Yields the lines about runs that were read since it was called last."""
        marks = [*map(json.loads, self._reader.marks)]
        self._reader.marks.clear()
        for mark in marks if self._with_runs else ():
            yield mark | ({"format": 1} if "format" in mark else {})

    def _whole(self, event: dict[str, Any]) -> dict[str, Any]:
        """Puts a process back; format 1 has it already."""
        if "run" not in event:
            return event
        process = event["process"]
        known = process and self._reader.process_lines.get(process["id"])
        return expanded(event, json.loads(known)["process"] if known else None)
