# SPDX-License-Identifier: Apache-2.0
"""Who sent, as a report of logs knows it: rows are asked for by process, and grouped here.

What the line about a process says is in a table of its own; what is missing there, the event's row
tells, as from a log.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tracer.report import decode, decode_process
from tracer.report.decode import DAMAGE, Host
from tracer.report.decode_process import Started
from tracer.report.fleet import conditions
from tracer.report.fleet.tables import Tables
from tracer.report.group import Group
from tracer.report.groups import Groups
from tracer.report.keys import Seen, Sender, Shape
from tracer.report.times import logged

Row = Mapping[str, Any]
Rows = Callable[[str], list[dict[str, Any]]]

KEYS: Final = ("role", "process", "args", "parent")  # which ask for more than an event's row tells
MAX_PROCESSES: Final = 1_000_000  # groups by process that are asked for
_NEIGHBOUR: Final = r'"neighbour":(\\{[^{}]*\\})'
# What an event's row tells of its process, and of what sent without one.
_BRIEF: Final = ("pid", "uid")
_BRIEF_TEXTS: Final = ("comm", "exe", "parent", "user", "unit", "container")
EXPRESSIONS: Final = {
    "s_host": "toString(host)",
    "s_run": "toString(run)",
    "s_id": "process_id",
    **{f"s_{name}": name for name in _BRIEF},
    **{f"s_{name}": f"toString({name})" for name in _BRIEF_TEXTS},
    "s_args": "args",
    "s_start_time": "if(isNull(start_time), '', toString(assumeNotNull(start_time)))",
    "s_interface": "toString(interface)",
    "s_device": f"if({conditions.IS_FORWARDED}, toString(via), '')",
    "s_neighbour": f"extract(more, '{_NEIGHBOUR}')",
    "s_forwarded": conditions.IS_FORWARDED,
    "s_proto": "toString(proto)",
    "s_name": "toString(name)",
}
_NUMBERS: Final = ("pid", "initial_pid", "uid", "start_boottime")
_TEXTS: Final = ("comm", "exe", "user", "unit", "cgroup")
_ABOUT: Final = (*_TEXTS, "container", "container_runtime", "parents", "more")

_Known = dict[tuple[str, str, int], Started]


def processes(tables: Tables, among: str) -> str:
    """Asks for what is known of processes; ``among`` asks for their hosts, runs and numbers."""
    columns = [*_NUMBERS, "args", *(f"toString({name}) AS t_{name}" for name in _ABOUT)]
    return (
        f"SELECT toString(host) AS t_host, toString(run) AS t_run, id, {', '.join(columns)}, "
        "if(isNull(start_time), '', toString(assumeNotNull(start_time))) AS t_start_time "
        f"FROM {tables.processes} WHERE (t_host, t_run, id) GLOBAL IN ({among})"
    )


def boots(tables: Tables) -> str:
    """Asks which boot each run was in."""
    return (
        "SELECT toString(host) AS t_host, toString(run) AS t_run, max(toString(boot_id)) AS t_boot "
        f"FROM {tables.runs} WHERE boot_id != '' GROUP BY t_host, t_run"
    )


class Senders:
    """Makes the senders of rows. Of each process of a boot, the first start that is told counts."""

    def __init__(self, rows: Iterable[Row], boots: Iterable[Row]) -> None:
        self._known: _Known = {}
        for row in rows:
            try:
                _, told = decode_process.told(_line(_process(row)))
            except DAMAGE:
                continue
            self._known[row["t_host"], row["t_run"], int(row["id"])] = told
        self._boots = {(row["t_host"], row["t_run"]): row["t_boot"] for row in boots}
        self._starts: dict[object, str | None] = {}

    def of(self, row: Row) -> Sender | None:
        """Returns the sender of a row; None: it has none, or none is known. Raises DAMAGE."""
        if row["s_uid"] is None:
            return None
        place = row["s_host"], row["s_run"]
        known = self._known.get((*place, int(row["s_id"]))) if row["s_id"] is not None else None
        process, started = known or decode_process.process(_brief(row), {})
        if process is None:
            return None
        if process.start_time:
            boot = row["s_host"], self._boots.get(place)
            identity = boot, process.pid, process.initial_pid, process.start_time
            started = self._starts.setdefault(identity, started)
        return Sender(process, started)


class Found(NamedTuple):
    """What a row did, and what it says of the destination."""

    row: Row
    sums: Group
    dst: str | None
    port: int | None


def grouped(
    found: Iterable[Found], names: Sequence[str], order: str, senders: Senders
) -> tuple[Groups, int]:
    """Returns the groups of rows by process, and how many rows are damaged."""
    groups, damaged = Groups(names, order), 0
    known: dict[object, Sender | None] = {}
    for one in sorted(found, key=lambda one: (one.row["s_host"], one.sums.last)):
        try:
            shape = _shape(one.row, senders, known)
        except DAMAGE:
            damaged += 1
            continue
        part = groups.of(Seen(shape, one.dst, one.port))
        if not part.last:
            groups.begin(part)
        part.add(one.sums)
    return groups, damaged


def _shape(row: Row, senders: Senders, known: dict[object, Sender | None]) -> Shape:
    """Returns what flows of a row have in common."""
    place = row["s_host"], row["s_run"], row["s_id"]
    if row["s_id"] is None or place not in known:
        known[place] = senders.of(row)
    sender = known[place]
    rest: dict[str, Any] = {
        "dst": {"addr": None, "port": None},
        "src": {"addr": None, "port": None},
        "socket": {"netns": None},
        "via": "socket",
        "interface": row["s_interface"] or None,
    }
    if int(row["s_forwarded"]):
        neighbour = {"addr": None, "mac": None, **json.loads(row["s_neighbour"] or "{}")}
        rest |= {"via": row["s_device"] or None, "neighbour": neighbour}
    text = json.dumps(rest)[1:].encode()
    flow, _ = decode.flow(sender.process if sender else None, row["s_proto"], text)
    return Shape(flow, sender, row["s_name"] or None, Host(row["s_host"], None, ""))


def _process(row: Row) -> dict[str, Any]:
    """Returns what a process's line has said: what is empty may have been null."""
    more = json.loads(row["t_more"] or "{}").get("process", {})
    found = {name: row[name] for name in _NUMBERS}
    found |= {name: int(found[name]) for name in _NUMBERS[:3] if found[name] is not None}
    found |= {name: row[f"t_{name}"] or None for name in _TEXTS}
    container = row["t_container"] and {
        "id": row["t_container"],
        "runtime": row["t_container_runtime"] or None,
        "user": more.get("container", {}).get("user"),
    }
    return {
        **found,
        "id": int(row["id"]),
        "args": list(row["args"]) or None,
        "parents": json.loads(row["t_parents"] or "[]"),
        "container": container or None,
        "start_time": logged(row["t_start_time"]).decode(),
        "exe_here": more.get("exe_here"),
        "args_truncated": more.get("args_truncated"),
    }


def _line(process: Mapping[str, Any]) -> bytes:
    return json.dumps({"process": process}).encode()


def _brief(row: Row) -> bytes:
    found = {name: row[f"s_{name}"] and int(row[f"s_{name}"]) for name in _BRIEF}
    texts = {name: row[f"s_{name}"] or None for name in _BRIEF_TEXTS}
    container = texts.pop("container")
    brief = {
        **found,
        **texts,
        "args": list(row["s_args"]) or None,
        "container": container and {"id": container},
        "start_time": logged(row["s_start_time"]).decode(),
    }
    return _line(brief)[1:-1]
