# SPDX-License-Identifier: Apache-2.0
"""``sockwatch report``: sums up by group what logs say."""

import functools
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple
from weakref import WeakValueDictionary

from tracer.errors import SockwatchError
from tracer.filter.filters import Filters
from tracer.model.flow import Flow
from tracer.model.process import Process
from tracer.report.decode import Numbers
from tracer.report.earlier import Earlier
from tracer.report.reader import FRACTION, SECOND, TIME, Reader
from tracer.report.runs import Runs
from tracer.report.times import Period, Timeline

MAX_GROUPS: Final = 100_000  # a report of more is refused: it takes 250 MB, and nobody reads it
_LATER: Final = b"~"  # than any time


@dataclass(slots=True, weakref_slot=True, eq=False)
class Group:
    """What one group did; times are as in the log, ``activity`` is counts by a timeline's parts."""

    keys: dict[str, Any]
    first: bytes = _LATER
    last: bytes = b""
    count: int = 0
    bytes: int = 0
    received: int | None = None  # bytes
    activity: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))


class Report(NamedTuple):
    """The groups, most events first, and the time that they span; how many lines were read, and
    how many were damaged; what was watched, and what the tracer had missed; how many events may
    belong to a group, but it is not known whose they are; and the files that are no logs."""

    groups: list[Group]
    timeline: Timeline
    lines: int
    damaged: int
    runs: Runs
    undecided: int
    strangers: Sequence[Path]


# What groups are made by. A process is its pid and start time (whatever its name is by then), its
# program and its user: an exec makes it another one. A forwarded packet without one has an origin.
KEYS: Final[dict[str, Callable[[Flow, str | None], Hashable]]] = {
    "process": lambda flow, started: (
        _identity(flow.process, started) if flow.process else flow.origin and str(flow.origin)
    ),
    "exe": lambda flow, _: flow.process and flow.process.shown_exe,
    "dst": lambda flow, _: flow.dst.host,
    "user": lambda flow, _: flow.process and _user(flow.process),
    "container": lambda flow, _: (
        flow.process and flow.process.container and flow.process.container.id
    ),
    "unit": lambda flow, _: flow.process and next(iter(flow.process.units), None),
}
DEFAULT_KEYS: Final = ("process", "dst")


def summarize(
    paths: Sequence[Path],
    keys: Sequence[str],
    filters: Filters,
    period: Period,
    advance: Callable[[int], None],
    continued: Collection[Path] = (),
    earlier: Earlier | None = None,
) -> Report:
    """Reads all files once, oldest first; ``advance`` is told the bytes read, ``earlier`` what
    there was before the period. ``continued`` are files that go on where the one before them ends.
    Raises OSError, and SockwatchError beyond MAX_GROUPS."""
    groups = _Groups()
    undecided = Group({})
    # these two are decided for each line
    chosen = filters._replace(failed=False, proto=frozenset())

    def group_of(flow: Flow, started: str | None) -> tuple[Group, bool] | None:
        if not chosen.matches(flow):
            return (undecided, False) if chosen.may_match(flow) else None
        values = tuple(KEYS[name](flow, started) for name in keys)
        group = groups.of(keys, values)
        if "process" in keys:
            _name(group, flow, started)
        return group, flow.shows_answers

    reader = Reader(group_of, lambda proto, failed: _is_chosen(proto, failed, filters))
    timeline = Timeline(period)
    strangers = []
    for path in paths:
        lines, damaged = reader.lines, reader.damaged
        entries = reader.entries(path, advance, goes_on=path in continued)
        outside = earlier.at(reader.runs) if earlier else _leave_out
        _add(entries, period, timeline, groups.begin, reader.count_damage, outside)
        if reader.damaged - damaged >= max(1, reader.lines - lines):
            strangers.append(path)
    reader.runs.end_log()
    active = [group for group in groups.active if group is not undecided]
    active.sort(key=lambda group: (-group.count, group.first))
    doubts = max(undecided.count, bool(undecided.last))  # a socket from before counts 0
    return Report(active, timeline, reader.lines, reader.damaged, reader.runs, doubts, strangers)


class _Groups:
    """The groups by their keys' values. Those without an event of the period are forgotten with the
    flows that are theirs."""

    def __init__(self) -> None:
        self.active: list[Group] = []
        self._known: WeakValueDictionary[tuple[Hashable, ...], Group] = WeakValueDictionary()

    def of(self, keys: Sequence[str], values: tuple[Hashable, ...]) -> Group:
        """Returns the group of these values."""
        group = self._known.get(values)
        if group is None:
            group = self._known[values] = Group(dict(zip(keys, values, strict=True)))
        return group

    def begin(self, group: Group) -> None:
        """Takes a group whose first event of the period comes. Raises SockwatchError."""
        if len(self.active) == MAX_GROUPS:
            raise SockwatchError(
                f"there are more than {MAX_GROUPS:,} groups",
                "ask for less, by fewer keys (--by), a filter, or a period (--since, --until)",
            )
        self.active.append(group)


def _leave_out(_line: bytes, _latest: bytes) -> None:
    """Leaves out a line from outside of the period."""


def _add(  # noqa: C901  calls would take as long as all the rest
    entries: Iterable[tuple[bytes, Numbers, tuple[Group, bool], bool]],
    period: Period,
    timeline: Timeline,
    begin: Callable[[Group], None],
    count_damage: Callable[[], None],
    outside: Callable[[bytes, bytes], None],
) -> None:
    """Adds each line that has a time to its group; ``begin`` is told of each group's first. What
    came back is 0 until a line says more, if it was counted. Runs for every line, so it leaves out
    what it can."""
    since, until, places = period.since.encode(), period.until.encode() or _LATER, timeline.places
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
        group.activity[place] += events
        last = latest or time
        if last > group.last:
            if not group.last:
                begin(group)
            group.last = last
        if time < group.first:
            group.first = time


def _name(group: Group, flow: Flow, started: str | None) -> None:
    """Says who is behind a group: a process, or where its forwarded packets came from."""
    group.keys["process"] = flow.process and _process(flow.process, started)
    if flow.origin and not flow.process:
        group.keys["origin"] = str(flow.origin)


def _is_chosen(proto: str, failed: bool, filters: Filters) -> bool:
    return (failed or not filters.failed) and filters.passes_proto(proto)


def _identity(process: Process, started: str | None) -> tuple[Hashable, ...]:
    exe = process.shown_exe and process.shown_exe.removesuffix(" (deleted)")
    return process.pid, process.initial_pid, started, exe, process.uid


@functools.lru_cache(maxsize=4096)
def _process(process: Process, started: str | None) -> dict[str, Any]:
    """Returns a process as it was last seen; all groups share the result."""
    return {
        "pid": process.pid,
        "initial_pid": process.initial_pid,
        "start_time": started,
        "comm": process.comm,
        "exe": process.shown_exe,
        "user": _user(process),
    }


def _user(process: Process) -> str:
    return process.user or str(process.uid)
