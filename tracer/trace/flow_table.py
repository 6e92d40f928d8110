# SPDX-License-Identifier: Apache-2.0
"""The flow table: from the constant bytes of an event to everything known of its flow,
found out once, and what each process sent to each destination."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from tracer.kernel import abi
from tracer.kernel.abi import Coalesced, FlowRecord, RingEntry
from tracer.model.fields import Observed
from tracer.model.flow import ERROR_NOT_OBSERVED, Endpoint, Flow
from tracer.model.process import Process
from tracer.trace.line import Line

MOST_FLOWS: Final = 4096  # held at once; an older one that comes back is found out again
MOST_TOTALS: Final = 4096  # then half of them are counted together, by program; and half of the
# programs, if these are a quarter of all
_OTHERS: Final = "(others)"


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

    __slots__ = ("flow", "hasty", "key", "line", "row", "total", "undecided")

    def __init__(
        self,
        flow: Flow,
        total: Total | None,
        key: bytes = b"",
        *,
        hasty: bool = False,
        undecided: bool = False,
    ) -> None:
        """``total`` None: the filter leaves the flow out; ``undecided``: for want of knowing.
        ``key`` is its ``struct flow``. ``hasty``: not all was found out that could be."""
        self.flow = flow
        self.total = total
        self.key = key
        self.hasty = hasty
        self.undecided = undecided
        self.line: Line | None = None
        self.row: str | None = None


# One thing that happened, or ``count`` that were counted together: time of the first
# (CLOCK_BOOTTIME, nanoseconds), what was observed (of all, or of the last), count, flow, time of
# the last.
Event = tuple[int, Observed, int, TrackedFlow, int]


# events counted together, by ``struct flow``
Sum = tuple[bytes, Coalesced]

# what an ``existing`` event observed
NOTHING_SENT: Final = (0, 0, 0, 0, ERROR_NOT_OBSERVED)


class FlowTable:
    """The flows of late, and the totals of a run. ``flow_of`` is asked once for each flow, with
    the time of its first event; ``wanted``, whether it is to be seen, None where that cannot be
    decided. ``left_out`` counts the events of those that are not, ``undecided`` some of them."""

    def __init__(
        self,
        flow_of: Callable[[FlowRecord, int], Flow],
        wanted: Callable[[Flow], bool | None] = lambda _: True,
    ) -> None:
        self.left_out = 0
        self.undecided = 0
        self._hurry = False
        self._flow_of = flow_of
        self._wanted = wanted
        self._flows: dict[bytes, TrackedFlow] = {}
        self._totals: dict[tuple[object, ...], Total] = {}

    def begin(self, *, hurry: bool) -> None:
        """Before a batch. What is found out of flows in a hurry is found out again when they come
        back and there is time."""
        if self._hurry and not hurry:
            self._flows = {tail: flow for tail, flow in self._flows.items() if not flow.hasty}
        self._hurry = hurry

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
                self._leave_out(tracked, 1)
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
                self._leave_out(tracked, count)
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

    def _leave_out(self, tracked: TrackedFlow, count: int) -> None:
        self.left_out += count
        self.undecided += count * tracked.undecided

    def _track(self, tail: bytes, time: int) -> TrackedFlow:
        if len(self._flows) >= MOST_FLOWS:
            self._forget_flows()
        flow = self._flow_of(abi.unpack_flow(tail), time)
        wanted = self._wanted(flow)
        total = self._total(flow, time) if wanted else None
        tracked = self._flows[tail] = TrackedFlow(
            flow, total, tail, hasty=self._hurry, undecided=wanted is None
        )
        return tracked

    def _forget_flows(self) -> None:
        """The half whose totals were active longest ago, of those the oldest."""
        by_age = sorted(self._flows, key=self._last_active)
        for tail in by_age[: MOST_FLOWS // 2]:
            del self._flows[tail]

    def _last_active(self, tail: bytes) -> int:
        total = self._flows[tail].total
        return total.last if total else 0

    def _total(self, flow: Flow, time: int) -> Total:
        process = flow.process
        who = process.identity if process else flow.sender
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
        single = self._by_age(lambda total: total.dst is not None)
        moved = {id(self._totals[key]) for key in single[: len(single) // 2]}
        for tail in [tail for tail, flow in self._flows.items() if id(flow.total) in moved]:
            del self._flows[tail]  # if it comes back, with a total of its own
        self._group(single[: len(single) // 2])
        programs = self._by_age(lambda total: total.dst is None)
        if len(programs) > MOST_TOTALS // 4:
            self._group(programs[: len(programs) // 2])

    def _by_age(self, wanted: Callable[[Total], bool]) -> list[tuple[object, ...]]:
        """Keys, that of the total first that was active longest ago."""
        return sorted(
            (key for key, total in self._totals.items() if wanted(total)),
            key=lambda key: self._totals[key].last,
        )

    def _group(self, keys: Iterable[tuple[object, ...]]) -> None:
        """By program; what is a program's already, with the others."""
        for key in keys:
            self._add_to_group(self._totals.pop(key))

    def _add_to_group(self, total: Total) -> None:
        exe = total.process.exe if total.process else None
        sender = total.sender if total.dst else _OTHERS
        group = self._totals.setdefault(
            (sender, exe, total.proto),
            Total(None, sender, total.proto, None, total.first, total.last),
        )
        group.first = min(group.first, total.first)
        group.last = max(group.last, total.last)
        group.count += total.count
        group.bytes += total.bytes


def merge(held: dict[bytes, Event], events: Iterable[Event]) -> None:
    """Adds each event to the one of its flow, by ``struct flow``."""
    for event in events:
        key = event[3].key
        held[key] = _sum(held[key], event) if key in held else event


def _sum(earlier: Event, later: Event) -> Event:
    first, (size, received, *_), count, *_ = earlier
    _, (more, more_received, elapsed, segments, error), more_events, tracked, last = later
    observed = (size + more, received + more_received, elapsed, segments, error)
    return first, observed, count + more_events, tracked, last


def count_together(entries: Iterable[RingEntry]) -> list[Sum]:
    """Events of one flow and one error as one. (The kernel, when the ring is full, goes by the flow
    alone.)"""
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
