# SPDX-License-Identifier: Apache-2.0
"""Moves events from the source through the flow table to the sinks, batch by batch."""

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol, TypeVar

from tracer.clock import boot_now
from tracer.kernel.abi import RingEntry
from tracer.trace.event import Event, FlowAggregate, aggregate, merge
from tracer.trace.flow_table import FlowTable

T = TypeVar("T")

_TIME: Final = 2  # of a RingEntry
# Events read at once. When a batch is full, there are too many events for a log line each, so they
# are aggregated.
BATCH: Final = 4096
AT_ONCE: Final = 512  # events written at once: bounds the memory that their text takes
BUSY: Final = 512  # from this many events in a read on, reading less often costs less
INTERVAL: Final = 0.1  # seconds between lines for aggregated events
# Longest time between two reads of the overflow map. Longer, and the map may fill or process
# details expire.
MAX_INTERVAL: Final = 1.0
MAX_HELD: Final = 4096  # aggregates that wait for their line
PAUSE: Final = 0.02  # seconds between reads: the delay that a user sees
LONG_PAUSE: Final = 0.1  # the same when there is much to read


class Source(Protocol):
    """Where events come from (:class:`tracer.kernel.session.Session`)."""

    def read(self, limit: int) -> list[RingEntry]:
        """Returns the oldest events."""

    def release(self, count: int) -> None:
        """Gives back the room of that many events."""

    def unfinished(self, limit: int) -> list[RingEntry]:
        """Returns events whose end was missed; :meth:`read` does not return them."""

    def aggregated(self) -> list[FlowAggregate]:
        """Returns events that the kernel aggregated instead."""


class BeforeBatch(Protocol):
    """What is called before the flows of a batch are made."""

    def __call__(self, oldest: int, *, skip_lookups: bool) -> None:
        """``oldest`` (CLOCK_BOOTTIME, nanoseconds): no event still to come is older than this.
        ``skip_lookups``: there are too many events to look up everything about each flow."""


class Sink(Protocol):
    """Where events go."""

    def write(self, events: Sequence[Event]) -> None:
        """Writes a batch, in order."""


class Pace(NamedTuple):
    """``limit``: the number of lines after which to stop (None: no limit); one of them may stand
    for several events. ``interval``: how many seconds a line for aggregated events covers."""

    limit: int | None = None
    interval: float = INTERVAL


def not_before(time: int, entries: list[RingEntry]) -> list[RingEntry]:
    """Returns the entries that are not older than that (CLOCK_BOOTTIME, nanoseconds)."""
    return [entry for entry in entries if entry[_TIME] >= time]


class Pipeline:
    """Moves events from the source to the sinks."""

    def __init__(
        self,
        source: Source,
        flows: FlowTable,
        sinks: Sequence[Sink],
        before_batch: BeforeBatch,
        pace: Pace,
        since: int,
    ) -> None:
        """``since`` (CLOCK_BOOTTIME, nanoseconds): when all was attached. What the first hooks saw
        before that is left out: the others would have seen more."""
        self._source = source
        self._flows = flows
        self._sinks = sinks
        self._before_batch = before_batch
        self._since = since
        self._left = pace.limit
        self._interval = pace.interval
        self._held: dict[bytes, Event] = {}
        self._next_look = time.monotonic()
        self._next_line = self._next_look + pace.interval
        self._looked = self._oldest_read = boot_now()
        self._over = False
        self._was_full = False

    @property
    def done(self) -> bool:
        """Whether the limit has been reached."""
        return self._left == 0

    @property
    def complete_until(self) -> int:
        """The time (CLOCK_BOOTTIME, nanoseconds) before which all events have been written."""
        held = (event.time for event in self._held.values())
        return min(self._oldest_read, self._looked, *held)

    def run(
        self,
        stop: Callable[[], bool],
        check: Callable[[], None],
        pause: Callable[[float], None],
    ) -> None:
        """Moves events until ``stop`` says so or the limit is reached; calls ``check`` often, and
        ``pause`` to let so many seconds pass."""
        while not (self.done or stop()):
            check()
            moved = self._move()
            if moved < BATCH:
                pause(PAUSE if moved < BUSY else LONG_PAUSE)

    def look(self) -> None:
        """Moves at once what the kernel has, also what it has aggregated."""
        self._next_look = time.monotonic()
        self._move()

    def drain(self) -> None:
        """Moves what is left, once nothing more comes in."""
        self._over = True
        while not self.done and self._move():
            pass

    def _move(self) -> int:
        """Moves one batch; returns how many events it had."""
        # before the ring is read, which then has what was sent before what has come back
        aggregated = self._aggregated()
        entries = self._source.read(self._limit())
        full = len(entries) == BATCH
        aggregates = full or self._was_full
        self._was_full = full
        self._oldest_read = entries[0][_TIME] if entries else boot_now()
        self._source.release(len(entries))
        if self._oldest_read < self._since:
            late = not_before(self._since, entries)
            self._flows.left_out += len(entries) - len(late)
            entries = late
        self._before_batch(min(self._oldest_read, self._looked), skip_lookups=aggregates)
        if aggregates:
            self._give(self._flows.aggregated, aggregate(entries))
        else:
            self._give(self._flows.events, entries)
        unfinished = self._source.unfinished(self._limit())
        self._give(self._flows.events, unfinished)
        if aggregated:
            self._give_aggregated(*aggregated)
        return len(entries) + len(unfinished) + (len(aggregated[1]) if aggregated else 0)

    def _aggregated(self) -> tuple[int, list[FlowAggregate]] | None:
        """Returns what the kernel has aggregated, and until when that is all there is; None: it is
        not time to ask."""
        now = time.monotonic()
        if now < self._next_look and not self._over:
            return None
        self._next_look = now + min(self._interval, MAX_INTERVAL)
        began = boot_now()
        return began, self._source.aggregated()

    def _give_aggregated(self, began: int, found: list[FlowAggregate]) -> None:
        if found:
            self._before_batch(
                min(self._oldest_read, self._looked),
                skip_lookups=self._was_full or len(found) > BUSY,
            )
            found.sort(key=lambda one: one[1].first)
            if self._interval <= MAX_INTERVAL:
                self._give(self._flows.aggregated, found)
            else:
                self._hold(found)
        self._looked = began
        now = time.monotonic()
        if now >= self._next_line or self._over:
            self._next_line = now + self._interval
            self._give_held()

    def _hold(self, found: Sequence[FlowAggregate]) -> None:
        """Keeps aggregates until their line is due or there are too many."""
        for at in range(0, len(found), AT_ONCE):
            merge(self._held, self._flows.aggregated(found[at : at + AT_ONCE]))
            if len(self._held) >= MAX_HELD:
                self._give_held()

    def _give_held(self) -> None:
        held, self._held = sorted(self._held.values(), key=lambda event: event.time), {}
        self._give(list, held)

    def _limit(self) -> int:
        return BATCH if self._left is None else min(BATCH, self._left)

    def _give(self, events_of: Callable[[Sequence[T]], list[Event]], found: Sequence[T]) -> None:
        """Writes a part at a time, because events take far more memory than what they are made of.
        With a limit, writes one at a time, and stops when it is reached."""
        step = AT_ONCE if self._left is None else 1
        for at in range(0, len(found), step):
            if self.done:
                return
            events = events_of(found[at : at + step])
            if self._left is not None:
                self._left -= len(events)
            if events:
                for sink in self._sinks:
                    sink.write(events)
