# SPDX-License-Identifier: Apache-2.0
"""One run of the tracer: attach, move events, sum up."""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from tracer import __version__
from tracer.clock import WallClock, boot_now
from tracer.errors import SockwatchError
from tracer.filters import Filters
from tracer.flows import FlowTable
from tracer.kernel import probes
from tracer.kernel.probes import Probes
from tracer.kernel.program import Rung
from tracer.pipeline import Pipeline, Sink
from tracer.process.proc import process_of
from tracer.sinks import answer
from tracer.sinks.jsonl import JsonLines, Output
from tracer.sinks.logfile import LogFile
from tracer.sinks.table import Table


@dataclass(frozen=True)
class Options:
    """What the user asked for, besides the filter. ``duration`` is in seconds,
    ``columns`` the width of the table."""

    log: Path | None
    output: str  # "table", "json" or "none"
    header: bool
    color: bool
    columns: int
    count: int | None
    duration: float | None
    ready_file: Path | None
    ring_pages: int
    rungs: tuple[Rung, ...]


class Stop:
    """Says when to end: a signal, the time, or a reader of our output that went away."""

    def __init__(self, duration: float | None) -> None:
        self.asked = False
        self._end = None if duration is None else boot_now() + int(duration * 1e9)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def __call__(self) -> bool:
        """Is it time?"""
        return self.asked or (self._end is not None and boot_now() >= self._end)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


def say(message: str) -> None:
    """A line for the user, apart from the data on stdout."""
    print(f"sockwatch: {message}", file=sys.stderr, flush=True)


def trace(filters: Filters, options: Options, out: TextIO) -> None:
    """Traces until it is told to stop, writing events to ``out`` and the log, and the
    answer to stderr. Raises SockwatchError."""
    clock = WallClock()
    with ExitStack() as cleanup:
        log = LogFile(options.log, say) if options.log else None
        if log:
            cleanup.callback(log.close)
        attached = probes.attach(options.rungs, filters.map_entries(), options.ring_pages)
        cleanup.callback(attached.close)
        stop = Stop(options.duration)
        if options.ready_file:
            _write_ready_file(options.ready_file)
        started = boot_now()
        flows = FlowTable(process_of)
        lines = JsonLines(clock, attached.rung.name, _line_outputs(log, options, out))
        lines.mark("start", started, _start_fields(attached, filters))
        _say_start(attached, filters, log)
        sinks: list[Sink] = [lines]
        if options.output == "table":
            sinks.append(_table(options, clock, out))
        _move(Pipeline(attached, flows, sinks, options.count), stop, attached)
        _sum_up(flows, attached, lines, clock, log, started)


def _write_ready_file(path: Path) -> None:
    try:
        path.write_text(f"{os.getpid()}\n")
    except OSError as error:
        raise SockwatchError(
            f"cannot write {path} ({error.strerror})", "name another place with --ready-file"
        ) from None


def _move(pipeline: Pipeline, stop: Stop, attached: Probes) -> None:
    try:
        pipeline.run(stop)
        attached.detach()
        pipeline.drain()
    except BrokenPipeError:  # as with "| head": the normal way to stop
        attached.detach()
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _line_outputs(log: LogFile | None, options: Options, out: TextIO) -> Sequence[Output]:
    outputs: list[Output] = []
    if log:
        outputs.append(log.write)
    if options.output == "json":
        outputs.append(lambda text: _write_now(out, text))
    return outputs


def _write_now(out: TextIO, text: str) -> None:
    out.write(text)
    out.flush()


def _table(options: Options, clock: WallClock, out: TextIO) -> Table:
    return Table(out, clock, columns=options.columns, color=options.color, header=options.header)


def _start_fields(attached: Probes, filters: Filters) -> dict[str, Any]:
    return {
        "version": __version__,
        "probe": attached.rung.name,
        "refused": attached.refused,
        "blind_spots": attached.rung.blind_spots,
        "filter": filters.describe(),
    }


def _say_start(attached: Probes, filters: Filters, log: LogFile | None) -> None:
    asked = ", ".join(
        name if values is True else f"{name} {' '.join(map(str, values))}"
        for name, values in filters.describe().items()
    )
    where = f"log: {log.path}" if log else "no log"
    say(f"tracing {asked or 'everything'} by {attached.rung.name}; {where}; Ctrl-C ends")
    for name, reason in attached.refused.items():
        say(f"not by {name}: {reason}")
    say(f"not seen by {attached.rung.name}: {'; '.join(attached.rung.blind_spots)}")


def _sum_up(
    flows: FlowTable,
    attached: Probes,
    lines: JsonLines,
    clock: WallClock,
    log: LogFile | None,
    started: int,
) -> None:
    counters = attached.counters()
    ended = boot_now()
    summary = {
        "seen": counters.seen,
        "matched": counters.matched,
        "coalesced": 0,
        "unfinished": counters.unfinished,
        "lost": counters.lost,
    }
    duration = round((ended - started) / 1e9, 3)
    lines.mark("stop", ended, {**summary, "duration": duration})
    sys.stderr.write(answer.render(answer.totals(flows.all()), clock))
    numbers = ", ".join(f"{name} {value}" for name, value in summary.items())
    lost = f", log lines lost {log.lost_lines}" if log and log.lost_lines else ""
    say(f"{numbers}{lost} in {duration:.1f} s")
