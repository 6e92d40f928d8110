# SPDX-License-Identifier: Apache-2.0
"""A report as JSON Lines, or as a table with a bar and a sparkline for each group."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from tracer.event import to_json
from tracer.report import Group
from tracer.sinks.terminal import fit_middle, safe, table

_EXE_WIDTH: Final = 24
_BAR_WIDTH: Final = 10
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_SPARKS: Final = " ▁▂▃▄▅▆▇█"
_RIGHT: Final = ("PID", "EVENTS", "BYTES")


def lines(groups: Iterable[Group]) -> str:
    """A line of JSON for each: its keys, then what it did."""
    return "".join(to_json({**group.keys, **_sums(group)}) + "\n" for group in groups)


def render(groups: Sequence[Group], keys: Sequence[str], *, graphs: bool) -> str:
    """The table; ``graphs``: with a bar of each one's share and its activity over time."""
    header = [*(name for key in keys for name in _columns(key)), "EVENTS", "BYTES", "FIRST", "LAST"]
    most = max((group.count for group in groups), default=0)
    busiest = max((max(group.activity) for group in groups), default=0)
    rows = []
    for group in groups:
        cells = [safe(cell) for key in keys for cell in _cells(key, group.keys[key])]
        cells += [str(group.count), str(group.bytes), _local(group.first), _local(group.last)]
        if graphs:
            cells += [_bar(group.count, most), _sparkline(group.activity, busiest)]
        rows.append(cells)
    return table([*header, *(["SHARE", "ACTIVITY"] if graphs else [])], rows, _RIGHT)


def _sums(group: Group) -> dict[str, Any]:
    return {
        "count": group.count,
        "bytes": group.bytes,
        "first": group.first.decode(),
        "last": group.last.decode(),
    }


def _columns(key: str) -> tuple[str, ...]:
    return ("PID", "COMM", "EXE", "USER") if key == "process" else (key.upper(),)


def _cells(key: str, value: Any) -> tuple[str, ...]:
    if key != "process":
        return ("-" if value is None else str(value),)
    if value is None:
        return ("-", "-", "-", "-")
    exe = fit_middle(value["exe"] or "-", _EXE_WIDTH)
    return (str(value["pid"]), value["comm"], exe, value["user"])


def _local(time: bytes) -> str:
    """The log's time in local time, to the second."""
    return (
        datetime.fromisoformat(f"{time[:19].decode()}+00:00")
        .astimezone()
        .strftime("%Y-%m-%d %H:%M:%S")
    )


def _bar(part: int, most: int) -> str:
    eighths = part * _BAR_WIDTH * 8 // most if most else 0
    full, rest = divmod(eighths, 8)
    return ("█" * full + _EIGHTHS[rest]).rstrip() or "▏"


def _sparkline(activity: Sequence[int], busiest: int) -> str:
    """What happened at all shows."""
    top = len(_SPARKS) - 1
    return "".join(_SPARKS[-(-number * top // busiest) if number else 0] for number in activity)
