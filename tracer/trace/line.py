# SPDX-License-Identifier: Apache-2.0
"""Renders a flow as a line of JSON once; for each event, only what differs is filled in."""

import functools
from typing import Any, Final

from tracer.model.fields import FIELDS, Rendering, before_start, end_of_life, neighbour
from tracer.model.flow import EventKind, Flow, error_name, outcome
from tracer.model.process import Process
from tracer.output.jsonl import to_json
from tracer.trace.event import Event

# for each field of a flow: its path, split into parent and name, and its getter
_OF_FLOW: Final = [(*field.path.rpartition(".")[::2], field.get) for field in FIELDS if field.get]
_OF_PROCESS: Final = [
    (field.path.removeprefix("process."), field.of_process) for field in FIELDS if field.of_process
]
_MAX_PROCESSES: Final = 512  # whose text is cached for later flows


class Line:
    """A flow's log line, rendered once; for each event, only what differs is filled in."""

    def __init__(self, flow: Flow, rendering: Rendering) -> None:
        fixed = _nested(flow, rendering)
        if flow.kind is EventKind.CLOSE:
            fixed |= end_of_life(flow, rendering)
        if flow.kind is EventKind.EXISTING:
            fixed |= before_start(flow)
        if flow.icmp:
            fixed["icmp"] = flow.icmp._asdict()
        if flow.origin:
            fixed["neighbour"] = neighbour(flow.origin)
        if flow.role:
            fixed["process"]["role"] = flow.role
        head = {name: fixed.pop(name) for name in ("event", "proto")}
        process = "null"
        more_of_process = to_json(fixed.pop("process"))[1:]
        if flow.process:
            process = f"{_process_json(flow.process, rendering)[:-1]},{more_of_process}"
        self._kind = flow.kind
        self._before = '",' + to_json(head)[1:-1] + ","
        self._after = f',"process":{process},{to_json(fixed)[1:]}\n'

    def text(self, event: Event, time: str, last_time: str) -> str:
        """Returns the whole line; the times of the first and the last event are text."""
        last = f'"last_time":"{last_time}",' if event.count > 1 else ""
        return (
            f'{{"time":"{time}{self._before}{outcome_json(self._kind, event.error)},'
            f'"bytes":{event.bytes},"count":{event.count},{last}"segments":{event.segments}'
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
    """Returns the flow's own fields as the JSON object that they make."""
    line: dict[str, Any] = {}
    for parent, name, get in _OF_FLOW:
        place = line.setdefault(parent, {}) if parent else line
        place[name] = get(flow, rendering)
    return line


@functools.lru_cache(_MAX_PROCESSES)
def _process_json(process: Process, rendering: Rendering) -> str:
    """Returns a process's fields as JSON: the same for all of its flows."""
    return to_json({name: get(process, rendering) for name, get in _OF_PROCESS})


@functools.cache  # bounded: ten kinds, some 130 errors
def outcome_json(kind: EventKind, error: int) -> str:
    """Returns the fields ``outcome`` and ``error`` of a line."""
    return to_json({"outcome": outcome(kind, error), "error": error_name(error)})[1:-1]
