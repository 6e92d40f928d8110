# SPDX-License-Identifier: Apache-2.0
"""``sockwatch report --format``: converts the events of logs to another schema, line by line."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tracer.filter.filters import Filters
from tracer.model.counts import counted
from tracer.output.jsonl import to_json
from tracer.report import times
from tracer.report.decode import DAMAGE
from tracer.report.files import Files
from tracer.report.groups import is_chosen, of_flows
from tracer.report.keys import Seen
from tracer.report.reader import TIME, Reader
from tracer.report.schemas import ecs, ocsf, otel
from tracer.report.times import Period

FORMATS: Final = {"ecs": ecs.convert, "ocsf": ocsf.convert, "otel": otel.convert}


class Conversion:
    """Converts the events of a period that a filter lets through. ``undecided`` counts those that
    are left out because their line does not tell; ``strangers`` are files that are no logs."""

    def __init__(self, name: str, filters: Filters, period: Period, *, no_args: bool) -> None:
        """``name`` is one of FORMATS."""
        self.converted = 0
        self.undecided = 0
        self.strangers: list[Path] = []
        self._convert = FORMATS[name]
        self._no_args = no_args
        self._chosen = of_flows(filters)
        self._since, self._until = period.since.encode(), period.until.encode()
        self._reader = Reader(
            self._matches, lambda proto, failed: is_chosen(proto, failed, filters)
        )

    def of(self, files: Files, advance: Callable[[int], None]) -> Iterator[str]:
        """Yields a line of JSON for each event. ``advance`` is told the bytes read. Raises
        OSError."""
        reader = self._reader
        for path in files.paths:
            lines, damaged = reader.lines, reader.damaged
            entries = reader.entries(path, advance, goes_on=path in files.continued)
            for line, _, matches, _ in entries:
                try:
                    if self._is_of_period(line):
                        yield from self._converted(line, matches=matches)
                except DAMAGE:
                    reader.count_damage()
            if reader.damaged - damaged >= max(1, reader.lines - lines):
                self.strangers.append(path)

    def summary(self) -> str:
        """Says how many there were."""
        damaged = f", {self._reader.damaged} damaged and left out" if self._reader.damaged else ""
        undecided = f", {self.undecided} left out: they may match" if self.undecided else ""
        return f"{self._reader.lines} lines, {counted(self.converted, 'event')}{damaged}{undecided}"

    def _converted(self, line: bytes, *, matches: bool) -> Iterator[str]:
        if not matches:
            self.undecided += 1
            return
        text = to_json(self._convert(json.loads(line), no_args=self._no_args))
        self.converted += 1
        yield f"{text}\n"

    def _is_of_period(self, line: bytes) -> bool:
        time = times.checked(line[TIME])
        return self._since <= time and (not self._until or time <= self._until)

    def _matches(self, seen: Seen) -> bool | None:
        """Says whether a flow matches: None: it does not, False: that is not known."""
        if self._chosen.matches(seen.flow):
            return True
        return False if self._chosen.may_match(seen.flow) else None
