# SPDX-License-Identifier: Apache-2.0
"""One run of the tracer: attach, move events, sum up."""

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
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
from tracer.sinks.screen import Screen
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

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._asked = False
        self._end: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def after(self, seconds: float) -> None:
        """Not later than so long from now."""
        self._end = boot_now() + int(seconds * 1e9)

    def __call__(self) -> bool:
        """Is it time?"""
        late = self._end is not None and boot_now() >= self._end
        return self._asked or self._screen.closed or late

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True


def say(message: str) -> None:
    """A line for the user, apart from the data on stdout."""
    _to_stderr(f"sockwatch: {message}\n")


def _to_stderr(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody is there to read it
        sys.stderr.write(text)
        sys.stderr.flush()


def trace(filters: Filters, options: Options, out: TextIO) -> None:
    """Traces until it is told to stop, writing events to ``out`` and the log, and the
    answer to stderr. Raises SockwatchError."""
    clock = WallClock()
    screen = Screen(out, say)
    stop = Stop(screen)
    with contextlib.ExitStack() as cleanup:
        log = LogFile(options.log, say) if options.log else None
        if log:
            cleanup.callback(log.close)
        attached = probes.attach(options.rungs, filters.map_entries(), options.ring_pages)
        cleanup.callback(attached.close)
        started = boot_now()
        if options.duration is not None:
            stop.after(options.duration)
        if options.ready_file:
            _write_ready_file(options.ready_file)
        flows = FlowTable(process_of)
        lines = JsonLines(clock, attached.rung.name, _line_outputs(log, options, screen))
        lines.mark("start", started, _start_fields(attached, filters))
        _say_start(attached, filters, log)
        sinks: list[Sink] = [lines]
        if options.output == "table":
            sinks.append(_table(options, clock, screen))
        pipeline = Pipeline(attached, flows, sinks, options.count)
        pipeline.run(stop)
        attached.detach()
        pipeline.drain()
        _sum_up(flows, attached, lines, clock, log, started)


def _write_ready_file(path: Path) -> None:
    try:
        path.write_text(f"{os.getpid()}\n")
    except OSError as error:
        raise SockwatchError(
            f"cannot write {path} ({error.strerror})", "name another place with --ready-file"
        ) from None


def _line_outputs(log: LogFile | None, options: Options, screen: Screen) -> Sequence[Output]:
    outputs: list[Output] = []
    if log:
        outputs.append(log.write)
    if options.output == "json":
        outputs.append(screen.write)
    return outputs


def _table(options: Options, clock: WallClock, screen: Screen) -> Table:
    return Table(screen, clock, columns=options.columns, color=options.color, header=options.header)


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
        "skipped": attached.skipped(),
        "lost": counters.lost,
    }
    duration = round((ended - started) / 1e9, 3)
    lines.mark("stop", ended, {**summary, "duration": duration})
    _to_stderr(answer.render(flows.totals(), clock))
    numbers = ", ".join(f"{name} {value}" for name, value in summary.items())
    lost = f", log lines lost {log.lost_lines}" if log and log.lost_lines else ""
    say(f"{numbers}{lost} in {duration:.1f} s")
