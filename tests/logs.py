# SPDX-License-Identifier: Apache-2.0
"""Reads the lines of a log as tests look at them: each with all that is known of its process."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tracer.model.expand import expanded
from tracer.model.fields import Rendering
from tracer.model.flow import Flow
from tracer.output.jsonl import to_json
from tracer.output.logfile import LogFile
from tracer.trace.event import Event
from tracer.trace.line import Line, ProcessLines
from tracer.trace.streams import LogStream, Rendered


def lines_of(log: Path) -> list[dict[str, Any]]:
    """The lines of a log, without those about processes, which are put back into the others."""
    return list(whole(log.read_text()))


def whole(text: str) -> Iterator[dict[str, Any]]:
    """The same of what a run has written."""
    processes: dict[int, dict[str, Any]] = {}
    for line in map(json.loads, text.splitlines()):
        if line["event"] == "process":
            processes[line["process"]["id"]] = line["process"]
        elif "process" in line:
            yield expanded(line, line["process"] and processes[line["process"]["id"]])
        else:
            yield line


def format_1(flow: Flow, rendering: Rendering, event: Event, time: str, last_time: str = "") -> str:
    """An event's line as format 1 had it: all that is known of the process in each line."""
    line = Line(flow, rendering, ProcessLines(rendering))
    process = line.process and json.loads(f'{{"time":"{line.process.text}')["process"]
    found = expanded(json.loads(line.text(event, time, last_time)), process)
    del found["run"]
    return to_json({**found, "probe": "fexit"}) + "\n"


def format_2(
    flow: Flow, processes: ProcessLines, rendering: Rendering, event: Event, time: str,
    last_time: str = "",
) -> str:  # fmt: skip
    """An event's line, and its process's before it."""
    line = Line(flow, rendering, processes)
    before = f'{{"time":"{time}{line.process.text}' if line.process else ""
    return before + line.text(event, time, last_time)


def stream_to(log: LogFile) -> LogStream:
    """Lines to a log, whose files begin with no line of their own."""
    return LogStream(log, lambda _: Rendered(""))


def put(stream: LogStream, *lines: str) -> None:
    """Writes such lines."""
    stream.put([*map(Rendered, lines)])


def text_of(path: Path) -> str:
    """What a file of a log has, compressed or not."""
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
