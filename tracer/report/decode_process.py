# SPDX-License-Identifier: Apache-2.0
"""Decodes the process of a log line, as tracer.report.decode does the rest."""

from collections.abc import Mapping
from typing import Any

from tracer.host import delegation, workload
from tracer.model.process import Container, Parent, Process
from tracer.report import times
from tracer.report.decode import TOO_LARGE, json_object, number, or_none, text

Started = tuple[Process | None, str | None]  # a process and when it started, as the log has it


def process(raw: bytes, told: Mapping[int, Started]) -> Started:
    """Returns what ``"process":…`` of an event's line says; ``told``: what the lines about
    processes do, by number. If such a line is missing, less is known."""
    who = json_object(b"{" + raw + b"}")["process"]
    if who is None:
        return None, None
    known = told.get(number(who["id"])) if "id" in who else None  # earlier versions had no numbers
    return known or _started(who)


def told(line: bytes) -> tuple[int, Started]:
    """Returns a process's number, and what its line says of it."""
    who = json_object(line)["process"]
    return number(who["id"]), _started(who)


def _started(who: dict[str, Any]) -> Started:
    started = text(who["start_time"])
    times.checked(started.encode())
    return _process(who), started


def _process(who: dict[str, Any]) -> Process:
    """Returns what a report needs of a process; earlier versions logged less of it."""
    path = or_none(text, who.get("cgroup"))
    return Process(
        pid=or_none(number, who["pid"]),
        tid=None,
        comm=text(who["comm"]),
        thread="",
        exe=or_none(text, who["exe"]),
        args=or_none(_args, who.get("args")),
        ppid=None,
        uid=number(who["uid"]),
        user=or_none(text, who["user"]),
        start_time=round(or_none(_seconds, who.get("start_boottime")) or 0),
        args_truncated=who.get("args_truncated") is True,
        cgroup=path,
        units=_units(who, path) if path else (),
        container=or_none(_container, who.get("container")),
        parents=_parents(who.get("parents") or _parent_by_name(who)),
        initial_pid=or_none(number, who.get("initial_pid")),
        exe_here=False if who.get("exe_here") is False else None,
    )


def _units(who: dict[str, Any], path: str) -> tuple[str, ...]:
    """Returns units, outermost first. The tracer knew better than the names in the path: what it
    logged is the first of them."""
    by_names = workload.units(path, delegation.by_names(path))
    if "unit" not in who:  # an earlier version
        return by_names
    first = or_none(text, who["unit"])
    if first is None:
        return ()
    return by_names if by_names[:1] == (first,) else (first,)


def _container(inside: dict[str, Any]) -> Container:
    identity, runtime = text(inside["id"]), or_none(text, inside.get("runtime"))
    return Container(identity, runtime, None, or_none(number, inside.get("user")))


def _args(value: Any) -> tuple[str, ...]:
    if type(value) is not list:
        raise ValueError("not a list")
    return tuple(map(text, value))


def _parents(value: Any) -> tuple[Parent, ...]:
    """Returns the first of a process's parents: no other is asked for."""
    if type(value) is not list:
        raise ValueError("not a list")
    return tuple(map(_parent, value[:1]))


def _parent_by_name(who: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns what an event's line says of the parent."""
    name = who.get("parent")
    return [{"pid": None, "comm": name, "exe": None}] if name is not None else []


def _parent(one: dict[str, Any]) -> Parent:
    return Parent(
        or_none(number, one["pid"]),
        or_none(text, one["comm"]),
        or_none(text, one["exe"]),
        script=or_none(text, one.get("script")),  # earlier versions logged none
    )


def _seconds(value: Any) -> float:
    """Returns a time since the boot in nanoseconds."""
    if type(value) not in (int, float) or not 0 <= value < TOO_LARGE / 1e9:
        raise ValueError("not a time since the boot")
    return float(value * 1e9)
