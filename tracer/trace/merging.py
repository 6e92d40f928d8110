# SPDX-License-Identifier: Apache-2.0
"""Merges what a flow sends often: it gets a line ten times a second, not one for each event."""

from collections.abc import Callable, Sequence
from typing import Final

from tracer.clock import boot_now
from tracer.model.flow import EventKind
from tracer.trace.event import Event, TrackedFlow, merged
from tracer.trace.pipeline import Sink

WINDOW: Final = 100_000_000  # nanoseconds
FREE: Final = 2  # events of a flow in a window that have a line each: 20 a second
_NEVER: Final = 1 << 63
_MAX_HELD: Final = 4096  # events that wait for their line


class Merging:
    """Gives the first events of a flow on at once, and more of them as one, when their window ends.
    A flow that goes on like that has one event for each window. Sums stay exact."""

    def __init__(self, sink: Sink, now: Callable[[], int] = boot_now) -> None:
        """``now`` returns CLOCK_BOOTTIME in nanoseconds."""
        self._sink = sink
        self._now = now
        self._held: dict[TrackedFlow, dict[int, Event]] = {}  # by error
        self._next_end = _NEVER  # of the windows of what is held

    @property
    def complete_until(self) -> int:
        """The time (CLOCK_BOOTTIME, nanoseconds) before which nothing is held."""
        held = (event.time for events in self._held.values() for event in events.values())
        return min(held, default=_NEVER)

    def write(self, events: Sequence[Event]) -> None:
        """Takes a batch."""
        given: list[Event] = []
        for event in events:
            if event.tracked.flow.kind is not EventKind.SEND:
                given.append(event)
                continue
            if event.time >= event.tracked.window + WINDOW:
                self._begin_window(event, given)
            event.tracked.in_window += 1
            if event.tracked.in_window <= FREE:
                given.append(event)
            else:
                self._hold(event)
        if given:
            self._sink.write(given)
        if len(self._held) >= _MAX_HELD:
            self.flush()

    def check(self) -> None:
        """Gives on what has waited until the end of its window."""
        now = self._now()
        if now >= self._next_end:
            self._give(now - WINDOW)

    def flush(self) -> None:
        """Gives on all that is held."""
        self._give(_NEVER)

    def _begin_window(self, event: Event, given: list[Event]) -> None:
        """Begins a flow's window at an event, after what is held of the one before. A flow that had
        many then has no event of its own in this one, either."""
        tracked = event.tracked
        was_busy = tracked.in_window > FREE and event.time < tracked.window + 2 * WINDOW
        given += self._held.pop(tracked, {}).values()
        tracked.window = event.time
        tracked.in_window = FREE if was_busy else 0

    def _hold(self, event: Event) -> None:
        held = self._held.setdefault(event.tracked, {})
        known = held.get(event.error)
        held[event.error] = merged(known, event) if known else event
        self._next_end = min(self._next_end, event.tracked.window + WINDOW)

    def _give(self, begun: int) -> None:
        """Gives on what is held of windows that began until then."""
        due = [tracked for tracked in self._held if tracked.window <= begun]
        events = [event for tracked in due for event in self._held.pop(tracked).values()]
        self._next_end = min((tracked.window + WINDOW for tracked in self._held), default=_NEVER)
        if events:
            self._sink.write(sorted(events, key=lambda event: event.time))
