# SPDX-License-Identifier: Apache-2.0
"""Renders a report as JSON Lines, or as a table with a bar and a sparkline for each group."""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from tracer.model.who import Role, Who
from tracer.output import columns
from tracer.output.columns import Column
from tracer.output.jsonl import to_json
from tracer.output.terminal import fit
from tracer.output.who_cell import who_column
from tracer.report import activity, said
from tracer.report.coverage import Coverage
from tracer.report.group import Group, measure, total
from tracer.report.groups import Report
from tracer.report.keys import user
from tracer.report.verdict import NOBODY, Verdict

_BAR_WIDTH: Final = 10
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_LEAST: Final = {"exe": 24, "args": 32, "parent": 12, "user": 8, "unit": 24, "container": 12,
                 "dst": 15, "name": 24}  # columns on a terminal  # fmt: skip
_MAX_CELL: Final = 200  # columns in a file; a longer text in one row would widen them all


class View(NamedTuple):
    """How a report is shown: what it is grouped by, how many groups (0: all), and the names of
    addresses, if they are asked for."""

    keys: Sequence[str]
    top: int = 0
    names: Mapping[str, str | None] | None = None

    def groups(self, found: Report) -> tuple[list[Group], list[Group]]:
        """Returns the groups that are shown, and the others."""
        number = self.top or len(found.groups)
        return found.groups[:number], found.groups[number:]

    def name_of(self, group: Group) -> str | None:
        """Returns the name of a group's destination, if it is known."""
        return self.names.get(group.keys["dst"]) if self.names else None


def lines(found: Report, view: View) -> str:
    """Returns a line of JSON for each group: its keys, then what it did."""
    return "".join(to_json(one) + "\n" for one in _objects(found, view))


def _objects(found: Report, view: View) -> Iterator[dict[str, Any]]:
    shown, others = view.groups(found)
    for group in shown:
        yield {**_named(group, view), **_sums(group)}
    if others:
        yield {"others": len(others), **_sums(total(others))}


def coverage_line(covered: Coverage, proof: Verdict | None) -> str:
    """Returns the last line of JSON: what the traces cover."""
    proven = proof and proof.status == NOBODY
    return to_json({"coverage": said.as_json(covered, proven)}) + "\n"


def _named(group: Group, view: View) -> dict[str, Any]:
    """Returns who that is, and a group's keys."""
    found: dict[str, Any] = {"who": str(group.who)} if _says_who(group.keys) else {}
    found |= group.keys
    if "role" in found:
        role = found["role"]
        found["role"] = role._asdict() if isinstance(role, Role) else None
        found["processes"] = _number_of_processes(group)
    if "process" in found:
        found["process"] = group.sender and group.sender.as_json
        found |= {"origin": group.origin} if group.origin else {}
    if view.names is not None:
        found["dst_name"] = view.name_of(group)
    return found


def _sums(group: Group) -> dict[str, Any]:
    return {
        "count": group.count,
        "bytes": group.bytes,
        "bytes_received": group.received,
        "first": group.first.decode(),
        "last": group.last.decode(),
    }


def _number_of_processes(group: Group) -> int | None:
    return len(group.processes) if group.sender and group.processes is not None else None


def _says_who(keys: Iterable[str]) -> bool:
    return "role" in keys or "process" in keys


class _Row(NamedTuple):
    group: Group
    share: str
    activity: str


def render(found: Report, view: View, room: int | None) -> str:
    """Returns the table. On a terminal of that ``room``, it has a bar of each group's share of what
    groups are ordered by, and its activity over time, and lacks what does not fit."""
    shown, others = view.groups(found)
    amounts = [measure(group, found.order) for group in shown]
    bars = [_bar(amount, max(amounts)) for amount in amounts]
    rows = list(map(_Row, shown, bars, activity.sparklines(shown, found.timeline)))
    once: dict[str, Column[_Row]] = {}  # a key may have a column of a process, too
    for column in _columns(found, view, room):
        once.setdefault(column.name, column)
    text = columns.render(once.values(), rows, room)
    return text + (_rest(others, room) if others else "")


