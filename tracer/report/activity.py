# SPDX-License-Identifier: Apache-2.0
"""Draws how active groups were over time: a sparkline for each, and the axis above them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from tracer.report.group import Group
from tracer.report.times import BUCKETS, Timeline

_SPARKS: Final = " ▁▂▃▄▅▆▇█"
_TITLE: Final = "ACTIVITY"
_MINUTE: Final = 60
_DAY: Final = 86_400


def sparklines(groups: Iterable[Group], timeline: Timeline) -> dict[Group, str]:
    """Returns a sparkline for each group, all of one scale and width."""
    parts = {group: timeline.parts(group.activity) for group in groups}
    busiest = max(map(max, parts.values()), default=0)
    return {group: _sparkline(counts, busiest) for group, counts in parts.items()}


def axis(timeline: Timeline) -> str:
    """Returns the times that sparklines begin and end at, in local time, as far apart."""
    parts = len(timeline.parts({}))
    if not parts:
        return _TITLE
    begin, end = labels(timeline, timeline.span())
    room = _repeated(parts) * parts - len(begin) - len(end)
    title = f" {_TITLE} " if len(_TITLE) + 2 <= room else "─"
    return begin + title.center(room, "─") + end


def labels(timeline: Timeline, seconds: Iterable[int]) -> list[str]:
    """Returns times in local time, no more exact than the parts of a timeline that has some."""
    begin, end = timeline.span()
    layout = "%H:%M:%S" if (end - begin) // BUCKETS < _MINUTE else "%H:%M"
    if _local(begin).date() != _local(end).date():
        layout = "%m-%d %H:%M" if end - begin < BUCKETS * _DAY else "%Y-%m-%d"
    return [_local(second).strftime(layout) for second in seconds]


def _local(second: int) -> datetime:
    return datetime.fromtimestamp(second).astimezone()


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
