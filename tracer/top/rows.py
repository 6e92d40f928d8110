# SPDX-License-Identifier: Apache-2.0
"""The rows of ``sockwatch top``: what was sent and received, in all and in the last interval."""

import copy
import enum
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from tracer.filter.filters import Filters
from tracer.model.flow import Endpoint, Flow, Moved, Nat
from tracer.model.process import Process
from tracer.model.who import role
from tracer.trace.event import Event
from tracer.trace.totals import OTHERS

# Beyond this, the least recent half are merged by role and destination. If merged ones are more
# than a quarter of this, the least recent half of them are merged by role, then into (others).
MAX_TALKS: Final = 4096
_ANYWHERE: Final = Endpoint(None, None)
_NEW: Final = 5  # intervals for which a row is new
_NO_PLACE: Final = "(none)"


# Makes a flow that stands for more; None: for all.
Coarser = Callable[[Flow], Flow | None]


class By(enum.Enum):
    """What makes a row; the values are the words for it."""

    PROGRAM = "program"
    PROCESS = "process"
    DESTINATION = "destination"
    CONTAINER = "container"


class Sort(enum.Enum):
    """What rows are sorted by, most first."""

    SENT = "sent"
    RECEIVED = "received"
    EVENTS = "events"


class Amounts(NamedTuple):
    """Events, and payload in bytes each way; of a rate, a second. ``received`` is None if it is not
    known."""

    events: float = 0
    sent: float = 0
    received: float | None = None

    def plus(self, events: float, sent: float, received: float | None) -> "Amounts":
        """Adds to it; what is known stays known."""
        known = self.received if received is None else received + (self.received or 0)
        return Amounts(self.events + events, self.sent + sent, known)

    def since(self, before: "Amounts", seconds: float) -> "Amounts":
        """Returns how much more it is than ``before``, a second."""
        more = None if self.received is None else self.received - (before.received or 0)
        return Amounts(
            (self.events - before.events) / seconds,
            (self.sent - before.sent) / seconds,
            None if more is None else more / seconds,
        )


class Talk:
    """What one process sent to and received from one destination; ``flow`` is the last one of it,
    None of (others). Times are CLOCK_BOOTTIME, nanoseconds; ``made`` counts intervals. ``merged``
    is how many were made this one, 0 if it is a single one."""

    __slots__ = ("before", "ended", "first", "flow", "last", "made", "merged", "rate", "total")

    def __init__(self, flow: Flow | None, time: int, made: int) -> None:
        self.flow = flow
        self.first = self.last = time
        self.made = made
        self.total = self.before = self.rate = Amounts()
        self.ended = False
        self.merged = 0

    @property
    def process(self) -> Process | None:
        """Who talks; None if that is not known."""
        return self.flow and self.flow.process

    def add(self, event: Event) -> None:
        """Adds an event."""
        self.flow = event.tracked.flow
        self.last = max(self.last, event.last_time)
        sent, received = _moved(event)
        total = event.tracked.total
        known = received or (total is not None and total.received is not None)
        self.total = self.total.plus(event.count, sent, received if known else None)

    def merge(self, other: "Talk") -> None:
        """Adds another one."""
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.made = min(self.made, other.made)
        self.total = self.total.plus(*other.total)
        self.before = self.before.plus(*other.before)
        self.ended &= other.ended
        self.merged += 1 + other.merged

    def passes(self, filters: Filters | None) -> bool:
        """Says whether a filter selects it. (others) may be anybody; of what was merged, pids and
        local addresses are not known any more."""
        if filters is None or self.flow is None:
            return True
        return filters.matches(self.flow) and not (self.merged and (filters.pid or filters.src))


class Row(NamedTuple):
    """A line of the screen: talks that have ``key`` in common, the busiest first."""

    key: object
    talks: Sequence[Talk]
    total: Amounts
    rate: Amounts
    is_new: bool
    is_gone: bool

    @property
    def processes(self) -> list[Process]:
        """The processes, each once, the busiest first."""
        found = (talk.process for talk in self.talks)
        return list({one.identity: one for one in found if one}.values())


class Grouped(Protocol):
    """Makes rows."""

    def __call__(self, by: By, sort: Sort, filters: Filters | None) -> list[Row]:
        """Returns the rows of what passes the filter, those with the highest rates first."""


