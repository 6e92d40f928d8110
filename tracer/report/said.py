# SPDX-License-Identifier: Apache-2.0
"""Says a report's coverage: in a sentence, and as JSON."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tracer.filter.filters import Filters
from tracer.model.counts import counted, in_words
from tracer.report.coverage import Coverage, Traced
from tracer.report.decode import Watched
from tracer.report.runs import Rotated, Span
from tracer.trace.sentence import left_out as not_asked_for
from tracer.trace.sentence import not_looked_for

_MAX_SPANS: Final = 6  # more are only counted, and so are more filters
_TOLD: Final = "damaged"  # beside the number of lines
_MAX_TEXT: Final = 200  # characters of a filter
_OPTIONS: Final = {"version": "-", "proto": "--"}  # whose values are options themselves
_UNSAID: Final = ("summary", "forward")  # they leave out nothing
_OF_DESTINATION: Final = (*_UNSAID, "accept")  # what --dst brings along is unsaid, too
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def sentence(found: Coverage) -> str:
    """Returns when what was traced, and what was missed in the period."""
    if found.period is None or not found.traced:
        return "; ".join(["not known what was traced", *_missed(found.missed)])
    clock = _Clock(found.period)
    traced = _first(
        f"traced {clock.all(spans)} with {_shown(watched)}"
        for watched, spans in _by_filter(found.traced)
    )
    not_covered = [f"{_duration(found.untraced)} not covered"] if found.untraced else []
    missed = {name: count for name, count in found.missed.items() if name != _TOLD}
    rest = [*_missed(missed), *_rotated(found.rotated, clock)]
    return "; ".join([*traced, *not_covered, *rest])


def beyond(found: Coverage, asked: Filters) -> str | None:
    """Returns which traces may have left out some of what is asked for; None: none."""
    left = [one for one in found.traced if one.left_out != []]
    if not left or found.period is None:
        return None
    clock = _Clock(found.period)
    what = question(asked)
    said = _first(
        f"{clock.all(spans)} was traced with {_shown(watched)}, not all of {what}"
        for watched, spans in _by_filter(left)
    )
    return "; ".join(said)


def question(asked: Filters) -> str:
    """Returns what is asked for, as options. (A report always asks for accepted connections.)"""
    return _options(asked._replace(accept=False).describe()) or "anything"


def doubts(found: Coverage) -> list[str]:
    """Returns why it is not certain that the log has all that is asked for."""
    if found.period is None:
        return ["not known what was traced"]
    clock = _Clock(found.period)
    places = {f" on {host}": spans for host, spans in found.by_host.items()} or {"": found.gaps}
    gaps = [
        f"not covered{place}: {clock.all(spans)} ({_duration(spans)})"
        for place, spans in places.items()
        if spans
    ]
    return [*gaps, *_missed(found.missed)]


def blind(traced: Iterable[Traced]) -> list[str]:
    """Returns what the traces did not look for."""
    known = [one.watched for one in traced if one.watched]
    texts = [text for watched in known for text in not_looked_for(watched.blind_spots)]
    texts += [text for one in known if one.filters for text in not_asked_for(one.filters)]
    return list(dict.fromkeys(texts))


def period(found: Coverage) -> str:
    """Returns the time that is asked for."""
    return _Clock(found.period).one(found.period) if found.period else "an unknown time"


def as_json(found: Coverage, proven: bool | None) -> dict[str, Any]:
    """Returns the same as an object of JSON; ``proven`` is null if that was not asked for."""
    return {
        "since": found.period and found.period.since,
        "until": found.period and found.period.until,
        "traced": [
            {
                **one.span._asdict(),
                "host": one.host,
                "filter": one.watched and one.watched.parts,
                "left_out": one.left_out,
                "not_looked_for": blind([one]),
            }
            for one in found.traced
        ],
        "not_covered": [span._asdict() for span in found.gaps],
        "not_covered_on": {
            host: [span._asdict() for span in spans] for host, spans in found.by_host.items()
        },
        "missed": found.missed,
        "rotated_away": [one._asdict() for one in found.rotated],
        "proven": proven,
    }


class _Clock:
    """Shows times in local time, with their day if they are not all of one day."""

    def __init__(self, period: Span) -> None:
        one_day = len({self._day(time) for time in period}) == 1
        self._layout = "%H:%M:%S" if one_day else "%Y-%m-%d %H:%M:%S"

    def all(self, spans: Sequence[Span]) -> str:
        shown = [self.one(span) for span in spans[:_MAX_SPANS]]
        more = [f"{len(spans) - _MAX_SPANS} more"] if len(spans) > _MAX_SPANS else []
        return " and ".join([*shown, *more])

    def one(self, span: Span) -> str:
        return f"{self.time(span.since)}–{self.time(span.until)}"  # noqa: RUF001 (from to)

    def time(self, time: str) -> str:
        return _local(time).strftime(self._layout)

    @staticmethod
    def _day(time: str) -> dt.date:
        return _local(time).date()


def _local(time: str) -> dt.datetime:
    return dt.datetime.fromisoformat(f"{time[:19]}+00:00").astimezone()


def _duration(spans: Iterable[Span]) -> str:
    """Returns how long they are together, in the two largest units."""
    rest = max(1, round(sum(_seconds(span) for span in spans)))
    parts = []
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        parts += [f"{count} {unit}"] if count else []
    return " ".join(parts[:2])


def _seconds(span: Span) -> float:
    first, last = (dt.datetime.fromisoformat(f"{time[:26]}+00:00") for time in span)
    return (last - first).total_seconds()


def _by_filter(traced: Iterable[Traced]) -> Iterable[tuple[Watched | None, list[Span]]]:
    """Returns each filter with the times in which it watched."""
    spans: dict[str, tuple[Watched | None, list[Span]]] = {}
    for one in traced:
        spans.setdefault(_shown(one.watched), (one.watched, []))[1].append(one.span)
    return spans.values()


def _first(of_filters: Iterable[str]) -> list[str]:
    """Returns what is said of the first filters, and how many more there are."""
    said = list(of_filters)
    more = len(said) - _MAX_SPANS
    return [*said[:_MAX_SPANS], *([f"and with {counted(more, 'more filter')}"] if more > 0 else [])]


def _shown(watched: Watched | None) -> str:
    if watched is None:
        return "an unknown filter"
    text = _options(watched.parts) or "no filter"
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"


def _options(parts: Mapping[str, Any]) -> str:
    """Returns the options that make such a filter."""
    unsaid = _OF_DESTINATION if "dst" in parts else _UNSAID
    return " ".join(_option(name, value) for name, value in parts.items() if name not in unsaid)


def _option(name: str, value: Any) -> str:
    option = f"--{name.replace('_', '-')}"
    values = value if isinstance(value, list) else [value]
    if name in _OPTIONS:
        return " ".join(f"{_OPTIONS[name]}{one}" for one in values)
    return option if value is True else " ".join(f"{option} {one}" for one in values) or option


def _missed(missed: Mapping[str, int | None]) -> list[str]:
    said = in_words(missed)
    return [said] if said else []


def _rotated(rotated: Iterable[Rotated], clock: _Clock) -> list[str]:
    return [f"{one.lines:,} lines rotated away before {clock.time(one.before)}" for one in rotated]
