# SPDX-License-Identifier: Apache-2.0
"""One run of the tracer: attach, move events, sum up."""

import contextlib
import functools
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from tracer import __version__, capabilities, existing, hangup, notify
from tracer.capabilities import Capability
from tracer.clock import WallClock, boot_now
from tracer.command import Command
from tracer.enrich import Enricher
from tracer.errors import SockwatchError
from tracer.existing import Existing
from tracer.filters import Filters
from tracer.flows import FlowTable
from tracer.kernel import probes
from tracer.kernel.probes import Probes
from tracer.kernel.program import Rung
from tracer.losses import Losses
from tracer.names import Names
from tracer.pipeline import Pipeline, Sink
from tracer.process import cgroup, pid_namespace
from tracer.process.descendants import descendants
from tracer.process.table import ProcessTable
from tracer.say import say, to_stderr
from tracer.sinks import answer
from tracer.sinks.jsonl import JsonLines, Output
from tracer.sinks.logfile import LogFile, Rotation
from tracer.sinks.screen import Screen
from tracer.sinks.table import Table
from tracer.stop import Stop

_LOST: Final = 3  # exit status
_FLAGS: Final = {"follow": "with descendants"}  # how parts of a filter are said that have no value
WHOLE_RING: Final = 1 << 30  # more events than any ring holds


@dataclass(frozen=True)
class Options:
    """What the user asked for, besides the filter. ``duration`` is in seconds,
    ``columns`` the width of the table."""

    log: Path | None
    rotation: Rotation
    output: str  # "table", "json" or "none"
    header: bool
    color: bool
    columns: int
    count: int | None
    duration: float | None
    ready_file: Path | None
    ring_pages: int
    rungs: tuple[Rung, ...]
    resolve: bool
    log_names: bool
    strict: bool
    interval: float


def trace(filters: Filters, options: Options, command: Command | None, out: TextIO) -> int:
    """Traces until it is told to stop or the command ends, writing events to ``out`` and the log,
    and the answer to stderr; returns the exit status. Raises SockwatchError."""
    clock = WallClock()
    screen = Screen(out, lambda message: say(f"{message}: tracing goes on"))
    stop = Stop(screen, command)
    if command:
        filters = filters._replace(pid=filters.pid | {command.pid}, follow=True)
    with contextlib.ExitStack() as cleanup:
        log = LogFile(options.log, options.rotation, say) if options.log else None
        if log:
            cleanup.callback(log.close)
        hangup.handle(functools.partial(_reload, log), stop.hang_up)
        pids_of = _own_pid_namespace()
        attached = probes.attach(options.rungs, filters.map_entries(), options.ring_pages, pids_of)
        cleanup.callback(attached.close)
        started = boot_now()
        filters = _follow_descendants(filters, attached)
        _give_up_privileges(log, command)
        stop.after(options.duration)
        known = _Known(attached, filters)
        flows = known.flows
        known.learn(started, hurry=False)
        for pid in filters.pid:
            known.processes.now(pid)  # while it is there to be asked about
        before = existing.find(
            filters, known.enricher, known.processes, lambda: attached.read(WHOLE_RING), say
        )
        _write_ready_file(options.ready_file)
        names = Names() if options.resolve or options.log_names else None
        shown, logged = (names if asked else None for asked in (options.resolve, options.log_names))
        outputs = _line_outputs(log, options, screen)
        lines = JsonLines(clock, attached.rung.name, outputs, logged)
        lines.mark("start", started, _start_fields(attached, filters))
        _say_start(attached, filters, log)
        _say_namespaces(pids_of, filters)
        sinks: list[Sink] = [lines]
        if options.output == "table":
            sinks.append(_table(options, clock, screen, shown))
        events = [flows.existing(flow, started) for flow in before.flows]
        for sink in sinks:
            sink.write(events)
        if command:
            command.go()
        losses = Losses(attached, lines, say, known.processes.look_for_the_dead)
        check = functools.partial(_check, losses, log)
        pipeline = Pipeline(
            attached, known.learn, flows, sinks, check, options.count, options.interval
        )
        notify.ready()
        pipeline.run(stop)
        notify.stopping()
        attached.detach()
        pipeline.drain()
        losses.check(at_once=True)
        summary = _summary(attached, flows, before)
        ended = boot_now()
        duration = round((ended - started) / 1e9, 3)
        lines.mark("stop", ended, {**summary, "duration": duration})
        _end_line_of_ctrl_c(stop)
        to_stderr(answer.render(flows.totals(), clock, shown, logged=log is not None))
        _say_summary(summary, duration, log)
    lost = losses.any or bool(log and log.lost_lines)
    status = _wait(command, stop) if command else 0
    return _LOST if lost and options.strict else status