class Rows:
    """A sink that keeps what was sent and received. ``is_alive`` says whether a process is there
    still."""

    def __init__(self, is_alive: Callable[[Process], bool]) -> None:
        self._is_alive = is_alive
        self._intervals = 0
        self._talks: dict[object, Talk] = {}

    def write(self, events: Sequence[Event]) -> None:
        """Adds events."""
        for event in events:
            self._of(event).add(event)

    def end_interval(self, seconds: float) -> None:
        """Sets the rates of an interval that took so long, and looks who has ended."""
        self._intervals += 1
        for talk in self._talks.values():
            talk.rate = talk.total.since(talk.before, seconds)
            talk.before = talk.total
        self._look_for_the_ended()

    def grouped(self, by: By, sort: Sort, filters: Filters | None) -> list[Row]:
        """Returns the rows of what passes the filter, those with the highest rates first."""
        return grouped(self._talks.values(), self._intervals, by, sort, filters)

    def frozen(self) -> Grouped:
        """Returns :meth:`grouped` of what is now, whatever comes later."""
        talks, intervals = list(map(copy.copy, self._talks.values())), self._intervals
        return lambda by, sort, filters: grouped(talks, intervals, by, sort, filters)

    def _of(self, event: Event) -> Talk:
        key = _key(event.tracked.flow)
        talk = self._talks.get(key)
        if talk is None:
            if len(self._talks) >= MAX_TALKS:
                self._merge_oldest()
            talk = self._talks[key] = Talk(event.tracked.flow, event.time, self._intervals)
        return talk

    def _merge_oldest(self) -> None:
        single = self._by_age(lambda talk: not talk.merged)
        self._merge(single[: len(single) // 2], lambda flow: flow)
        self._shrink(lambda flow: flow.dst != _ANYWHERE, _to_anywhere)
        self._shrink(lambda _: True, lambda _: None)

    def _shrink(self, wanted: Callable[[Flow], bool], coarser: Coarser) -> None:
        """Merges wanted ones again while there are too many."""

        def is_wanted(talk: Talk) -> bool:
            return talk.merged > 0 and talk.flow is not None and wanted(talk.flow)

        while len(found := self._by_age(is_wanted)) > MAX_TALKS // 4:
            self._merge(found[: len(found) // 2], coarser)

    def _by_age(self, wanted: Callable[[Talk], bool]) -> list[object]:
        """Returns the keys of the wanted, those that were active longest ago first."""
        found = (key for key, talk in self._talks.items() if wanted(talk))
        return sorted(found, key=lambda key: self._talks[key].last)

    def _merge(self, keys: Iterable[object], coarser: Coarser) -> None:
        """Merges each into the talk of its role with what ``coarser`` makes of its flow."""
        for key in keys:
            one = self._talks.pop(key)
            flow = one.flow and coarser(one.flow)
            target = (sender(flow), flow.proto, flow.dst) if flow else OTHERS
            if target not in self._talks:
                self._talks[target] = Talk(flow, one.first, one.made)
                self._talks[target].ended = one.ended and flow is not None
            self._talks[target].merge(one)

    def _look_for_the_ended(self) -> None:
        """Asks after the processes that were quiet; who has ended stays so."""
        known: dict[object, bool] = {}
        for talk in self._talks.values():
            process = talk.process
            if talk.ended or process is None or process.pid is None or talk.rate.events:
                continue
            key = process.pid, process.start_time
            if key not in known:
                known[key] = not self._is_alive(process)
            talk.ended = known[key]


def grouped(
    talks: Iterable[Talk], intervals: int, by: By, sort: Sort, filters: Filters | None
) -> list[Row]:
    """Returns the rows of talks that pass the filter, those with the highest rates first."""
    groups: dict[object, list[Talk]] = {}
    for talk in talks:
        if talk.passes(filters):
            groups.setdefault(_KEYS[by](talk.flow) if talk.flow else OTHERS, []).append(talk)
    most = _most(sort)
    rows = [_row(key, sorted(found, key=most), intervals) for key, found in groups.items()]
    return sorted(rows, key=most)


def place(process: Process | None) -> str:
    """Returns the container or unit that a process is in."""
    return (process and role(process).place) or _NO_PLACE


def _row(key: object, talks: Sequence[Talk], intervals: int) -> Row:
    total, rate = Amounts(), Amounts()
    for talk in talks:
        total, rate = total.plus(*talk.total), rate.plus(*talk.rate)
    oldest = min(talk.made for talk in talks)
    # of those from before the first interval ended, it is not known
    is_new = oldest > 0 and intervals - oldest <= _NEW
    return Row(key, talks, total, rate, is_new, all(talk.ended for talk in talks))


def _most(sort: Sort) -> Callable[[Talk | Row], tuple[float, float]]:
    """Returns what sorts by rate, then by all, most first."""

    def key(one: Talk | Row) -> tuple[float, float]:
        return -(getattr(one.rate, sort.value) or 0), -(getattr(one.total, sort.value) or 0)

    return key


def _moved(event: Event) -> Moved:
    """Returns what an event tells of that none before has."""
    if event.tracked.is_end:
        return event.since or Moved(0, 0)
    return Moved(event.bytes, event.received)


def _key(flow: Flow) -> object:
    """Returns what talks are kept by: all that a filter may ask for, but for the local port."""
    return _identity(flow), flow.proto, flow.dst, flow.src.addr, flow.netns


def _to_anywhere(flow: Flow) -> Flow:
    return flow._replace(dst=_ANYWHERE, nat=Nat())


def sender(flow: Flow | None) -> object:
    """Returns the role of who talks; without a process, what stands for it."""
    if flow is None:
        return OTHERS
    return role(flow.process) if flow.process else flow.sender


def _identity(flow: Flow) -> object:
    return flow.process.identity if flow.process else flow.sender


_KEYS: Final[dict[By, Callable[[Flow], object]]] = {
    By.PROGRAM: sender,
    By.PROCESS: _identity,
    By.DESTINATION: lambda flow: (flow.proto, flow.dst),
    By.CONTAINER: lambda flow: place(flow.process),
}
