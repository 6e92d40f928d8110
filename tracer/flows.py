# SPDX-License-Identifier: Apache-2.0
"""The flow table: from the constant bytes of an event to everything known of its flow,
found out once, and the flow's running totals."""

from collections.abc import Callable, Iterable

from tracer import record
from tracer.event import Flow, Line, Observed, Process, flow_from_record
from tracer.record import FlowRecord

# One entry of the ring buffer: header, page offset, time, bytes sent, bytes received,
# nanoseconds elapsed, segments, error, struct flow
RingEntry = tuple[int, int, int, int, int, int, int, int, bytes]


class TrackedFlow:
    """A flow, its totals, and what the sinks have made of it once.

    ``first`` and ``last`` are in nanoseconds of CLOCK_BOOTTIME.
    """

    __slots__ = ("bytes", "count", "first", "flow", "last", "line", "row")

    def __init__(self, flow: Flow, first: int) -> None:
        self.flow = flow
        self.count = 0
        self.bytes = 0
        self.first = first
        self.last = first
        self.line: Line | None = None
        self.row: str | None = None


# One thing that happened, or ``count`` equal ones: time (CLOCK_BOOTTIME, nanoseconds), what
# was observed, count, flow.
Event = tuple[int, Observed, int, TrackedFlow]


class FlowTable:
    """Every flow of a run. ``process_of`` is asked once for each."""

    def __init__(self, process_of: Callable[[FlowRecord], Process | None]) -> None:
        self._process_of = process_of
        self._flows: dict[bytes, TrackedFlow] = {}

    def events(self, entries: Iterable[RingEntry]) -> list[Event]:
        """The ring's entries as events, their flows' totals brought up to date."""
        flows = self._flows
        events: list[Event] = []
        for _, _, time, size, received, elapsed, segments, error, tail in entries:
            tracked = flows.get(tail)
            if tracked is None:
                tracked = flows[tail] = self._track(tail, time)
            tracked.count += 1
            tracked.bytes += size
            tracked.last = time
            events.append((time, (size, received, elapsed, segments, error), 1, tracked))
        return events

    def all(self) -> Iterable[TrackedFlow]:
        """In the order of their first events."""
        return self._flows.values()

    def _track(self, tail: bytes, time: int) -> TrackedFlow:
        fields = record.unpack_flow(tail)
        return TrackedFlow(flow_from_record(fields, self._process_of(fields)), time)
