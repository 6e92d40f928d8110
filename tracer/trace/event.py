# SPDX-License-Identifier: Apache-2.0
"""Events on their way from the kernel's bytes to the sinks."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from tracer.kernel.abi import Aggregate, RingEntry
from tracer.model.flow import EventKind, Flow, Moved
from tracer.trace.totals import Total


class TrackedFlow:
    """A flow, the total that it counts in, and each sink's rendering, cached."""

    __slots__ = (
        "flow", "in_window", "is_end", "is_received", "key", "line", "lookups_skipped", "row",
        "sums", "told", "total", "undecided", "window",
    )  # fmt: skip

    def __init__(
        self,
        flow: Flow,
        total: Total | None,
        key: bytes = b"",
        *,
        lookups_skipped: bool = False,
        undecided: bool = False,
    ) -> None:
        """``total`` is None if the filter leaves the flow out; ``undecided``: because it could not
        decide. ``key`` is the ``struct flow``. ``lookups_skipped``: some details are missing.

        ``is_received``: its events are what came for a socket, whether that has sent or not."""
        self.flow = flow
        self.is_end = flow.kind is EventKind.CLOSE
        self.is_received = flow.kind in (EventKind.RECEIVE, EventKind.VOLUME)
        self.total = total
        self.key = key
        self.lookups_skipped = lookups_skipped
        self.undecided = undecided
        self.told = False  # whether there is a line of it
        self.window = -1 << 62  # when the last one began that its lines are counted in: nanoseconds
        self.in_window = 0  # so many events
        self.line: Any = None  # the log's rendering
        self.row: Any = None  # the screen's rendering
        self.sums: Any = None  # where the metrics count its events, by error


@dataclass(slots=True)
class Event:
    """One thing that happened, or ``count`` that were aggregated.

    ``time`` is the first one's, ``last_time`` the last one's: CLOCK_BOOTTIME, nanoseconds.
    ``bytes`` and ``received`` are sums. All else is the last one's: ``elapsed`` in nanoseconds,
    ``error`` an errno, 0 or ERROR_NOT_OBSERVED. ``since``: of the end of a connection, what no
    line has told of yet; None: that is not known.
    """

    time: int
    last_time: int
    count: int
    bytes: int
    received: int
    elapsed: int
    segments: int
    error: int
    tracked: TrackedFlow
    since: Moved | None = None


# A ``struct flow`` and the aggregate of its events.
FlowAggregate = tuple[bytes, Aggregate]


def aggregate(entries: Iterable[RingEntry]) -> list[FlowAggregate]:
    """Aggregates a batch by (flow, error); the kernel's overflow maps aggregate by flow only."""
    sums: dict[tuple[bytes, int], list[int]] = {}
    for _, _, time, size, received, elapsed, segments, error, key in entries:
        known = sums.get((key, error))
        if known is None:
            sums[key, error] = [1, size, received, elapsed, time, time, segments]
        else:
            known[0] += 1
            known[1] += size
            known[2] += received
            known[5] = time
    return [(key, Aggregate._make([*known, error])) for (key, error), known in sums.items()]


def merge(held: dict[bytes, Event], events: Iterable[Event]) -> None:
    """Adds each event to the one held for its flow; ``held`` is keyed by ``struct flow``."""
    for event in events:
        key = event.tracked.key
        held[key] = merged(held[key], event) if key in held else event


def merged(earlier: Event, later: Event) -> Event:
    """Returns what stands for two events of a flow."""
    return replace(
        later,
        time=earlier.time,
        count=earlier.count + later.count,
        bytes=earlier.bytes + later.bytes,
        received=earlier.received + later.received,
    )
