# SPDX-License-Identifier: Apache-2.0
"""Which part of a time the traces in a log cover, and what was missed in it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from tracer.filter.filters import Filters
from tracer.filter.inclusion import left_out
from tracer.report.decode import Watched
from tracer.report.runs import Missed, Rotated, Runs, Segment, Span

_UNKNOWN: Final = "an unknown host"
# Missed only by who asks for failures.
_OF_FAILURES: Final = "unfinished"


class Traced(NamedTuple):
    """A time in which a run watched. ``left_out``: the parts of its filter by which it may have
    left out what is asked for; None: it is not known what it watched."""

    span: Span
    watched: Watched | None
    left_out: Sequence[str] | None
    host: str | None = None


class Coverage(NamedTuple):
    """``period`` is what is asked for (None: no line has a time). ``untraced``: nothing watched;
    ``gaps``: nothing that would have seen all that is asked for, on at least one host; ``by_host``:
    on which, if there are several. ``missed``: how much was missed of what; None: not known."""

    period: Span | None
    traced: list[Traced]
    untraced: list[Span]
    gaps: list[Span]
    missed: dict[str, int | None]
    rotated: list[Rotated]
    by_host: dict[str, list[Span]] = {}  # noqa: RUF012 (nobody changes it)

    @property
    def is_whole(self) -> bool:
        """Says whether nothing that is asked for can have been missed."""
        return self.period is not None and not self.gaps and not self.missed


def coverage(runs: Runs, asked: Filters, since: str, until: str) -> Coverage:
    """Returns what a question's coverage is; empty times: of the first and of the last line."""
    span = runs.span
    if span is None and not (since and until):
        return Coverage(None, [], [], [], missed_in(runs.missed, None, asked), [])
    last = until or (span.until if span else since)
    period = Span(since or (min(span.since, last) if span else last), last)
    traced = [found for one in runs.segments if (found := _traced(one, period, asked))]
    hosts = sorted({one.host or _UNKNOWN for one in runs.segments})
    untraced = {host: gaps(_spans(traced, host), period) for host in hosts}
    by_host = {host: gaps(_spans(traced, host, whole=True), period) for host in hosts}
    return Coverage(
        period,
        traced,
        _joined(untraced.values()) if hosts else [period],
        _joined(by_host.values()) if hosts else [period],
        missed_in(runs.missed, period, asked),
        [one for one in runs.rotated if one.before >= period.since],
        {host: found for host, found in by_host.items() if found} if len(hosts) > 1 else {},
    )


def _spans(traced: Iterable[Traced], host: str, *, whole: bool = False) -> Iterator[Span]:
    """Yields the times in which a host was watched; ``whole``: for all that is asked for."""
    for one in traced:
        if (one.host or _UNKNOWN) == host and (one.left_out == [] or not whole):
            yield one.span


def _joined(several: Iterable[list[Span]]) -> list[Span]:
    """Returns the times that are in one of several lists, in order, and none twice."""
    found: list[Span] = []
    for span in sorted(span for spans in several for span in spans):
        if found and span.since <= found[-1].until:
            found[-1] = Span(found[-1].since, max(found[-1].until, span.until))
        else:
            found.append(span)
    return found


def _traced(segment: Segment, period: Span, asked: Filters) -> Traced | None:
    """Returns the part of a segment that lies in the period."""
    since = max(segment.span.since, period.since)
    until = min(segment.span.until, period.until)
    if since > until:
        return None
    watched = segment.watched
    known = watched and watched.filters
    left = left_out(known, asked) if known else None
    return Traced(Span(since, until), watched, left, segment.host)


def gaps(spans: Iterable[Span], period: Span) -> list[Span]:
    """Returns the parts of a period that no span covers."""
    found = []
    reached = None
    for span in sorted(spans):
        if span.since > (reached or period.since):
            found.append(Span(reached or period.since, span.since))
        reached = max(reached or "", span.until)
    if reached is None:
        return [period]
    return [*found, Span(reached, period.until)] if reached < period.until else found


def missed_in(
    missed: Iterable[Missed], period: Span | None, asked: Filters
) -> dict[str, int | None]:
    """Sums up what may have been missed in a period, by its name."""
    sums: dict[str, int | None] = {}
    for one in missed:
        if period and not one.span.touches(period):
            continue
        if one.name == _OF_FAILURES and not asked.failed:
            continue
        known = sums.get(one.name, 0)
        sums[one.name] = None if known is None or one.number is None else known + one.number
    return sums
