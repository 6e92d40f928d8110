# SPDX-License-Identifier: Apache-2.0
"""One run of the tracer: attach, move events, sum up."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, Self, TextIO

from tracer import capabilities
from tracer.capabilities import Capability
from tracer.clock import WallClock, boot_now
from tracer.filter import maps
from tracer.filter.filters import Filters
from tracer.host import cgroup, pid_namespace
from tracer.host.resolver import Names
from tracer.inventory import absence, interfaces
from tracer.kernel import session
from tracer.kernel.probes import Probe, with_forwarded, with_received
from tracer.model.fields import Rendering
from tracer.model.flow import EventKind, Flow
from tracer.output import textfile
from tracer.output.logfile import LogFile
from tracer.output.prometheus import MetricsFile
from tracer.output.stream import PATIENCE
from tracer.output.stream import Stream as Output
from tracer.output.terminal import columns_of
from tracer.trace import answer, descendants, hangup, initial, messages, notify, screen
from tracer.trace.alive import Alive
from tracer.trace.arrivals import Arrivals
from tracer.trace.child import Command
from tracer.trace.enrich import Enricher
from tracer.trace.event import Event
from tracer.trace.flow_table import FlowTable
from tracer.trace.held_netns import Change, HeldNetns
from tracer.trace.jsonl import JsonLines
from tracer.trace.line import ProcessLines
from tracer.trace.losses import Losses
from tracer.trace.merging import Merging
from tracer.trace.metrics import Metrics, MetricsOptions
from tracer.trace.options import Console, Options
from tracer.trace.pipeline import AT_ONCE, Pace, Pipeline, Sink, not_before
from tracer.trace.process_table import ProcessTable
from tracer.trace.stop import Stop
from tracer.trace.streams import LogStream, Rendered, Stream
from tracer.trace.totals import Total
from tracer.trace.traffic import Traffic
from tracer.trace.volumes import Volumes
from tracer.warn import to_stderr, warn

# Tells the user what is watched, and where the log is.
ShowStart = Callable[[session.Session, Filters, LogFile | None], None]

_LOST: Final = 3  # exit status
_NOTHING: Final = 1  # and that where nothing matched, if that is asked
_WHOLE_RING: Final = 1 << 30  # more events than any ring holds


class Outcome(NamedTuple):
    """What a run has found: the counts of the log's ``stop`` line (None: not known), and who sent
    to whom; the sockets from before, too, with a count of 0 unless they sent."""

    numbers: dict[str, int | None]
    totals: list[Total]


def trace(filters: Filters, options: Options, command: Command | None, out: TextIO) -> int:
    """Traces until it is told to stop or the command ends. Writes events to ``out`` and the log,
    and the answer to stderr. Returns the exit status. Raises SockwatchError."""
    with Run(filters, options, command, out) as run:
        run.attach()
        run.drop_privileges()
        run.find_existing_sockets()
        run.announce()
        run.start_command()
        run.until_stopped()
        run.detach_and_drain()
        run.sum_up()
    return run.exit_status()


class Run:
    """One run. Its steps are called once each, in the order in which they stand here."""

    def __init__(
        self, filters: Filters, options: Options, command: Command | None, out: TextIO
    ) -> None:
        self._asked = self._filters = filters
        if command:
            self._filters = filters._replace(
                pid=filters.pid | {command.pid}, follow=True, forward=False
            )
        self._options = options
        self._command = command
        self._clock = WallClock()
        self._messages = screen.stderr()
        self._rendering = Rendering(os.urandom(8).hex(), self._clock.iso_start)
        self._screen = screen.stdout_of(
            out,
            self._clock,
            lambda message: warn(f"{message}: tracing goes on"),
            json=options.json,
            run=self._rendering.run,
        )
        self._stop = Stop(self._screen, command)
        self._log: LogFile | None = None
        # time (CLOCK_BOOTTIME, nanoseconds) before which all events were written
        self._complete_until: Callable[[], int] = lambda: self._started
        self._metrics_file: MetricsFile | None = None
        self._metrics: Metrics | None = None
        self._checks: list[Callable[[], None]] = []
        self._cleanup = contextlib.ExitStack()
        self._sinks_end = self._cleanup.enter_context(contextlib.ExitStack())

    def __enter__(self) -> Self:
        """Opens the log, and what else is written. Raises SockwatchError."""
        session.check_permission()  # else users would be told to fix the log first
        if self._options.log:
            self._log = LogFile(self._options.log.path, self._options.log.rotation, warn)
            self._cleanup.callback(self._log.close)
        if self._options.metrics:
            self._metrics_file = MetricsFile(self._options.metrics.path, warn)
        hangup.handle(self._reload, self._stop.hang_up)
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def attach(self) -> None:
        """Attaches the hooks; from here on nothing is missed. Raises ProbeError."""
        options = self._options
        self._netns = HeldNetns(options.netns)
        self._cleanup.callback(self._netns.close)
        filters = self._filters = self._filters._replace(netns=self._netns.inodes())
        self._own_pid_namespace = _own_pid_namespace()
        self._session = session.attach(
            _probes(options, filters),
            maps.entries(filters),
            options.ring_pages,
            self._own_pid_namespace,
        )
        self._cleanup.callback(self._session.close)
        self._started = boot_now()
        if filters.follow:
            descendants.forget_the_dead(self._session, filters.pid)
            descendants.follow(self._session, filters)
        self._processes = ProcessTable(self._session.processes)
        sees_accept = self._session.probe.sees_accept
        self._enricher = Enricher(self._processes, find_acceptors=not sees_accept)
        self._arrivals = None
        if filters.in_kernel_by_process and not sees_accept:
            self._arrivals = Arrivals(filters, self._session.pids, self.is_shown)
        self._flows = FlowTable(
            self._enricher.flow,
            self._wanted,
            self._enricher.receivers,
            self._session.received_of,
        )

    def _wanted(self, flow: Flow) -> bool | None:
        filters = self._filters
        if self._arrivals and flow.kind in (EventKind.ACCEPT, EventKind.CLOSE):
            return self._arrivals.wanted(flow)
        if filters.follow and flow.kind is EventKind.RECEIVE:
            filters = filters.with_pids(self._session.pids())  # with their descendants
        return filters.selects_flow(flow)

    @property
    def session(self) -> session.Session:
        """The attached hooks."""
        return self._session

    @property
    def started(self) -> int:
        """When all hooks were attached (CLOCK_BOOTTIME, nanoseconds)."""
        return self._started

    @property
    def clock(self) -> WallClock:
        """The clock that times are shown by."""
        return self._clock

    @property
    def stdout(self) -> Output:
        """Standard output, which never waits for its reader."""
        return self._screen

    @property
    def shown_names(self) -> Names | None:
        """Names of addresses for the screen, if the user wants them there."""
        return self._names if self._options.resolve else None

    def on_check(self, check: Callable[[], None]) -> None:
        """Calls ``check`` often, until it is time to stop."""
        self._checks.append(check)

    def look(self) -> None:
        """Gives the sinks what the kernel has counted until now, and what connections have moved.
        Comes in a check (:meth:`on_check`)."""
        self._pipeline.look()
        self._volumes.look()

    def numbers(self) -> dict[str, int | None]:
        """Returns the counts of the log's ``stop`` line until now. None: not known."""
        return messages.summary(self._session, self._flows, self._existing)

    def drop_privileges(self) -> None:
        """Drops all privileges that are not needed once the hooks are attached. Comes before
        threads are started, because these would keep theirs."""
        needed = [
            Capability.CAP_BPF,
            Capability.CAP_NET_ADMIN,
            Capability.CAP_SYS_PTRACE,
            Capability.CAP_DAC_READ_SEARCH,
            Capability.CAP_SYS_ADMIN,
        ]
        if any(file and file.is_in_anothers_folder for file in (self._log, self._metrics_file)):
            needed += [Capability.CAP_DAC_OVERRIDE, Capability.CAP_CHOWN]
        if self._command:
            needed.append(Capability.CAP_KILL)
        capabilities.keep(needed)

    def find_existing_sockets(self) -> None:
        """Lists the sockets that match already, and what the user asked for that is not there."""
        self._before_batch(self._started, skip_lookups=False)
        filters = self._filters
        if filters.follow:
            filters = filters.with_pids(self._session.pids())
        for pid in filters.pid:
            self._processes.now(pid)  # read while it is there
        self._existing = initial.find(
            filters,
            self._enricher,
            self._processes,
            lambda: not_before(self._started, self._session.read(_WHOLE_RING)),
            warn,
        )
        for flow in self._existing.flows:
            if flow.proto == "tcp" and flow.cookie:
                self._session.expect_end(flow.cookie)
        self._absent = list(absence.messages(self._asked))

    def announce(self, show_start: ShowStart | None = None) -> None:
        """Says that all is attached, by ``show_start`` to the user, and reports the existing
        sockets as the first events."""
        if self._options.ready_file:
            textfile.write(self._options.ready_file, f"{os.getpid()}\n", "--ready-file")
        self._lines = self._make_lines()
        self._clock.measure()
        fields = messages.start_fields(self._session, self._filters, self._log, self._existing)
        self._lines.mark("start", self._started, fields)
        show = show_start or partial(messages.show_start, why=self._options.why)
        show(self._session, self._filters, self._log)
        messages.warn_of_namespaces(self._own_pid_namespace, self._filters)
        for message in self._absent:
            warn(message)
        interfaces.warn_of_missing(self._filters, warn)
        for asked in self._netns.not_held():
            warn(
                f"the network namespace {asked} cannot be held open: nothing leads to it now, or "
                "it is not ours to open; once it has ended, its number may become another's"
            )
        self._sinks = self._make_sinks()  # a table writes its header at once
        events = [self._flows.existing(flow, self._started) for flow in self._existing.flows]
        for at in range(0, len(events), AT_ONCE):
            self._give(events[at : at + AT_ONCE])

    def start_command(self) -> None:
        """Lets the command begin, if there is one."""
        if self._command:
            self._command.go()

    def until_stopped(self) -> None:
        """Moves events to the sinks until it is time to stop."""
        self._stop.after(self._options.duration)
        self._losses = Losses(self._session, self._lines, warn, self._processes.look_for_the_dead)
        pace = Pace(self._options.count, self._options.interval)
        self._pipeline = Pipeline(
            self._session, self._flows, self._sinks, self._before_batch, pace, self._started
        )
        self._complete_until = self._written_until
        self._volumes = Volumes(self._flows, self._filters, self._options.volumes, self._give, warn)
        self._alive = Alive(self._lines, self._complete_until, self._alive_fields)
        notify.ready()
        self._pipeline.run(self._stop, self._check, self._pause)
        notify.stopping()

    def detach_and_drain(self) -> None:
        """Detaches the hooks, and moves what they have seen until now."""
        self._end_line()
        at_limit = self._pipeline.done  # what came after the last event is not told of
        self._watched_until = self._pipeline.complete_until if at_limit else boot_now()
        self._session.detach()
        self._pipeline.drain()
        self._losses.check(at_once=True)
        self._volumes.look(self._watched_until)
        self._merging.flush()

    def sum_up(self) -> None:
        """Writes the log's last line, and tells the user who sent what to whom. Raises
        SockwatchError if the file for that cannot be written."""
        told = self._flows.totals.events() if self._pipeline.done else None
        numbers = messages.summary(self._session, self._flows, self._existing, told)
        ended = boot_now()
        duration = round((ended - self._started) / 1e9, 3)
        log_lines_lost = self._log.lost_lines if self._log else None
        more = {"log_lines_lost": log_lines_lost, "duration": duration}
        self._lines.mark("stop", self._watched_until, {**numbers, **more})
        if self._metrics:
            self._metrics.finish()
        self._sinks_end.close()
        until = time.monotonic() + PATIENCE
        self._answer()
        self._screen.finish(until - time.monotonic())
        in_log = self._log.lost_lines if self._log else 0
        lines_lost = {"log_lines_lost": in_log, "output_lines_lost": self._screen.lost}
        moved = self._flows.totals.any_moved()
        messages.show_summary(
            numbers, duration, self._filters, self._session, lines_lost, moved=moved
        )
        self._messages.finish(until - time.monotonic())
        file = self._options.answer.json
        if file and str(file) != "-":  # comes last, since it may not be possible
            textfile.write(file, self._answer_as_json(), "--answer-json")

    def _answer(self) -> None:
        """Tells who sent what to whom."""
        asked, totals = self._options.answer, self._flows.totals.most_first()
        stream, write = (
            (sys.stdout, self._screen.write) if asked.on_stdout else (sys.stderr, to_stderr)
        )
        write(
            answer.render(
                totals,
                self._clock,
                self.shown_names,
                by_pid=asked.by_pid,
                room=columns_of(stream),
                logged=self._log is not None,
            )
        )
        if str(asked.json) == "-":
            self._screen.write(self._answer_as_json())

    def _answer_as_json(self) -> str:
        totals, by_pid = self._flows.totals.most_first(), self._options.answer.by_pid
        return answer.as_json(totals, self._clock, by_pid=by_pid)

    def outcome(self) -> Outcome:
        """Returns what was found. Comes after :meth:`detach_and_drain`."""
        return Outcome(self.numbers(), self._flows.totals.most_first())

    def existing_flows(self) -> list[Flow]:
        """Returns the sockets from before. Comes after :meth:`find_existing_sockets`."""
        return self._existing.flows

    def show(self, text: str) -> None:
        """Writes the last lines to standard output, instead of :meth:`sum_up`."""
        until = time.monotonic() + PATIENCE
        self._screen.write(text)
        self._screen.finish(until - time.monotonic())
        self._messages.finish(until - time.monotonic())

    def exit_status(self) -> int:
        """Returns the exit status: the command's, if there is one, after waiting for it."""
        lines_lost = self._screen.lost or (self._log and self._log.lost_lines)
        lost = self._losses.any or bool(lines_lost)
        status = _wait(self._command, self._stop) if self._command else 0
        if lost and self._options.strict:
            return _LOST
        if self._options.answer.is_status and not self._flows.totals.any_moved():
            return _NOTHING
        return status

    def _end_line(self) -> None:
        """Ends the line where the terminal shows ^C."""
        if self._stop.signalled == signal.SIGINT and sys.stderr.isatty():
            to_stderr("\n")

    def _reload(self) -> None:
        if self._log:
            notify.reloading()
            self._log.reopen(notify.ready)

    def is_shown(self, connection: Flow) -> bool:
        """Says whether there was an event, or an existing socket, of an open TCP connection."""
        return self._flows.connections.has(connection)

    def _netns_changed(self, change: Change) -> None:
        warn(str(change))
        fields = {"name": change.asked, "before": change.before, "netns": change.inode}
        self._lines.mark("netns", boot_now(), fields)

    def _alive_fields(self) -> dict[str, Any]:
        lost = self._log.lost_lines if self._log else None
        watched = self._netns.inodes() if self._options.netns else None
        return {
            **messages.alive_fields(self._session, self._filters, self._log, watched),
            **self.numbers(),
            "log_lines_lost": lost,
        }

    def _make_lines(self) -> JsonLines:
        """Threads look up names, so this comes after privileges are dropped."""
        options = self._options
        self._names = Names() if options.resolve or options.log_names else None
        if self._names and options.log_names:
            self._rendering = self._rendering._replace(name_of=self._names.of)
        self._process_lines = ProcessLines(self._rendering)
        streams: list[Stream] = []
        if self._log:
            streams.append(LogStream(self._log, self._next_file))
        if options.json and not options.new:
            streams.append(Stream(self._screen.write, lambda: self._screen.lost))
        return self._lines_to(*streams)

    def _lines_to(self, *streams: Stream) -> JsonLines:
        names = self._names if self._options.log_names else None
        return JsonLines(self._clock, self._rendering, self._process_lines, names, streams)

    def _next_file(self, lines: int) -> Rendered:
        """Returns what another file of the log begins with; the run has written so many lines."""
        return self._lines.marked("alive", self._complete_until(), self._alive_fields())(lines)

    def _written_until(self) -> int:
        return min(self._pipeline.complete_until, self._merging.complete_until)

    def _make_sinks(self) -> list[Sink]:
        self._merging = Merging(self._lines)
        sinks: list[Sink] = [self._lines if self._options.log_each else self._merging]
        if self._options.metrics and self._metrics_file:
            sinks.append(self._make_metrics(self._options.metrics, self._metrics_file))
        if not self._options.sink:
            return sinks
        console = Console(
            self._screen,
            self._messages,
            self._clock,
            self.shown_names,
            self._lines_to,
            self.on_check,
            self._sinks_end.callback,
        )
        return [*sinks, self._options.sink(console)]

    def _make_metrics(self, asked: MetricsOptions, file: MetricsFile) -> Sink:
        traffic = Traffic(asked.destinations)
        probe = self._session.probe.name
        self._metrics = Metrics(file, probe, traffic, self._metric_counts)
        self.on_check(self._metrics.check)
        return traffic

    def _metric_counts(self) -> dict[str, int | None]:
        """Returns counts that never fall: what matches is what was handed on until now."""
        return {
            **self.numbers(),
            "matched": self._flows.totals.events(),
            "flows": len(self._flows),
            "log_lines_lost": self._log.lost_lines if self._log else None,
        }

    def _before_batch(self, oldest: int, *, skip_lookups: bool) -> None:
        """See :class:`tracer.trace.pipeline.BeforeBatch`."""
        self._clock.measure()
        self._processes.update()
        self._processes.forget(oldest - self._session.delay)
        self._enricher.skip_lookups = skip_lookups
        self._flows.before_batch(
            skip_lookups=skip_lookups or not self._enricher.may_scan_descriptors
        )

    def _give(self, events: Sequence[Event]) -> None:
        for sink in self._sinks:
            sink.write(events)

    def _pause(self, seconds: float) -> None:
        screen.pause(seconds, self._screen, self._messages)

    def _check(self) -> None:
        """Does what is due now and then."""
        self._clock.measure()
        self._losses.check()
        self._alive.check()
        self._volumes.check()
        self._netns.check(self._session, self._netns_changed)
        for check in self._checks:
            check()
        self._merging.check()
        self._lines.check()


def _own_pid_namespace() -> int | None:
    """Returns the inode of the pid namespace whose pids are shown; None: the initial one."""
    shown = pid_namespace.shown()
    return None if shown == pid_namespace.INITIAL else shown


def _probes(options: Options, filters: Filters) -> tuple[Probe, ...]:
    probes = options.probes
    if filters.forward:
        probes = tuple(map(with_forwarded, probes))
    if filters.failed or filters.proto == {"tcp"}:
        return probes
    return tuple(with_received(probe, cgroup.root() or "") for probe in probes)


def _wait(command: Command, stop: Stop) -> int:
    """Waits for the command and returns its status, or that of a signal that ends the wait."""
    if not command.ended():
        warn(f"tracing has ended, the command (pid {command.pid}) has not: waiting for it")
    status = command.wait(lambda: bool(stop.signalled))
    return 128 + stop.signalled if status is None else status
