# SPDX-License-Identifier: Apache-2.0
"""``sockwatch top``: a run whose events become rows, a screen that shows them, and its keys."""

import contextlib
import operator
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TextIO

from tracer.clock import boot_now
from tracer.errors import UsageError
from tracer.filter.filters import Filters
from tracer.filter.parse import NetnsPlace
from tracer.host import procfs
from tracer.kernel.probes import Probe
from tracer.model.process import Process
from tracer.top import terminal
from tracer.top.details import details
from tracer.top.keys import Page, State, press
from tracer.top.messages import Messages
from tracer.top.rows import Row, Rows
from tracer.top.screen import HELP, View, frame, room
from tracer.top.terminal import Terminal
from tracer.trace import volumes
from tracer.trace.options import Options as RunOptions
from tracer.trace.pipeline import INTERVAL, Sink
from tracer.trace.run import Run
from tracer.trace.sentence import watched
from tracer.warn import to_stderr

_INTERVAL: Final = 1.0  # seconds that rates are of
_REST: Final = 20  # the same, at least, in multiples of what it takes to look
_REDRAW: Final = "\f"  # Ctrl-L
_MAKE_ROWS: Final = operator.attrgetter("by", "sort", "filter", "paused")  # of a state

# Makes a filter of options as on the command line. Raises UsageError.
Parse = Callable[[str], Filters | None]


@dataclass(frozen=True)
class Options:
    """What the user asked for, besides the filter. ``parse`` reads the filters that are typed."""

    parse: Parse
    probes: tuple[Probe, ...]
    ring_pages: int
    resolve: bool
    netns: tuple[NetnsPlace, ...] = ()


def top(filters: Filters, options: Options, out: TextIO) -> None:
    """Shows who talks until the user quits. Raises SockwatchError."""
    terminal.check()
    rows, messages = Rows(_is_alive), Messages()
    try:
        with Run(filters, _of_run(options, rows), None, out) as run:
            # there is no log to reopen: SIGHUP ends it, as SIGTERM does
            signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))
            run.attach()
            run.drop_privileges()
            run.find_existing_sockets()
            with contextlib.redirect_stderr(messages):
                run.announce(lambda *_: None)
                with Terminal(run.stdout) as screen:
                    title = f"{watched(_shown(filters))} by {run.session.probe.name}"
                    run.on_check(_Top(run, rows, screen, messages, options.parse, title).check)
                    run.until_stopped()
    finally:
        to_stderr(messages.text)


class _Detailed(NamedTuple):
    """The details of a row, for a width. Each key asks for them."""

    row: Row
    columns: int
    lines: list[str]


class _Top:
    """What is on the screen."""

    def __init__(
        self,
        run: Run,
        rows: Rows,
        screen: Terminal,
        messages: Messages,
        parse: Parse,
        title: str,
    ) -> None:
        self._run = run
        self._rows = rows
        self._screen = screen
        self._messages = messages
        self._parse = parse
        self._title = title
        self._state = State()
        self._filters: Filters | None = None
        self._grouped = rows.grouped  # of what is now, or was when the screen was paused
        self._shown: list[Row] = []
        self._size = terminal.size()
        self._began = self._looked = run.started  # so the first rates are of all since then
        self._next_look = 0.0
        self._note = ""  # why a filter was not taken
        self._is_drawn = False
        self._detailed: _Detailed | None = None

    def check(self) -> None:
        """Does what is due: takes keys, counts, draws."""
        keys = self._screen.keys()
        if keys is None:
            return self._quit()
        for key in keys:
            self._press(key)
        if time.monotonic() >= self._next_look:
            self._look()
        self._size, before = terminal.size(), self._size
        if before != self._size:
            self._screen.redraw()
            self._is_drawn = False
        if not self._is_drawn:
            self._is_drawn = self._screen.draw(frame(self._view(), *self._size))
        return None

    def _look(self) -> None:
        """Ends an interval."""
        began, now = time.monotonic(), boot_now()
        self._run.look()
        self._rows.end_interval((now - self._looked) / 1e9)
        self._looked = now
        self._next_look = began + max(_INTERVAL, _REST * (time.monotonic() - began))
        self._group()

    def _group(self) -> None:
        state = self._state
        self._shown = self._grouped(state.by, state.sort, self._filters)
        self._is_drawn = False

    def _press(self, key: str) -> None:
        if key == _REDRAW:
            self._screen.redraw()
        self._note = ""
        before = self._state
        lines = self._text() if before.page is not Page.ROWS else [row.key for row in self._shown]
        state = self._state = press(before, key, lines, room(before, self._size[1]))
        if state.done:
            self._quit()
        if state.filter != before.filter:
            self._filter(before.filter)
        if state.paused != before.paused:
            self._grouped = self._rows.frozen() if state.paused else self._rows.grouped
        if _MAKE_ROWS(self._state) != _MAKE_ROWS(before):
            self._group()
        self._is_drawn = False

    def _filter(self, before: str) -> None:
        """Takes the filter that was typed, or says why not."""
        try:
            self._filters = self._parse(self._state.filter)
        except UsageError as error:
            self._note = str(error)
            self._state = self._state._replace(filter=before)

    def _view(self) -> View:
        seconds = (boot_now() - self._began) // 10**9
        return View(
            f"sockwatch top: {self._title}, for {seconds // 60}:{seconds % 60:02}",
            self._run.numbers(),
            self._state,
            self._shown,
            self._text(),
            self._note or self._messages.newest,
            self._run.shown_names,
        )

    def _text(self) -> Sequence[str]:
        """Returns the lines of a page without rows."""
        state = self._state
        if state.page is Page.HELP:
            return HELP
        row = next((row for row in self._shown if row.key == state.selected), None)
        if state.page is Page.ROWS or row is None:
            return ["that row is not there any more"] * (state.page is Page.DETAILS)
        columns = self._size[0]
        if (
            self._detailed is None
            or self._detailed.row is not row
            or self._detailed.columns != columns
        ):
            self._detailed = _Detailed(row, columns, details(row, self._run.clock, columns))
        return self._detailed.lines

    def _quit(self) -> None:
        """Ends it as Ctrl-C does."""
        signal.raise_signal(signal.SIGINT)


def _shown(filters: Filters) -> Filters:
    """Returns the parts of a filter that are not always there."""
    return filters._replace(summary=False, accept=False, forward=False)


def _is_alive(process: Process) -> bool:
    return process.pid is None or procfs.is_alive(process.pid, process.start_time)


def _of_run(options: Options, sink: Sink) -> RunOptions:
    """Returns the options of a run without a log."""
    return RunOptions(
        log=None,
        log_each=False,
        json=False,
        sink=lambda *_: sink,
        count=None,
        duration=None,
        ready_file=None,
        ring_pages=options.ring_pages,
        probes=options.probes,
        resolve=options.resolve,
        log_names=False,
        strict=False,
        interval=INTERVAL,  # short: who sends may have ended by the next look
        volumes=volumes.INTERVAL,
        netns=options.netns,
    )
