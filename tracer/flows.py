# SPDX-License-Identifier: Apache-2.0
"""The flow table: from the constant bytes of an event to everything known of its flow,
found out once, and what each process sent to each destination."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from tracer import record
from tracer.event import Endpoint, Flow, Line, Observed, Process
from tracer.record import Coalesced, FlowRecord, RingEntry

MOST_FLOWS: Final = 2048  # held at once; an older one that comes back is found out again
MOST_TOTALS: Final = 4096  # then half of them are counted together, by program


@dataclass(slots=True)
class Total:
    """What one sender sent to one destination; times are CLOCK_BOOTTIME, nanoseconds.

    ``sender`` says who where ``process`` is None: a device, or that it is unknown. ``dst`` None:
    several processes of one program and several destinations, counted together.
    """

    process: Process | None
    sender: str
    proto: str
    dst: Endpoint | None
    first: int
    last: int
    count: int = 0
    bytes: int = 0


class TrackedFlow:
    """A flow, the total that it counts in, and what the sinks have made of it once."""

    __slots__ = ("flow", "line", "row", "total")

    def __init__(self, flow: Flow, total: Total | None) -> None:
        """``total`` None: the filter leaves the flow out."""
        self.flow = flow
        self.total = total
        self.line: Line | None = None
        self.row: str | None = None


# One thing that happened, or ``count`` that were counted together: time of the first
# (CLOCK_BOOTTIME, nanoseconds), what was observed (of all, or of the last), count, flow, time of
# the last.
Event = tuple[int, Observed, int, TrackedFlow, int]


# events counted together, by ``struct flow``
Sum = tuple[bytes, Coalesced]

# what an ``existing`` event observed
NOTHING_SENT: Final = (0, 0, 0, 0, record.ERROR_NOT_OBSERVED)


class FlowTable:
    """The flows of late, and the totals of a run. ``flow_of`` is asked once for each flow, with
    the time of its first event; ``wanted``, whether it is to be seen. ``left_out`` counts the
    events of those that are not."""

    def __init__(
        self,
        flow_of: Callable[[FlowRecord, int], Flow],
        wanted: Callable[[Flow], bool] = lambda _: True,
    ) -> None:
        self.left_out = 0
        self._flow_of = flow_of
        self._wanted = wanted
        self._flows: dict[bytes, TrackedFlow] = {}
        self._totals: dict[tuple[object, ...], Total] = {}

    def events(self, entries: Iterable[RingEntry]) -> list[Event]:
        """The ring's entries as events, their totals brought up to date."""
        flows = self._flows
        events: list[Event] = []
        for _, _, time, size, received, elapsed, segments, error, tail in entries:
            tracked = flows.get(tail)
            if tracked is None:
                tracked = self._track(tail, time)
            total = tracked.total
            if total is None:
                self.left_out += 1
                continue
            total.count += 1
            total.bytes += size
            total.last = time
            events.append((time, (size, received, elapsed, segments, error), 1, tracked, time))
        return events

    def coalesced(self, sums: Iterable[Sum]) -> list[Event]:
        """Events that the kernel has counted by flow: one for each, with a ``count``."""
        events: list[Event] = []
        for tail, (count, size, received, elapsed, first, last, segments, error) in sums:
            tracked = self._flows.get(tail) or self._track(tail, first)
            total = tracked.total
            if total is None:
                self.left_out += count
                continue
            total.count += count
            total.bytes += size
            total.first, total.last = min(total.first, first), max(total.last, last)
            observed = (size, received, elapsed, segments, error)
            events.append((first, observed, count, tracked, last))
        return events

    def existing(self, flow: Flow, time: int) -> Event:
        """The event that says of a socket that it was there before, at ``time``."""
        return time, NOTHING_SENT, 0, TrackedFlow(flow, self._total(flow, time)), time

    def totals(self) -> list[Total]:
        """For each process (pid, start time and name), protocol and destination, most events
        first."""
        return sorted(self._totals.values(), key=lambda total: (-total.count, total.first))

    def _track(self, tail: bytes, time: int) -> TrackedFlow:
        if len(self._flows) >= MOST_FLOWS:
            for oldest in list(self._flows)[: MOST_FLOWS // 2]:
                del self._flows[oldest]
        fields = record.unpack_flow(tail)
        flow = self._flow_of(fields, time)
        total = self._total(flow, time) if self._wanted(flow) else None
        tracked = self._flows[tail] = TrackedFlow(flow, total)
        return tracked

    def _total(self, flow: Flow, time: int) -> Total:
        process = flow.process
        who = (process.pid, process.start_time, process.comm) if process else flow.sender
        key = (who, flow.proto, flow.dst)
        total = self._totals.get(key)
        if total is None:
            if len(self._totals) >= MOST_TOTALS:
                self._count_together()
            total = Total(process, flow.sender, flow.proto, flow.dst, time, time)
            self._totals[key] = total
        return total

    def _count_together(self) -> None:
        """Those that were active longest ago; memory stays bounded, and the sums right."""
        by_age = sorted(self._totals.items(), key=lambda item: item[1].last)
        old = [(key, total) for key, total in by_age[: MOST_TOTALS // 2] if total.dst]
        gone = {id(total) for _, total in old}
        for tail in [tail for tail, flow in self._flows.items() if id(flow.total) in gone]:
            del self._flows[tail]  # if it comes back, with a total of its own
        for key, total in old:
            del self._totals[key]
            exe = total.process.exe if total.process else None
            group = self._totals.setdefault(
                (total.sender, exe, total.proto),
                Total(None, total.sender, total.proto, None, total.first, total.last),
            )
            group.first = min(group.first, total.first)
            group.last = max(group.last, total.last)
            group.count += total.count
            group.bytes += total.bytes


def count_together(entries: Iterable[RingEntry]) -> list[Sum]:
    """Events of one flow and one error as one, as the kernel does it when the ring is full."""
    sums: dict[tuple[bytes, int], list[int]] = {}
    for _, _, time, size, received, elapsed, segments, error, tail in entries:
        known = sums.get((tail, error))
        if known is None:
            sums[tail, error] = [1, size, received, elapsed, time, time, segments]
        else:
            known[0] += 1
            known[1] += size
            known[2] += received
            known[5] = time
    return [(tail, Coalesced._make([*known, error])) for (tail, error), known in sums.items()]
