# SPDX-License-Identifier: Apache-2.0
"""What a run is asked for, besides the filter."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tracer.clock import WallClock
from tracer.filter.parse import NetnsPlace
from tracer.host.resolver import Names
from tracer.kernel.probes import Probe
from tracer.output.logfile import Rotation
from tracer.output.stream import Stream
from tracer.trace.metrics import MetricsOptions
from tracer.trace.pipeline import Sink
from tracer.trace.streams import Stream as Lines


class Console(NamedTuple):
    """What a command's own sink may use: where it writes, and where messages go, which may be the
    same terminal; the clock; what looks up the names of addresses (None: they are not wanted);
    what makes a sink of the log's lines; and what has a function called often, or at the end, the
    last one first."""

    out: Stream
    messages: Stream
    clock: WallClock
    names: Names | None
    lines_to: Callable[[Lines], Sink]
    on_check: Callable[[Callable[[], None]], None]
    at_end: Callable[[Callable[[], None]], object]


MakeSink = Callable[[Console], Sink]  # makes a command's own sink, beside the log


class LogOptions(NamedTuple):
    """Where the log is, and when it is rotated."""

    path: Path
    rotation: Rotation


@dataclass(frozen=True)
class AnswerOptions:
    """How the answer at the end is given. ``by_pid``: a row for each process. ``json``: where it
    goes as JSON (``-``: standard output), besides. ``on_stdout``: it is what standard output is
    for; else it goes to standard error. ``is_status``: the exit status says whether there was any.
    """

    by_pid: bool = False
    json: Path | None = None
    on_stdout: bool = False
    is_status: bool = False


@dataclass(frozen=True)
class Options:
    """What the user asked for, besides the filter. ``duration`` and ``interval`` are in seconds;
    ``volumes`` is how many seconds lie between two looks at what connections have moved;
    ``log_each`` has a line for each event, also of a flow that has many; ``json`` prints the log's
    lines, unless ``sink`` prints those that are ``new``; ``sink`` does
    something else with events, besides."""

    log: LogOptions | None
    log_each: bool
    json: bool
    sink: MakeSink | None
    count: int | None
    duration: float | None
    ready_file: Path | None
    ring_pages: int
    probes: tuple[Probe, ...]
    resolve: bool
    log_names: bool
    strict: bool
    interval: float
    volumes: float
    netns: tuple[NetnsPlace, ...] = ()  # where the filter's namespaces are
    answer: AnswerOptions = AnswerOptions()
    new: bool = False
    why: bool = False  # say why better probes were refused, and what is not seen
    metrics: MetricsOptions | None = None