class _Known:
    """What is known of processes and flows."""

    def __init__(self, attached: Probes, filters: Filters) -> None:
        self.processes = ProcessTable(attached.processes)
        self.enricher = Enricher(self.processes)
        self.flows = FlowTable(self.enricher.flow, filters.selects_flow)
        self._delay = attached.delay

    def learn(self, oldest: int, *, hurry: bool) -> None:
        """Before a batch; see :class:`tracer.pipeline.Learner`."""
        self.processes.learn()
        self.processes.forget(oldest - self._delay)
        self.enricher.hurry = hurry
        self.flows.begin(hurry=hurry or not self.enricher.rested)


def _own_pid_namespace() -> int | None:
    """The inode of the one whose pids are shown; None where that is the initial one."""
    shown = pid_namespace.shown()
    return None if shown == pid_namespace.INITIAL else shown


def _reload(log: LogFile | None) -> None:
    if log:
        notify.reloading()
        log.reopen(notify.ready)


def _check(losses: Losses, log: LogFile | None) -> None:
    """What is done now and then."""
    losses.check()
    if log:
        log.reopen_if_asked()


def _wait(command: Command, stop: Stop) -> int:
    """The command's status; or that of the signal that is not to be kept waiting by it."""
    if not command.ended():
        say(f"tracing has ended, the command (pid {command.pid}) has not: waiting for it")
    status = command.wait(lambda: bool(stop.signalled))
    return 128 + stop.signalled if status is None else status


def _follow_descendants(filters: Filters, attached: Probes) -> Filters:
    """Those that are there already. The hooks follow what forks from now on, so that looking
    again until there is nobody new misses none."""
    if not filters.follow:
        return filters
    followed = filters.pid
    while new := descendants(followed) - followed:
        for pid in new:
            attached.follow(pid)
        followed |= new
    return filters._replace(pid=followed)


def _give_up_privileges(log: LogFile | None, command: Command | None) -> None:
    """All that is not needed once the hooks are attached."""
    needed = [
        Capability.CAP_BPF,
        Capability.CAP_NET_ADMIN,
        Capability.CAP_SYS_PTRACE,
        Capability.CAP_DAC_READ_SEARCH,
        Capability.CAP_SYS_ADMIN,
    ]
    if log and log.path.resolve().parent.stat().st_uid != os.geteuid():
        needed += [Capability.CAP_DAC_OVERRIDE, Capability.CAP_CHOWN]
    if command:
        needed.append(Capability.CAP_KILL)
    capabilities.keep(needed)


def _write_ready_file(path: Path | None) -> None:
    if path is None:
        return
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


def _table(options: Options, clock: WallClock, screen: Screen, names: Names | None) -> Table:
    return Table(
        screen,
        clock,
        columns=options.columns,
        color=options.color,
        header=options.header,
        names=names,
    )


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
        _FLAGS.get(name, name) if values is True else f"{name} {' '.join(map(str, values))}"
        for name, values in filters.describe().items()
    )
    where = f"log: {log.path}" if log else "no log"
    say(f"tracing {asked or 'everything'} by {attached.rung.name}; {where}; Ctrl-C ends")
    for name, reason in attached.refused.items():
        say(f"not by {name}: {reason}")
    say(f"not seen by {attached.rung.name}: {'; '.join(attached.rung.blind_spots)}")


def _say_namespaces(pids_of: int | None, filters: Filters) -> None:
    """What a container with namespaces of its own does not see."""
    if pids_of is not None:
        say("pids are those of this pid namespace: a process outside of it has none")
    if filters.by_cgroup and cgroup.is_private():
        say(cgroup.PRIVATE)


def _summary(attached: Probes, flows: FlowTable, before: Existing) -> dict[str, int | None]:
    """None: not known."""
    counters = attached.counters()
    return {
        "seen": counters.seen,
        "matched": counters.matched - flows.left_out,
        "existing": len(before.flows) if before.complete else None,
        "undecided": flows.undecided + before.undecided,
        "coalesced": counters.coalesced,
        "unfinished": counters.unfinished,
        "skipped": attached.skipped(),
        "lost": counters.lost,
        "processes_lost": counters.processes_lost,
    }


def _end_line_of_ctrl_c(stop: Stop) -> None:
    """Which a terminal shows as ``^C``."""
    if stop.signalled == signal.SIGINT and sys.stderr.isatty():
        to_stderr("\n")


def _say_summary(summary: dict[str, int | None], duration: float, log: LogFile | None) -> None:
    numbers = ", ".join(
        f"{name} {'unknown' if value is None else value}" for name, value in summary.items()
    )
    lost = f", log lines lost {log.lost_lines}" if log and log.lost_lines else ""
    say(f"{numbers}{lost} in {duration:.1f} s")
