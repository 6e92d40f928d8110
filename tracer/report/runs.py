# SPDX-License-Identifier: Apache-2.0
"""What was watched when, and what was missed when: collected from a log's lines about its runs.

Times are text as the log has it, which compares as time does.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tracer.model.protocols import ReceivedOf
from tracer.report import decode, times
from tracer.report.decode import Host, Mark, Watched

EVER: Final = "~"  # later than any time
_MAX_MISSED: Final = 10_000  # beyond this, all that is known is merged by name
_MAX_SEGMENTS: Final = 100_000  # beyond this, the first half are forgotten: not covered
_SUMS: Final = ("undecided", "unfinished", "log_lines_lost")  # counts since the run's start


class Span(NamedTuple):
    """First and last time."""

    since: str
    until: str

    def touches(self, other: "Span") -> bool:
        """Says whether they have a moment in common."""
        return self.since <= other.until and other.since <= self.until


NEVER: Final = Span("", "")


class Segment(NamedTuple):
    """A time in which a run watched the same; None: not known what. ``run`` numbers the runs;
    ``host`` is the name of its machine, None: not known; of a second machine of one name, with its
    id. Of each host there is one, NEVER if no other."""

    span: Span
    watched: Watched | None
    run: int
    host: str | None = None


class Missed(NamedTuple):
    """So much of something was missed at some moment of a time; None: not known how much."""

    name: str
    number: int | None
    span: Span


class Rotated(NamedTuple):
    """So many lines of a run are gone with old backups; ``before`` is the first that is left."""

    lines: int
    before: str


@dataclass
class _Run:
    """A run whose end is not read yet. ``base``: how many lines were read before its first; None:
    not known. ``counted``: when it was last known what its filter could not decide."""

    since: str
    watched: Watched | None
    base: int | None
    counted: str
    counts: dict[str, int | None] = field(default_factory=dict)


class Runs:
    """Collects segments, and what was missed. ``span`` is the time of all lines."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.missed: list[Missed] = []
        self.rotated: list[Rotated] = []
        self.number = 0  # of the runs that have begun
        self._machines: dict[str, str | None] = {}  # the id of the first of each name
        self._run: _Run | None = None
        self._times: list[str] = []  # first and last of each log
        self._time = ""  # of the latest line of this log
        self._marked = ""  # of the latest line about a run
        self._damaged = 0  # lines since then
        self.host: Host | None = None  # of the run whose lines are read; None: not known

    @property
    def span(self) -> Span | None:
        """The time of all lines; None: none has a time."""
        return Span(min(self._times), max(self._times)) if self._times else None

    @property
    def received_of(self) -> ReceivedOf | None:
        """Of which sockets the run whose lines are read counts what they receive; None: not known,
        or no run's (a damaged line may have been another one's first)."""
        if self._damaged or self._run is None or self._run.watched is None:
            return None
        return self._run.watched.received_of

    def begin_log(self, first_line: bytes, lines: int) -> None:
        """Begins another log: no run goes on there. ``lines`` were read before it."""
        self.end_log()
        self.host = None
        self._time = self._marked = ""
        self._reach(_time_of(first_line))
        self._marked = self._time
        if self._time:
            self._begin(self._time, None, lines)

    def reach(self, line: bytes) -> None:
        """Takes the latest line that is an event."""
        self._reach(_time_of(line))

    def damage(self) -> None:
        """Takes a line that is damaged, or a file that is cut short."""
        self._damaged += 1

    def mark(self, mark: Mark, lines: int) -> None:
        """Takes a line about a run; ``lines`` were read before it."""
        if mark.event == "start":
            self._end(self._time)
            self._enter(mark.host)
            self._begin(mark.time, mark.watched, lines)
        elif mark.event == "alive":
            self._enter(mark.host)
            self._alive(mark, lines)
        elif mark.event == "netns" and mark.netns:
            self._replace_netns(mark.time, *mark.netns)
        for name, count in mark.losses.items():
            self._miss(name, count, mark.time)
        self._count(mark)
        if mark.event == "stop":
            self._end(mark.time, stopped=True)
        self._miss("damaged", self._damaged, mark.time)
        self._damaged = 0
        self._marked = mark.time
        self._reach(mark.time)

    def end_log(self) -> None:
        """Ends a log: a run that has not stopped was killed, or goes on."""
        self._end(self._time)
        self._miss("damaged", self._damaged, EVER)
        self._damaged = 0
        if self._time:
            self._times.append(self._time)

    def _enter(self, host: Host | None) -> None:
        """Takes the host of the lines that come."""
        if host != self.host:
            self.host = host
            self.segments.append(Segment(NEVER, None, 0, self._name()))

    def _name(self) -> str | None:
        """Returns what the host is told by."""
        if self.host is None:
            return None
        name, machine, _ = self.host
        first = self._machines.setdefault(name, machine)
        return name if machine in (first, None) else f"{name} ({machine[:8]})"

    def _reach(self, time: str) -> None:
        if time and not self._time:
            self._times.append(time)
        self._time = max(self._time, time)

    def _begin(self, time: str, watched: Watched | None, base: int | None) -> None:
        self.number += 1
        self._run = _Run(time, watched, base, time)

    def _end(self, time: str, *, stopped: bool = False) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        if not stopped and run.watched and _may_be_undecided(run.watched):
            time = run.counted
        if run.since < time:
            span = Span(run.since, time)
            self.segments.append(Segment(span, run.watched, self.number, self._name()))
            if len(self.segments) > _MAX_SEGMENTS:
                del self.segments[: _MAX_SEGMENTS // 2]
            if run.watched and run.counts.get("existing") is None:
                self.missed.append(Missed("existing", None, span))

    def _alive(self, mark: Mark, lines: int) -> None:
        run = self._run
        before = mark.lines or 0
        if run and run.base is not None and lines - run.base > before:
            self._end(self._marked)  # another run's: its start line is damaged
            run = None
        if run and run.watched is None and run.base is not None:  # its start line is gone
            run.watched = mark.watched
            if before > lines - run.base:
                self.rotated.append(Rotated(before - lines + run.base, run.since))
        elif run is None or run.watched is None or run.watched.parts != _parts(mark):
            self._end(self._marked)
            self._begin(mark.time, mark.watched, None)
        elif run.base is not None:
            self._miss("lines_missing", before - (lines - run.base), mark.time)
        assert self._run
        self._run.base = lines - before
        self._run.counted = mark.time

    def _replace_netns(self, time: str, before: int | None, after: int | None) -> None:
        run = self._run
        if run is None or run.watched is None:
            return
        earlier = run.watched
        known = earlier.parts.get("netns")
        netns = {*known} - {before} if isinstance(known, list) else set()
        if after is not None:
            netns.add(after)
        parts = earlier.parts | {"netns": sorted(netns)}
        self._end(time, stopped=True)
        self._run = run
        run.since = time
        run.watched = decode.watched(parts, earlier.blind_spots, earlier.received_of)

    def _count(self, mark: Mark) -> None:
        run = self._run
        if run is None:
            return
        for name in _SUMS:
            count = mark.counts.get(name)
            if count is not None:
                self._miss(name, count - (run.counts.get(name) or 0), mark.time)
        run.counts |= mark.counts

    def _miss(self, name: str, count: int, time: str) -> None:
        """Notes what was missed since the last line about a run."""
        if count > 0:
            self.missed.append(Missed(name, count, Span(min(self._marked, time), time)))
        if len(self.missed) > _MAX_MISSED:
            self.missed = _merged(self.missed)


def _merged(missed: list[Missed]) -> list[Missed]:
    """Merges what was missed by its name: it is known less well when it was."""
    found: dict[str, Missed] = {}
    for one in missed:
        known = found.get(one.name, one._replace(number=0))
        both = known.number is not None and one.number is not None
        found[one.name] = Missed(
            one.name,
            (known.number or 0) + (one.number or 0) if both else None,
            Span(min(known.span.since, one.span.since), max(known.span.until, one.span.until)),
        )
    return list(found.values())


def _parts(mark: Mark) -> object:
    return mark.watched and mark.watched.parts


def _may_be_undecided(watched: Watched) -> bool:
    """Says whether its filter asks for what may not be known of an event."""
    return watched.filters is None or watched.filters.by_process or bool(watched.filters.zones)


def _time_of(line: bytes) -> str:
    """Returns the time of a line; empty: it has none."""
    try:
        return times.checked(line[times.TIME]).decode() if line.startswith(times.START) else ""
    except ValueError:
        return ""
