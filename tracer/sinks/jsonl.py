# SPDX-License-Identifier: Apache-2.0
"""JSON Lines: a line that stands alone for each event, to any number of outputs."""

from collections.abc import Callable, Sequence
from typing import Any

from tracer.clock import WallClock
from tracer.event import Line, Rendering, to_json
from tracer.flows import Event

Output = Callable[[str], None]  # takes whole lines


class JsonLines:
    """Renders each event once and gives the text to every output."""

    def __init__(self, clock: WallClock, probe: str, outputs: Sequence[Output]) -> None:
        self._clock = clock
        self._rendering = Rendering(probe, clock.iso_start)
        self._outputs = outputs

    def write(self, events: Sequence[Event]) -> None:
        """A line for each event."""
        self._clock.measure()
        if not self._outputs:
            return
        iso, lines = self._clock.iso, []
        for time, observed, count, tracked in events:
            line = tracked.line
            if line is None:
                line = tracked.line = Line(tracked.flow, self._rendering)
            lines.append(line.text(iso(time), observed, count))
        self._put("".join(lines))

    def mark(self, event: str, boot_ns: int, fields: dict[str, Any]) -> None:
        """A line of the run itself, such as its start; ``boot_ns`` is CLOCK_BOOTTIME."""
        self._clock.measure()
        self._put(to_json({"time": self._clock.iso(boot_ns), "event": event, **fields}) + "\n")

    def _put(self, text: str) -> None:
        for output in self._outputs:
            output(text)