def _columns(found: Report, view: View, room: int | None) -> Iterable[Column[_Row]]:
    if _says_who(view.keys):
        yield from _columns_of_senders(view.keys)
    for key in view.keys:
        if key not in ("role", "process"):
            yield _column_of(key, view)
    number: Callable[[int], str] = str if room is None else columns.quantity
    time = "%Y-%m-%d %H:%M:%S" if room is None else "%m-%d %H:%M:%S"
    yield Column("EVENTS", lambda row: number(row.group.count), 8, right=True)
    yield Column("SENT", lambda row: number(row.group.bytes), 8, right=True)
    yield Column("RECEIVED", lambda row: _received(row.group, number), 8, right=True)
    yield Column("FIRST", lambda row: _local(row.group.first, time), 1)
    yield Column("LAST", lambda row: _local(row.group.last, time), 3)
    if room is not None:
        yield Column("SHARE", lambda row: row.share, 2)
        yield Column(activity.axis(found.timeline), lambda row: row.activity, 4)


def _columns_of_senders(keys: Sequence[str]) -> Iterable[Column[_Row]]:
    yield Column("PID", lambda row: _pid(row.group, keys), 7, right=True)
    if "process" in keys:
        yield Column("COMM", lambda row: _comm(row.group), 4)
    yield who_column(_who)
    if "process" in keys:
        yield Column("EXE", lambda row: _exe(row.group), 2, least=12, in_file=_MAX_CELL)
    yield Column("USER", lambda row: _user(row.group), 5, least=8)


def _column_of(key: str, view: View) -> Column[_Row]:
    def text(row: _Row) -> str:
        value = row.group.keys[key]
        if key == "dst":
            value = view.name_of(row.group) or value
        if isinstance(value, tuple):
            return shlex.join(value)
        return "-" if value is None else str(value)

    least = _LEAST.get(key, 0)
    return Column(key.upper(), text, 9, least=least, in_file=_MAX_CELL, right=key == "port")


def _pid(group: Group, keys: Sequence[str]) -> str:
    """Returns the pid, or how many processes there were."""
    if not group.sender:
        return "-"
    if "process" not in keys and (group.processes is None or len(group.processes) > 1):
        return f"×{_number_of_processes(group) or '?'}"
    return str(group.sender.process.pid or "?")


def _comm(group: Group) -> str:
    return group.sender.process.comm if group.sender else group.device


def _who(row: _Row) -> Who:
    return row.group.who


def _exe(group: Group) -> str:
    return (group.sender and group.sender.process.shown_exe) or "-"


def _user(group: Group) -> str:
    return user(group.sender.process) if group.sender else "-"


def _received(group: Group, number: Callable[[int], str]) -> str:
    return "?" if group.received is None else number(group.received)


def _rest(others: Sequence[Group], room: int | None) -> str:
    """Says what the groups did that are not shown."""
    number: Callable[[int], str] = str if room is None else columns.quantity
    sums = total(others)
    parts = [f"{number(sums.count)} events", f"{number(sums.bytes)} bytes sent"]
    parts += [] if sums.received is None else [f"{number(sums.received)} received"]
    text = f"… and {len(others)} more: {', '.join(parts)}"
    return f"{text if room is None else fit(text, room)}\n"


def _local(time: bytes, layout: str) -> str:
    """Returns the log's time in local time."""
    return datetime.fromisoformat(f"{time[:19].decode()}+00:00").astimezone().strftime(layout)


def _bar(part: int, most: int) -> str:
    eighths = part * _BAR_WIDTH * 8 // most if most else 0
    full, rest = divmod(eighths, 8)
    return ("█" * full + _EIGHTHS[rest]).rstrip() or "▏"
