# SPDX-License-Identifier: Apache-2.0
"""JSON Lines: writes a self-contained line for each event to any number of outputs."""

from collections.abc import Callable, Sequence
from typing import Any

from tracer.clock import WallClock
from tracer.host.resolver import Names
from tracer.model.fields import Rendering
from tracer.output.jsonl import to_json
from tracer.trace.event import Event
from tracer.trace.line import Line

Output = Callable[[str], None]  # takes whole lines


class JsonLines:
    """Renders each event once and gives the text to every output."""

    def __init__(
        self, clock: WallClock, probe: str, outputs: Sequence[Output], names: Names | None = None
    ) -> None:
        """``names`` looks up the names of addresses; None if they are not wanted."""
        self._clock = clock
        self._names = names
        self._rendering = Rendering(probe, clock.iso_start, names.of if names else None)
        self._outputs = outputs
        self.written = 0  # lines

    def write(self, events: Sequence[Event]) -> None:
        """Writes a line for each event; the clock has been measured a moment ago."""
        if not self._outputs:
            return
        iso, lines = self._clock.iso, []
        for event in events:
            tracked = event.tracked
            line = tracked.line
            if line is None:
                line = Line(tracked.flow, self._rendering)
                if not (self._names and self._names.pending(*tracked.flow.addresses)):
                    tracked.line = line
            last_time = iso(event.last_time) if event.count > 1 else ""
            lines.append(line.text(event, iso(event.time), last_time))
        self.written += len(lines)
        self._put("".join(lines))

    def mark(self, event: str, boot_ns: int, fields: dict[str, Any]) -> None:
        """Writes a line about the run itself, such as its start; ``boot_ns`` is CLOCK_BOOTTIME."""
        self._clock.measure()
        self.written += 1
        self._put(to_json({"time": self._clock.iso(boot_ns), "event": event, **fields}) + "\n")

    def _put(self, text: str) -> None:
        for output in self._outputs:
            output(text)
