# SPDX-License-Identifier: Apache-2.0
"""``sockwatch report``: sums up by group what logs say."""

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tracer.filter.filters import NO_FILTERS, Filters
from tracer.report.decode import Numbers
from tracer.report.earlier import Earlier
from tracer.report.group import LATER, ORDERS, Group, Rest, measured_by, ordered
from tracer.report.keys import Keys, Seen, identity, says_who
from tracer.report.reader import FRACTION, SECOND, TIME, Reader
from tracer.report.runs import Runs
from tracer.report.times import Period, Timeline

ALL: Final = NO_FILTERS._replace(accept=True)
MAX_GROUPS: Final = 100_000  # beyond this, the least half are merged into one
_MAX_PARTS: Final = 1 << 14  # groups by process; beyond this, they are merged
_MAX_KNOWN: Final = 1 << 17  # parts that later flows may belong to, too
_MAX_PROCESSES: Final = 1_000_000  # of all groups; beyond this, those of a group are not counted


class Report(NamedTuple):
    """The groups in their ``order``, and the time that they span; how many lines were read, and
    how many were damaged; what was watched, and what the tracer had missed; how many events may
    belong to a group, but it is not known whose they are; and the files that are no logs. ``rest``
    are the least of too many groups; ``doubts`` are why they may not be all."""

    groups: list[Group]
    timeline: Timeline
    lines: int
    damaged: int
    runs: Runs
    undecided: int
    strangers: Sequence[Path]
    order: str = ORDERS[0]
    rest: Rest | None = None
    doubts: Sequence[str] = ()


def summarize(
    paths: Sequence[Path],
    keys: Sequence[str],
    filters: Filters,
    period: Period,
    advance: Callable[[int], None],
    continued: Collection[Path] = (),
    earlier: Earlier | None = None,
    order: str = ORDERS[0],
) -> Report:
    """Reads all files once, oldest first; ``advance`` is told the bytes read, ``earlier`` what
    there was before the period. ``continued`` are files that go on where the one before them ends.
    Raises OSError."""
    groups = Groups(keys, order)
    chosen, undecided = filters.of_flows, groups.undecided
    takes_all = chosen == ALL

    def group_of(seen: Seen) -> tuple[Group, bool] | None:
        if takes_all or chosen.matches(seen.flow):
            return groups.of(seen), seen.shape.shows_answers
        return (undecided, False) if chosen.may_match(seen.flow) else None

    reader = Reader(
        group_of,
        filters.passes_outcome,
        asks_for_own=filters.by_source,
    )
    timeline, measured = Timeline(period), measured_by(order)
    for path in paths:
        entries = reader.entries(path, advance, goes_on=path in continued)
        outside = earlier.at(reader.runs) if earlier else _leave_out
        _add(entries, measured, period, timeline, groups.begin, reader.count_damage, outside)
    reader.runs.end_log()
    doubts = max(undecided.count, bool(undecided.last))  # a socket from before counts 0
    return Report(
        ordered(groups.merged(), order),
        timeline,
        reader.lines,
        reader.damaged,
        reader.runs,
        doubts,
        reader.strangers,
        order,
        groups.rest,
    )


class Groups:
    """The groups by their keys' values. They are summed up in parts, one for each process if it is
    counted how many there are."""

    def __init__(self, keys: Sequence[str], order: str) -> None:
        self.undecided = Group({})
        self.rest: Rest | None = None
        self._order = order
        self._keys = Keys(keys)
        self._by_dst, self._by_port = "dst" in keys, "port" in keys
        self._counts_processes = "role" in keys
        self._says_who = says_who(keys)
        self._room = _MAX_PROCESSES
        self._parts: dict[Hashable, Group] = {}
        self._active: list[Group] = []  # parts that are not merged yet
        self._merged: dict[tuple[Hashable, ...], Group] = {}

    def of(self, seen: Seen) -> Group:
        """Returns the part that a flow belongs to."""
        shape = seen.shape
        if shape.known is None:
            process = identity(shape) if self._counts_processes else None
            shape.known = (*self._keys.shared(shape), process)
        key = shape.known, seen.dst if self._by_dst else None, seen.port if self._by_port else None
        part = self._parts.get(key)
        if part is None:
            if len(self._parts) >= _MAX_KNOWN:
                self._parts.clear()  # what has several parts is merged in the end
            part = self._parts[key] = Group(self._keys.all(shape.known, seen))
            if self._counts_processes:
                part.processes = shape.sender.alone if shape.sender else frozenset()
        if self._says_who:
            part.name(shape)
        return part

    def begin(self, part: Group) -> None:
        """Takes a part whose first event of the period comes."""
        if part is not self.undecided:
            if len(self._active) == _MAX_PARTS:
                self._merge()
            self._active.append(part)

    def merged(self) -> Iterable[Group]:
        """Returns the groups."""
        self._merge()
        return self._merged.values()

    def _merge(self) -> None:
        """Merges the parts into groups; the first part of a group becomes it."""
        for part in self._active:
            group = self._merged.setdefault(tuple(part.keys.values()), part)
            if group is not part:
                group.add(part)
                part.reset()
                self._count(group, part)
        self._active.clear()
        if len(self._merged) > MAX_GROUPS:
            self._merge_least()

    def _merge_least(self) -> None:
        """Merges the least half of the groups. One that comes back is another one."""
        least = ordered(self._merged.values(), self._order)[MAX_GROUPS // 2 :]
        number, sums = self.rest or Rest(0, Group({}))
        for group in least:
            sums.add(group)
            del self._merged[tuple(group.keys.values())]
            group.reset()
        self.rest = Rest(number + len(least), sums)

    def _count(self, group: Group, part: Group) -> None:
        """Counts the processes of a part of a group."""
        if group.processes is not None and part.processes is not None:
            known = group.processes if isinstance(group.processes, set) else {*group.processes}
            before = len(known)
            known |= part.processes
            self._room -= len(known) - before
            group.processes = known if self._room >= 0 else None


def _leave_out(_line: bytes, _latest: bytes) -> None:
    """Leaves out a line from outside of the period."""


def _add(  # noqa: C901  calls would take as long as all the rest
    entries: Iterable[tuple[bytes, Numbers, tuple[Group, bool], bool]],
    measured: int,
    period: Period,
    timeline: Timeline,
    begin: Callable[[Group], None],
    count_damage: Callable[[], None],
    outside: Callable[[bytes, bytes], None],
) -> None:
    """Adds each line that has a time to its group; ``begin`` is told of each group's first.
    ``measured`` is which of the numbers its activity is. What came back is 0 until a line says
    more, if it was counted. Runs for every line, so it leaves out what it can."""
    since, until, places = period.since.encode(), period.until.encode() or LATER, timeline.places
    limited = any(period)
    for line, (size, received, events, latest), (group, shows_answers), counted in entries:
        time = line[TIME]
        place = places.get(line[SECOND])
        if place is None or not line[FRACTION].isdigit():
            try:
                place = timeline.place_of(line[SECOND], time)
            except ValueError:
                count_damage()
                continue
        if limited and not since <= time <= until:
            outside(line, latest)
            continue
        group.count += events
        group.bytes += size
        if received is not None:
            group.received = (group.received or 0) + received
        elif counted and shows_answers and group.received is None:
            group.received = 0
        group.activity[place] += (size, received, events)[measured] or 0
        last = latest or time
        if last > group.last:
            if not group.last:
                begin(group)
            group.last = last
        if time < group.first:
            group.first = time
