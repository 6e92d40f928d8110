# SPDX-License-Identifier: Apache-2.0
"""Renders a report as JSON Lines, or as a table with a bar and a sparkline for each group."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from tracer.model.who import Role
from tracer.output import columns
from tracer.output.columns import Column
from tracer.output.jsonl import to_json
from tracer.output.terminal import fit
from tracer.report import activity, said
from tracer.report.coverage import Coverage
from tracer.report.group import Group, Rest, measure
from tracer.report.groups import Report
from tracer.report.keys import says_who
from tracer.report.verdict import NOBODY, Verdict
from tracer.report.view import View, columns_of, number_of_processes, received

_BAR_WIDTH: Final = 10
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"


def lines(found: Report, view: View) -> str:
    """Returns a line of JSON for each group: its keys, then what it did."""
    return "".join(to_json(one) + "\n" for one in _objects(found, view))


def coverage_line(covered: Coverage, proof: Verdict | None) -> str:
    """Returns the last line of JSON: what the traces cover."""
    proven = proof and proof.status == NOBODY
    return to_json({"coverage": said.as_json(covered, proven)}) + "\n"


def _objects(found: Report, view: View) -> Iterator[dict[str, Any]]:
    shown, others = view.groups(found)
    for group in shown:
        yield {**_named(group, view), **_sums(group)}
    if others:
        yield {"others": others.number, **_sums(others.sums)}


def _named(group: Group, view: View) -> dict[str, Any]:
    """Returns who that is, and a group's keys."""
    found: dict[str, Any] = {"who": str(group.who)} if says_who(view.keys) else {}
    found |= group.keys
    if "role" in found:
        role = found["role"]
        found["role"] = role._asdict() if isinstance(role, Role) else None
        found["processes"] = number_of_processes(group)
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


def render(found: Report, view: View, room: int | None) -> str:
    """Returns the table. On a terminal of that ``room``, it has a bar of each group's share of what
    groups are ordered by, and its activity over time, and lacks what does not fit."""
    number: Callable[[int], str] = str if room is None else columns.quantity
    time = "%Y-%m-%d %H:%M:%S" if room is None else "%m-%d %H:%M:%S"
    shown, others = view.groups(found)
    drawn = [] if room is None else _drawn(found, shown)
    text = columns.render([*columns_of(view, number, time), *drawn], shown, room)
    if others:
        rest = _rest(others, number)
        text += f"{rest if room is None else fit(rest, room)}\n"
    return text


def _drawn(found: Report, groups: Sequence[Group]) -> list[Column[Group]]:
    """Returns the columns that are no text."""
    amounts = {group: measure(group, found.order) for group in groups}
    most = max(amounts.values(), default=0)
    sparklines = activity.sparklines(groups, found.timeline)
    return [
        Column("SHARE", lambda group: _bar(amounts[group], most), 2),
        Column(activity.axis(found.timeline), lambda group: sparklines[group], 4),
    ]


def _rest(others: Rest, number: Callable[[int], str]) -> str:
    """Says what the groups did that are not shown."""
    sums = others.sums
    events = "event" if sums.count == 1 else "events"
    parts = [f"{number(sums.count)} {events}", f"{number(sums.bytes)} bytes sent"]
    parts += [] if sums.received is None else [f"{received(sums, number)} received"]
    return f"… and {others.number:,} more: {', '.join(parts)}"


def _bar(part: int, most: int) -> str:
    eighths = part * _BAR_WIDTH * 8 // most if most else 0
    full, rest = divmod(eighths, 8)
    return ("█" * full + _EIGHTHS[rest]).rstrip() or "▏"
