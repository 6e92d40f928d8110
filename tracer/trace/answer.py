# SPDX-License-Identifier: Apache-2.0
"""The answer at the end of a run: who sent to which destinations, and how much."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from tracer.clock import WallClock
from tracer.host.resolver import Names
from tracer.model.flow import destination
from tracer.model.who import Who, who_of
from tracer.output import columns
from tracer.output.columns import Column
from tracer.output.jsonl import to_json
from tracer.output.who_cell import who_column
from tracer.trace.rhythm import rhythm
from tracer.trace.totals import OTHERS, Total, by_role

_SHOWN: Final = 50  # rows; the log has all of them


def render(
    totals: Iterable[Total],
    clock: WallClock,
    names: Names | None = None,
    *,
    by_pid: bool = False,
    room: int | None = None,
    logged: bool = True,
) -> str:
    """Returns the table as text, empty if nothing was seen. By roles, or ``by_pid``. ``room``: the
    terminal's width (None: it is none). ``logged``: a log has all rows."""
    rows = list(totals) if by_pid else by_role(totals)
    if not rows:
        return ""
    shown = columns.render(_columns(clock, names, room, by_pid=by_pid), rows[:_SHOWN], room)
    more = f"… and {len(rows) - _SHOWN} more{', all of them in the log' if logged else ''}\n"
    return shown + (more if len(rows) > _SHOWN else "")


def as_json(totals: Iterable[Total], clock: WallClock, *, by_pid: bool = False) -> str:
    """Returns a line of JSON (:func:`fields`) for each row, all of them."""
    rows = list(totals) if by_pid else by_role(totals)
    return "".join(to_json(fields(total, clock)) + "\n" for total in rows)


def _columns(
    clock: WallClock, names: Names | None, room: int | None, *, by_pid: bool
) -> Sequence[Column[Total]]:
    number: Callable[[int], str] = str if room is None else columns.quantity
    whose = [Column[Total]("COMM", lambda total: total.sender, 3)] if by_pid else []
    return [
        Column("PID", _pid, 6, right=True),
        *whose,
        who_column(_who),
        Column("USER", _user, 4, least=8),
        Column("PROTO", lambda total: total.proto, 7),
        Column("DESTINATION", lambda total: _destination(total, names), 9, least=15),
        Column("EVENTS", lambda total: number(total.count), 8, right=True),
        Column("SENT", lambda total: number(total.bytes), 8, right=True),
        Column("RECEIVED", lambda total: _received(total, number), 8, right=True),
        Column("FIRST", lambda total: clock.local(total.first), 1),
        Column("LAST", lambda total: clock.local(total.last), 2),
        Column("RHYTHM", _rhythm, 5, is_shown=lambda rows: any(map(_rhythm, rows))),
    ]


def _pid(total: Total) -> str:
    """Returns the pid, or how many processes there were."""
    if not total.process:
        return "-"
    if total.processes > 1:
        return f"×{'~' * total.is_about}{total.processes}"
    return str(total.process.pid or "?")


def _who(total: Total) -> Who:
    return who_of(total.process, total.sender)


def _user(total: Total) -> str:
    return total.process.shown_user if total.process else "-"


def _received(total: Total, number: Callable[[int], str]) -> str:
    return "?" if total.received is None else number(total.received)


def _rhythm(total: Total) -> str:
    return rhythm(total.beats) or ""


def _destination(total: Total, names: Names | None) -> str:
    if total.dst is None:
        return OTHERS
    shown = destination(total.dst, total.nat_dst, total.proto, *([names.of] if names else []))
    return f"{shown}, …" if total.more_nat_dst else shown


def fields(total: Total, clock: WallClock) -> dict[str, Any]:
    """Returns a row for JSON. Times are UTC, amounts bytes; null: not known, or none."""
    dst = total.dst
    return {
        "who": str(_who(total)),
        "process": _process(total),
        "processes": total.processes if total.process else None,
        "sender": total.sender,
        "proto": total.proto,
        "dst": dst and {"addr": str(dst.addr), "port": dst.port, "zone": dst.zone},
        "count": total.count,
        "bytes": total.bytes,
        "bytes_received": total.received,
        "first": clock.iso(total.first),
        "last": clock.iso(total.last),
        "rhythm": rhythm(total.beats),
    }


def _process(total: Total) -> dict[str, Any] | None:
    """Returns the process, if there is only one."""
    process = total.process
    if not process or total.processes > 1:
        return None
    names = ("pid", "comm", "exe", "exe_here", "args", "user", "uid")
    return {name: getattr(process, name) for name in names}
