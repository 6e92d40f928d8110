# SPDX-License-Identifier: Apache-2.0
"""``sockwatch report``: sums up by group what logs say."""

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from tracer.errors import SockwatchError
from tracer.filter.filters import Filters
from tracer.report.decode import Numbers
from tracer.report.earlier import Earlier
from tracer.report.group import LATER, ORDERS, Group, measured_by, ordered
from tracer.report.keys import KEYS, Seen, identity, says_who
from tracer.report.reader import FRACTION, SECOND, TIME, Reader
from tracer.report.runs import Runs
from tracer.report.times import Period, Timeline

MAX_GROUPS: Final = 100_000  # a report of more is refused: it takes 250 MB, and nobody reads it
_MAX_PARTS: Final = 1 << 14  # groups by process; beyond this, they are merged
_MAX_PROCESSES: Final = 1_000_000  # of all groups; beyond this, those of a group are not counted


class Report(NamedTuple):
    """The groups in their ``order``, and the time that they span; how many lines were read, and
    how many were damaged; what was watched, and what the tracer had missed; how many events may
    belong to a group, but it is not known whose they are; and the files that are no logs."""

    groups: list[Group]
    timeline: Timeline
    lines: int
    damaged: int
    runs: Runs
    undecided: int
    strangers: Sequence[Path]
    order: str = ORDERS[0]


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
    Raises OSError, and SockwatchError beyond MAX_GROUPS."""
    groups = _Groups(keys)
    chosen = of_flows(filters)
    undecided = groups.undecided

    def group_of(seen: Seen) -> tuple[Group, bool] | None:
        if chosen.matches(seen.flow):
            return groups.of(seen), seen.flow.shows_answers
        return (undecided, False) if chosen.may_match(seen.flow) else None

    reader = Reader(group_of, lambda proto, failed: is_chosen(proto, failed, filters))
    timeline, measured = Timeline(period), measured_by(order)
    strangers = []
    for path in paths:
        lines, damaged = reader.lines, reader.damaged
        entries = reader.entries(path, advance, goes_on=path in continued)
        outside = earlier.at(reader.runs) if earlier else _leave_out
        _add(entries, measured, period, timeline, groups.begin, reader.count_damage, outside)
        if reader.damaged - damaged >= max(1, reader.lines - lines):
            strangers.append(path)
    reader.runs.end_log()
    doubts = max(undecided.count, bool(undecided.last))  # a socket from before counts 0
    return Report(
        ordered(groups.merged(), order),
        timeline,
        reader.lines,
        reader.damaged,
        reader.runs,
        doubts,
        strangers,
        order,
    )


class _Groups:
    """The groups by their keys' values. They are summed up in parts, one for each process if it is
    counted how many there are. Parts without an event of the period are forgotten with the flows
    that are theirs."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.undecided = Group({})
        self._keys = keys
        self._counts_processes = "role" in keys
        self._says_who = says_who(keys)
        self._room = _MAX_PROCESSES
        self._parts: WeakValueDictionary[tuple[Hashable, ...], Group] = WeakValueDictionary()
        self._active: list[Group] = []  # parts that are not merged yet
        self._merged: dict[tuple[Hashable, ...], Group] = {}

    def of(self, seen: Seen) -> Group:
        """Returns the part that a flow belongs to."""
        values = tuple(KEYS[name](seen) for name in self._keys)
        process = identity(seen) if self._counts_processes else None
        part = self._parts.get((*values, process))
        if part is None:
            part = Group(dict(zip(self._keys, values, strict=True)))
            if self._counts_processes:
                part.processes = seen.sender.alone if seen.sender else frozenset()
            self._parts[(*values, process)] = part
        if self._says_who:
            part.name(seen)
        return part

    def begin(self, part: Group) -> None:
        """Takes a part whose first event of the period comes. Raises SockwatchError."""
        if part is not self.undecided:
            if len(self._active) == _MAX_PARTS:
                self._merge()
            self._active.append(part)

    def merged(self) -> Iterable[Group]:
        """Returns the groups. Raises SockwatchError."""
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
            raise SockwatchError(
                f"there are more than {MAX_GROUPS:,} groups",
                "ask for less, by fewer keys (--by), a filter, or a period (--since, --until)",
            )

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


def of_flows(filters: Filters) -> Filters:
    """Returns what of a filter is decided once for each flow."""
    return filters._replace(failed=False, proto=frozenset())


def is_chosen(proto: str, failed: bool, filters: Filters) -> bool:
    """Decides the rest, for each line."""
    return (failed or not filters.failed) and filters.passes_proto(proto)
