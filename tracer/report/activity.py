# SPDX-License-Identifier: Apache-2.0
"""Draws how active groups were over time: a sparkline for each, and the axis above them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from tracer.report.group import Group
from tracer.report.times import BUCKETS, Timeline

_SPARKS: Final = " ▁▂▃▄▅▆▇█"
_TITLE: Final = "ACTIVITY"
_MINUTE: Final = 60
_DAY: Final = 86_400


def sparklines(groups: Sequence[Group], timeline: Timeline) -> list[str]:
    """Returns a sparkline for each group, all of one scale and width."""
    parts = [timeline.parts(group.activity) for group in groups]
    busiest = max(map(max, parts), default=0)
    return [_sparkline(counts, busiest) for counts in parts]


def axis(timeline: Timeline) -> str:
    """Returns the times that sparklines begin and end at, in local time, as far apart."""
    begin, end = ends(timeline)
    parts = len(timeline.parts({}))
    if not parts:
        return _TITLE
    columns = _repeated(parts) * parts
    room = columns - len(begin) - len(end)
    title = f" {_TITLE} " if len(_TITLE) + 2 <= room else "─"
    return begin + title.center(room, "─") + end


def ends(timeline: Timeline) -> tuple[str, str]:
    """Returns when a timeline with any parts begins and ends, in local time, no more exact than its
    parts."""
    begin, end = timeline.span()
    shown = [datetime.fromtimestamp(time).astimezone() for time in (begin, end)]
    is_exact = (end - begin) // BUCKETS < _MINUTE
    layout = "%H:%M:%S" if is_exact else "%H:%M"
    if shown[0].date() != shown[1].date():
        layout = "%m-%d %H:%M" if end - begin < BUCKETS * _DAY else "%Y-%m-%d"
    first, last = (time.strftime(layout) for time in shown)
    return first, last


def _sparkline(activity: Sequence[int], busiest: int) -> str:
    """Draws activity over time; even a single event shows."""
    top = len(_SPARKS) - 1
    repeated = _repeated(len(activity))
    return "".join(
        repeated * _SPARKS[-(-number * top // busiest) if number else 0] for number in activity
    )


def _repeated(parts: int) -> int:
    """Returns how many columns a part of the time has."""
    return max(1, BUCKETS // max(1, parts))
