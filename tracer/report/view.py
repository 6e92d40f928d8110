# SPDX-License-Identifier: Apache-2.0
"""How a report is shown, and what its columns say of a group."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from tracer.output.columns import Column
from tracer.output.who_cell import who_column
from tracer.report.group import Group, Rest, merged
from tracer.report.groups import Report
from tracer.report.keys import says_who

_LEAST: Final = {"exe": 24, "args": 32, "parent": 12, "user": 8, "unit": 24, "container": 12,
                 "dst": 15, "name": 24}  # columns on a terminal  # fmt: skip
_MAX_CELL: Final = 200  # columns in a file; a longer text in one row would widen them all


class View(NamedTuple):
    """How a report is shown: what it is grouped by, how many groups (0: all), and the names of
    addresses, if they are asked for."""

    keys: Sequence[str]
    top: int = 0
    names: Mapping[str, str | None] | None = None

    def groups(self, found: Report) -> tuple[list[Group], Rest | None]:
        """Returns the groups that are shown, and the others."""
        number = self.top or len(found.groups)
        return found.groups[:number], merged(found.groups[number:], found.rest)

    def name_of(self, group: Group) -> str | None:
        """Returns the name of a group's destination, if it is known."""
        return self.names.get(group.keys["dst"]) if self.names else None


def columns_of(view: View, number: Callable[[int], str], time: str) -> list[Column[Group]]:
    """Returns the columns, each once: a process's may be those of a key, too. ``time`` is
    strftime's format."""
    once: dict[str, Column[Group]] = {}
    for column in _columns(view, number, time):
        once.setdefault(column.name, column)
    return list(once.values())


def _columns(view: View, number: Callable[[int], str], time: str) -> Iterator[Column[Group]]:
    if says_who(view.keys):
        yield from _columns_of_senders(view.keys)
    for key in view.keys:
        if key not in ("role", "process"):
            yield _column_of(key, view)
    yield Column("EVENTS", lambda group: number(group.count), 8, right=True)
    yield Column("SENT", lambda group: number(group.bytes), 8, right=True)
    yield Column("RECEIVED", lambda group: received(group, number), 8, right=True)
    yield Column("FIRST", lambda group: _local(group.first, time), 1)
    yield Column("LAST", lambda group: _local(group.last, time), 3)


def _columns_of_senders(keys: Sequence[str]) -> Iterator[Column[Group]]:
    yield Column("PID", lambda group: _pid(group, keys), 7, right=True)
    if "process" in keys:
        yield Column("COMM", _comm, 4)
    yield who_column(lambda group: group.who)
    if "process" in keys:
        yield Column("EXE", _exe, 2, least=12, in_file=_MAX_CELL)
    yield Column("USER", _user, 5, least=8)


def _column_of(key: str, view: View) -> Column[Group]:
    def text(group: Group) -> str:
        value = group.keys[key]
        if key == "dst":
            value = view.name_of(group) or value
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
        return f"×{number_of_processes(group) or '?'}"
    return str(group.sender.process.pid or "?")


def number_of_processes(group: Group) -> int | None:
    """Returns how many processes a group has; None: none, or they were not counted."""
    return len(group.processes) if group.sender and group.processes is not None else None


def received(group: Group, number: Callable[[int], str]) -> str:
    """Returns the bytes that a group has received."""
    return "?" if group.received is None else number(group.received)


def _comm(group: Group) -> str:
    return group.sender.process.comm if group.sender else group.device


def _exe(group: Group) -> str:
    return (group.sender and group.sender.process.shown_exe) or "-"


def _user(group: Group) -> str:
    return group.sender.process.shown_user if group.sender else "-"


def _local(time: bytes, layout: str) -> str:
    """Returns the log's time in local time."""
    return datetime.fromisoformat(f"{time[:19].decode()}+00:00").astimezone().strftime(layout)
