# SPDX-License-Identifier: Apache-2.0
"""JSON Lines: renders a line for each event, and gives it to any number of streams."""

from collections.abc import Callable, Sequence
from typing import Any

from tracer.clock import WallClock
from tracer.host.resolver import Names
from tracer.model.fields import Rendering
from tracer.output.jsonl import to_json
from tracer.trace.event import Event
from tracer.trace.line import Line, ProcessLines
from tracer.trace.streams import Rendered, Stream


class JsonLines:
    """Renders each event once and gives the text to every stream."""

    def __init__(
        self,
        clock: WallClock,
        rendering: Rendering,
        processes: ProcessLines,
        names: Names | None,
        streams: Sequence[Stream],
    ) -> None:
        """``names`` looks up the names of addresses; None if they are not wanted."""
        self._clock = clock
        self._names = names
        self._rendering = rendering
        self._processes = processes
        self._streams = streams

    def write(self, events: Sequence[Event]) -> None:
        """Writes a line for each event; the clock has been measured a moment ago."""
        if not self._streams:
            return
        iso, rendered = self._clock.iso, []
        for event in events:
            tracked = event.tracked
            line = tracked.line
            if line is None:
                line = Line(tracked.flow, self._rendering, self._processes)
                if not (self._names and self._names.pending(*tracked.flow.addresses)):
                    tracked.line = line
            last_time = iso(event.last_time) if event.count > 1 else ""
            time = iso(event.time)
            rendered.append(Rendered(line.text(event, time, last_time), line.process, time))
        for stream in self._streams:
            stream.put(rendered)

    def mark(self, event: str, boot_ns: int, fields: dict[str, Any]) -> None:
        """Writes a line about the run itself, such as its start; ``boot_ns`` is CLOCK_BOOTTIME."""
        render = self.marked(event, boot_ns, fields)
        for stream in self._streams:
            stream.mark(render)

    def marked(self, event: str, boot_ns: int, fields: dict[str, Any]) -> Callable[[int], Rendered]:
        """Returns what renders such a line, given how many lines of the run there were before. The
        clock has been measured a moment ago, as for events: none is later than the ``stop``."""
        known = {"time": self._clock.iso(boot_ns), "event": event, **fields}

        def render(lines: int) -> Rendered:
            more = {"lines": lines, "run": self._rendering.run}
            return Rendered(to_json({**known, **more}) + "\n")

        return render

    def check(self) -> None:
        """Does what is due now and then."""
        for stream in self._streams:
            stream.check()
