# SPDX-License-Identifier: Apache-2.0
"""``sockwatch report``: sums up by group what logs say."""

import datetime as dt
import functools
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from tracer.filter.filters import Filters
from tracer.model.flow import Flow
from tracer.model.process import Process
from tracer.report import reader
from tracer.report.reader import SECOND, TIME, Numbers, Reader

BUCKETS: Final = 24  # of a sparkline


class Period(NamedTuple):
    """First and last time, both included, as the log writes them; empty: no such limit."""

    since: str
    until: str


@dataclass(slots=True)
class Group:
    """What one group did; times are as in the log, ``activity`` is counts over time."""

    keys: dict[str, Any]
    first: bytes = b""
    last: bytes = b""
    count: int = 0
    bytes: int = 0
    activity: list[int] = field(default_factory=lambda: [0] * BUCKETS)


class Report(NamedTuple):
    """The groups, most events first; how many lines were read, how many were damaged, and how many
    events the tracer had lost."""

    groups: list[Group]
    lines: int
    damaged: int
    lost: int


# What groups are made by. A process is its pid and start time (whatever its name is by then), its
# program and its user: an exec makes it another one.
KEYS: Final[dict[str, Callable[[Flow, str | None], Hashable]]] = {
    "process": lambda flow, started: flow.process and _identity(flow.process, started),
    "exe": lambda flow, _: flow.process and flow.process.exe,
    "dst": lambda flow, _: flow.dst.addr and str(flow.dst.addr),
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
) -> Report:
    """Reads all files once, oldest first; ``advance`` is told the bytes read. Raises
    OSError."""
    groups: dict[tuple[Hashable, ...], Group] = {}
    chosen = filters._replace(failed=False)  # that is decided for each line

    def group_of(flow: Flow, started: str | None) -> Group | None:
        if not chosen.matches(flow._replace(proto="udp" if "udp" in chosen.proto else "tcp")):
            return None
        values = tuple(KEYS[name](flow, started) for name in keys)
        group = groups.get(values)
        if group is None:
            group = groups[values] = Group(dict(zip(keys, values, strict=True)))
        if flow.process and "process" in keys:
            group.keys["process"] = _process(flow.process, started)
        return group

    reader = Reader(group_of, lambda proto, failed: _is_chosen(proto, failed, filters))
    clock = _Clock(paths, period)
    for path in paths:
        _add(reader.entries(path, advance), period, clock)
    active = [group for group in groups.values() if group.first]
    active.sort(key=lambda group: (-group.count, group.first))
    return Report(active, reader.lines, reader.damaged + clock.not_a_time, reader.lost)


def _add(entries: Iterable[tuple[bytes, Numbers, Group]], period: Period, clock: "_Clock") -> None:
    """Adds each line to its group. Runs for every line, so it leaves out what it can."""
    since, until, places = period.since.encode(), period.until.encode(), clock.places
    for line, (size, events, latest), group in entries:
        place = places.get(line[SECOND])
        if place is None and (place := clock.place_of(line[SECOND])) is None:
            continue
        time = line[TIME]
        if time < since or (until and time > until):
            continue
        group.count += events
        group.bytes += size
        group.activity[place] += events
        last = latest or time
        if last > group.last:
            group.last = last
        if time < group.first or not group.first:
            group.first = time


def _is_chosen(proto: str, failed: bool, filters: Filters) -> bool:
    return (failed or not filters.failed) and proto.removesuffix("lite") in filters.proto


class _Clock:
    """Maps a line's time to its place in a sparkline: equal parts of the files' whole time."""

    def __init__(self, paths: Sequence[Path], period: Period) -> None:
        times = [reader.first_time(path) for path in paths] + [_end_of(path) for path in paths]
        known = sorted(time for time in times if time)
        begin = max(period.since, known[0]) if known else ""
        end = min(period.until or known[-1], known[-1]) if known else ""
        self._begin = _seconds(begin)
        self._width = max((_seconds(end) - self._begin) / BUCKETS, 1)
        self.places: dict[bytes, int] = {}
        self.not_a_time = 0

    def place_of(self, second: bytes) -> int | None:
        """Returns the place of a second, as the log writes it; None (and counted) if it is none."""
        seconds = _seconds(second.decode("ascii", "replace"))
        if not seconds:
            self.not_a_time += 1
            return None
        at = int((seconds - self._begin) / self._width)
        self.places[second] = found = min(max(at, 0), BUCKETS - 1)
        return found


def _end_of(path: Path) -> str | None:
    """Returns a file's last time; if compressed, when it was written, which is near enough."""
    if path.suffix != ".gz":
        return reader.last_time(path)
    written = dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)
    return as_logged(written)


def as_logged(time: dt.datetime) -> str:
    """Returns a time as the log writes it, so that text compares as time does."""
    utc = time.astimezone(dt.UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


def _seconds(time: str) -> float:
    """Returns seconds since the epoch; 0 if it is no time."""
    try:
        return dt.datetime.fromisoformat(f"{time[:19]}+00:00").timestamp()
    except ValueError:
        return 0


def _identity(process: Process, started: str | None) -> tuple[Hashable, ...]:
    exe = process.exe and process.exe.removesuffix(" (deleted)")
    return process.pid, process.initial_pid, started, exe, process.uid


@functools.lru_cache(maxsize=4096)
def _process(process: Process, started: str | None) -> dict[str, Any]:
    """Returns a process as it was last seen; all groups share the result."""
    return {
        "pid": process.pid,
        "initial_pid": process.initial_pid,
        "start_time": started,
        "comm": process.comm,
        "exe": process.exe,
        "user": _user(process),
    }


def _user(process: Process) -> str:
    return process.user or str(process.uid)
