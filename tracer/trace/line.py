# SPDX-License-Identifier: Apache-2.0
"""Renders a flow as a line of JSON once; for each event, only what differs is filled in."""

import functools
from collections import OrderedDict
from typing import Any, Final, NamedTuple

from tracer.model.fields import (
    FIELDS,
    LEFT_OUT,
    PROCESS_FIELDS,
    Rendering,
    before_start,
    end_of_life,
    neighbour,
)
from tracer.model.flow import EventKind, Flow, error_name, outcome
from tracer.model.process import Process
from tracer.output.jsonl import to_json
from tracer.trace.event import Event

# for each field of a flow: its path, split into parent and name, and its getter
_OF_FLOW: Final = [
    (*field.path.rpartition(".")[::2], field.get, field.sparse) for field in FIELDS if field.get
]
_OF_PROCESS: Final = [
    (field.path.removeprefix("process."), field.of_process, field.sparse)
    for field in FIELDS
    if field.of_process
]
_MAX_PROCESSES: Final = 512  # that keep their numbers when a later flow is theirs


class ProcessLine(NamedTuple):
    """A process's number in a run, and its ``process`` line but for the time."""

    number: int
    text: str


class ProcessLines:
    """The ``process`` lines of a run. One that is not asked for among so many others is forgotten,
    and gets another number."""

    def __init__(self, rendering: Rendering) -> None:
        self._rendering = rendering
        self._known: OrderedDict[Process, ProcessLine] = OrderedDict()
        self._number = 0

    def of(self, process: Process) -> ProcessLine:
        """Returns the line of a process, whichever thread of it acted."""
        process = process._replace(tid=None, thread="")
        known = self._known.get(process)
        if known:
            self._known.move_to_end(process)
            return known
        if len(self._known) >= _MAX_PROCESSES:
            self._known.popitem(last=False)
        self._number += 1
        known = self._known[process] = ProcessLine(self._number, self._text(process))
        return known

    def _text(self, process: Process) -> str:
        shown = {"id": self._number}
        shown |= {field.name: field.get(process, self._rendering) for field in PROCESS_FIELDS}
        rest = to_json({"event": "process", "process": shown, "run": self._rendering.run})
        return f'",{rest[1:]}\n'


class Line:
    """A flow's log line, rendered once; for each event, only what differs is filled in.
    ``process`` is the line that has to come before it; None: it has no process."""

    def __init__(self, flow: Flow, rendering: Rendering, processes: ProcessLines) -> None:
        self.process = processes.of(flow.process) if flow.process else None
        fixed = _nested(flow, rendering)
        head = {name: fixed.pop(name) for name in ("event", "proto")}
        of_flow = fixed.pop("process", {})
        process = "null"
        if flow.process and self.process:
            brief = {"id": self.process.number, **_brief(flow.process, rendering), **of_flow}
            process = to_json(brief)
        self._kind = flow.kind
        self._before = '",' + to_json(head)[1:-1] + ","
        self._after = f',"process":{process},{to_json(fixed)[1:]}\n'

    def text(self, event: Event, time: str, last_time: str) -> str:
        """Returns the whole line; the times of the first and the last event are text."""
        last = f',"last_time":"{last_time}"' if event.count > 1 else ""
        segments = f',"segments":{event.segments}' if event.segments > 1 else ""
        return (
            f'{{"time":"{time}{self._before}{outcome_json(self._kind, event.error)},'
            f'"bytes":{event.bytes},"count":{event.count}{last}{segments}'
            f"{_life(self._kind, event)}{self._after}"
        )


def _life(kind: EventKind, event: Event) -> str:
    """Returns the fields that only some kinds of events have."""
    if kind is EventKind.CLOSE:
        sent, received = event.since or ("null", "null")
        duration = f"{event.elapsed / 1e9:.6f}" if event.elapsed else "null"
        return (
            f',"bytes_received":{event.received},"duration":{duration}'
            f',"bytes_since":{sent},"bytes_received_since":{received}'
        )
    if kind in (EventKind.VOLUME, EventKind.RECEIVE):
        return f',"bytes_received":{event.received}'
    if kind in (EventKind.CONNECTED, EventKind.CONNECT_FAILED):
        return f',"latency_us":{event.elapsed // 1000}'
    return ""


def _nested(flow: Flow, rendering: Rendering) -> dict[str, Any]:
    """Returns the flow's own fields as the JSON object that they make. Those that only some kinds
    of events have come before its own end, as the table of fields has them."""
    line: dict[str, Any] = {}
    for parent, name, get, is_sparse in _OF_FLOW:
        if name == "src":
            line |= _of_some(flow, rendering)
        value = get(flow, rendering)
        if value is LEFT_OUT or (value is None and is_sparse):
            continue
        place = line.setdefault(parent, {}) if parent else line
        place[name] = value
    return line


def _of_some(flow: Flow, rendering: Rendering) -> dict[str, Any]:
    """Returns the fields that only some flows have."""
    found: dict[str, Any] = {}
    if flow.origin:
        found["neighbour"] = neighbour(flow.origin)
    if flow.icmp:
        found["icmp"] = flow.icmp._asdict()
    if flow.kind is EventKind.CLOSE:
        found |= end_of_life(flow, rendering)
    if flow.kind is EventKind.EXISTING:
        found |= before_start(flow)
    return found


def _brief(process: Process, rendering: Rendering) -> dict[str, Any]:
    """Returns what each line says of its process."""
    found = ((name, get(process, rendering), sparse) for name, get, sparse in _OF_PROCESS)
    return {name: value for name, value, sparse in found if value is not None or not sparse}


@functools.cache  # bounded: ten kinds, some 130 errors
def outcome_json(kind: EventKind, error: int) -> str:
    """Returns the fields ``outcome`` and ``error`` of a line."""
    return to_json({"outcome": outcome(kind, error), "error": error_name(error)})[1:-1]
