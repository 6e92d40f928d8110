# SPDX-License-Identifier: Apache-2.0
"""Source, flows, sinks: one batch after the other until it is time to stop."""

import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

from tracer.clock import boot_now
from tracer.kernel.abi import RingEntry
from tracer.trace.flow_table import Event, FlowTable, Sum, count_together, merge

T = TypeVar("T")

# Events read at once. A full batch is a crowd, more than the log should have a line for each of:
# they are counted together by flow.
BATCH: Final = 4096
AT_ONCE: Final = 512  # events written at once: bounds the memory that their text takes
BUSY: Final = 512  # events in a read, beyond which reading less often costs less
INTERVAL: Final = 0.1  # seconds between lines for what was counted by flow
LONGEST_INTERVAL: Final = 1.0  # and between looks at it: the kernel must have room, and processes
# are remembered until then
MOST_HELD: Final = 4096  # flows whose sums wait for their line
PAUSE: Final = 0.02  # seconds between reads: the delay that a user sees
LONG_PAUSE: Final = 0.1  # and when there is much to read


class Source(Protocol):
    """Where events come from (:class:`tracer.kernel.session.Session`)."""

    def read(self, most: int) -> list[RingEntry]:
        """The oldest events."""

    def release(self, count: int) -> None:
        """Done with that many."""

    def unfinished(self, most: int) -> list[RingEntry]:
        """Events whose end was missed, apart from the ones that are read."""

    def coalesced(self) -> list[Sum]:
        """Events that were counted by flow instead."""


class Learner(Protocol):
    """What must know of a batch before its flows are made."""

    def __call__(self, oldest: int, *, hurry: bool) -> None:
        """No event that is still to come is older than ``oldest`` (CLOCK_BOOTTIME, nanoseconds).
        ``hurry``: there is too much to find out all of each flow."""


class Sink(Protocol):
    """Where events go."""

    def write(self, events: Sequence[Event]) -> None:
        """Takes a batch, in order; it is out of this process when the call returns."""


class Pipeline:
    """Moves events until ``limit`` have passed (None: no limit)."""

    def __init__(
        self,
        source: Source,
        learn: Learner,
        flows: FlowTable,
        sinks: Sequence[Sink],
        check: Callable[[], None],
        limit: int | None = None,
        interval: float = INTERVAL,
    ) -> None:
        """``check`` is called now and then; ``interval`` is how many seconds a line stands for, of
        what was counted by flow."""
        self._source = source
        self._learn = learn
        self._flows = flows
        self._sinks = sinks
        self._check = check
        self._left = limit
        self._interval = interval
        self._held: dict[bytes, Event] = {}
        self._next_look = time.monotonic()
        self._next_line = self._next_look + interval
        self._looked = self._oldest_read = boot_now()
        self._over = False
        self._was_full = False

    @property
    def done(self) -> bool:
        """Has the limit been reached?"""
        return self._left == 0

    def run(self, stop: Callable[[], bool]) -> None:
        """Until ``stop`` says so or the limit is reached."""
        while not (self.done or stop()):
            self._check()
            moved = self._move()
            if moved < BATCH:
                time.sleep(PAUSE if moved < BUSY else LONG_PAUSE)

    def drain(self) -> None:
        """What is left, once nothing more comes in."""
        self._over = True
        while not self.done and self._move():
            pass

    def _move(self) -> int:
        """One batch; how many events it had."""
        entries = self._source.read(self._most())
        full = len(entries) == BATCH
        crowd = full or self._was_full
        self._was_full = full
        self._oldest_read = entries[0][2] if entries else boot_now()
        self._source.release(len(entries))
        self._learn(min(self._oldest_read, self._looked), hurry=crowd)
        if crowd:
            self._give(self._flows.coalesced, count_together(entries))
        else:
            self._give(self._flows.events, entries)
        unfinished = self._source.unfinished(self._most())
        self._give(self._flows.events, unfinished)
        return len(entries) + len(unfinished) + self._move_coalesced()

    def _move_coalesced(self) -> int:
        now = time.monotonic()
        if now < self._next_look and not self._over:
            return 0
        self._next_look = now + min(self._interval, LONGEST_INTERVAL)
        began = boot_now()
        sums = self._source.coalesced()
        if sums:
            hurry = self._was_full or len(sums) > BUSY
            self._learn(min(self._oldest_read, self._looked), hurry=hurry)
            sums.sort(key=lambda one: one[1].first)
            if self._interval <= LONGEST_INTERVAL:
                self._give(self._flows.coalesced, sums)
            else:
                self._hold(sums)
        self._looked = began
        if now >= self._next_line or self._over:
            self._next_line = now + self._interval
            self._give_held()
        return len(sums)

    def _hold(self, sums: Sequence[Sum]) -> None:
        """Until their line is due; or there are too many."""
        for at in range(0, len(sums), AT_ONCE):
            merge(self._held, self._flows.coalesced(sums[at : at + AT_ONCE]))
            if len(self._held) >= MOST_HELD:
                self._give_held()

    def _give_held(self) -> None:
        held, self._held = sorted(self._held.values(), key=lambda event: event[0]), {}
        self._give(list, held)

    def _most(self) -> int:
        return BATCH if self._left is None else min(BATCH, self._left)

    def _give(self, events_of: Callable[[Sequence[T]], list[Event]], found: Sequence[T]) -> None:
        """A part at a time: what is made of it takes far more memory than it does. One at a time
        where there is a limit, which one may reach."""
        step = AT_ONCE if self._left is None else 1
        for at in range(0, len(found), step):
            if self.done:
                return
            events = events_of(found[at : at + step])
            if self._left is not None:
                self._left = max(0, self._left - sum(event[2] for event in events))
            if events:
                for sink in self._sinks:
                    sink.write(events)
