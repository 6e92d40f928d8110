# SPDX-License-Identifier: Apache-2.0
"""Renders a report as JSON Lines, or as a table with a bar and a sparkline for each group."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from tracer.output.jsonl import to_json
from tracer.output.terminal import table
from tracer.printable import width as columns_of
from tracer.report import said
from tracer.report.coverage import Coverage
from tracer.report.groups import Group, Report
from tracer.report.verdict import NOBODY, Verdict

_BAR_WIDTH: Final = 10
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_SPARKS: Final = " ▁▂▃▄▅▆▇█"
_MAX_CELL: Final = 200  # characters; a longer text in one row would widen them all
_RIGHT: Final = ("PID", "EVENTS", "SENT", "RECEIVED")
_SUMS: Final = ("EVENTS", "SENT", "RECEIVED", "FIRST", "LAST", "SHARE", "ACTIVITY")


def lines(groups: Iterable[Group]) -> str:
    """Returns a line of JSON for each group: its keys, then what it did."""
    return "".join(to_json({**group.keys, **_sums(group)}) + "\n" for group in groups)


def coverage_line(covered: Coverage, proof: Verdict | None) -> str:
    """Returns the last line of JSON: what the traces cover."""
    proven = proof and proof.status == NOBODY
    return to_json({"coverage": said.as_json(covered, proven)}) + "\n"


class _Layout(NamedTuple):
    """How a table writes times and programs, and which columns it leaves out."""

    time: str = "%Y-%m-%d %H:%M:%S"
    exe_width: int = 24
    without: frozenset[str] = frozenset()


_PLAIN: Final = _Layout(without=frozenset({"SHARE", "ACTIVITY"}))
_SHORT: Final = "%m-%d %H:%M"
# for a terminal, which gets the first one that fits
_LAYOUTS: Final = (
    _Layout(),
    _Layout(_SHORT),
    _Layout(_SHORT, without=frozenset({"FIRST"})),
    _Layout(_SHORT, 12, frozenset({"FIRST"})),
    _Layout(_SHORT, 12, frozenset({"FIRST", "SHARE"})),
    _Layout(_SHORT, 12, frozenset({"FIRST", "SHARE", "LAST"})),
    _Layout(_SHORT, 12, frozenset({"FIRST", "LAST", "ACTIVITY"})),
    _Layout(_SHORT, 12, frozenset({"FIRST", "LAST", "ACTIVITY", "RECEIVED"})),
)


def render(found: Report, keys: Sequence[str], width: int | None) -> str:
    """Returns the table. On a terminal of that ``width``, it has a bar of each group's share and
    its activity over time, and lacks what does not fit."""
    if width is None:
        return _table(found, keys, _PLAIN)
    for layout in _LAYOUTS:
        text = _table(found, keys, layout)
        if max(map(columns_of, text.splitlines())) <= width:
            break
    return text


def _table(found: Report, keys: Sequence[str], layout: _Layout) -> str:
    most = max((group.count for group in found.groups), default=0)
    header = [*(name for key in keys for name in _columns(key)), *_SUMS]
    rows = [
        [
            *(cell for key in keys for cell in _cells(key, group.keys)),
            str(group.count),
            str(group.bytes),
            "?" if group.received is None else str(group.received),
            _local(group.first, layout.time),
            _local(group.last, layout.time),
            _bar(group.count, most),
            sparkline,
        ]
        for group, sparkline in zip(found.groups, _sparklines(found, layout), strict=True)
    ]
    shown = [at for at, name in enumerate(header) if name not in layout.without]
    chosen = ([row[at] for at in shown] for row in rows)
    limits = dict.fromkeys(range(len(header) - len(_SUMS)), _MAX_CELL)
    limits |= dict.fromkeys(_places_of_exe(keys), layout.exe_width)
    return table([header[at] for at in shown], chosen, _RIGHT, limits)


def _sums(group: Group) -> dict[str, Any]:
    return {
        "count": group.count,
        "bytes": group.bytes,
        "bytes_received": group.received,
        "first": group.first.decode(),
        "last": group.last.decode(),
    }


def _columns(key: str) -> tuple[str, ...]:
    return ("PID", "COMM", "EXE", "USER") if key == "process" else (key.upper(),)


def _places_of_exe(keys: Sequence[str]) -> list[int]:
    """Returns the columns of programs that may be shortened: those beside a pid."""
    names = [(key, name) for key in keys for name in _columns(key)]
    return [at for at, name in enumerate(names) if name == ("process", "EXE")]


def _cells(key: str, keys: dict[str, Any]) -> tuple[str, ...]:
    value, origin = keys[key], keys.get("origin")
    if key != "process":
        return ("-" if value is None else str(value),)
    if value is None:
        return ("-", f"[{origin}]" if origin else "-", "-", "-")
    return (str(value["pid"] or "?"), value["comm"], value["exe"] or "-", value["user"])


def _local(time: bytes, layout: str) -> str:
    """Returns the log's time in local time."""
    return datetime.fromisoformat(f"{time[:19].decode()}+00:00").astimezone().strftime(layout)


def _bar(part: int, most: int) -> str:
    eighths = part * _BAR_WIDTH * 8 // most if most else 0
    full, rest = divmod(eighths, 8)
    return ("█" * full + _EIGHTHS[rest]).rstrip() or "▏"


def _sparklines(found: Report, layout: _Layout) -> Sequence[str]:
    if "ACTIVITY" in layout.without:
        return [""] * len(found.groups)
    parts = [found.timeline.parts(group.activity) for group in found.groups]
    busiest = max(map(max, parts), default=0)
    return [_sparkline(counts, busiest) for counts in parts]


def _sparkline(activity: Sequence[int], busiest: int) -> str:
    """Draws activity over time; even a single event shows."""
    top = len(_SPARKS) - 1
    return "".join(_SPARKS[-(-number * top // busiest) if number else 0] for number in activity)
