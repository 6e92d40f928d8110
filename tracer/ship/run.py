# SPDX-License-Identifier: Apache-2.0
"""Ships a log: reads a block, writes down that it may be sent, sends it, and goes on."""

import dataclasses
import time
from pathlib import Path
from typing import Final, NamedTuple

from tracer.errors import SockwatchError
from tracer.model.counts import counted
from tracer.output.clickhouse import Access, Away, Refused, Target
from tracer.output.prometheus import MetricsFile
from tracer.ship import block, metrics
from tracer.ship.block import Block
from tracer.ship.cursor import Cursor, Store
from tracer.ship.fleet import Fleet, Problem, Server
from tracer.ship.follow import Found, Log, LogFile
from tracer.ship.metrics import Metrics
from tracer.ship.rows import Rows
from tracer.warn import warn

# What to do about a server's error codes, src/Common/ErrorCodes.cpp
_HINTS: Final = {
    60: "make them with --create",
    117: "if it has no such column, it is of an older version: --create adds it",
    81: "make the database, then the tables with --create",
    192: "see --password-file",
    193: "see --password-file",
    194: "see --password-file",
    497: "docs/fleet.md has the grants that it takes",
    516: "see --password-file",
}


class Options(NamedTuple):
    """``host`` names this machine where the log does not. ``once``: ends when all is shipped."""

    log: Path
    cursor: Path
    host: str
    every: float
    once: bool
    metrics: Path | None


def ship(target: Target, access: Access, options: Options) -> None:
    """Ships until it is ended. Raises SockwatchError."""
    store = Store(options.cursor)
    try:
        shipper = _Shipper(target, access, options, store)
        shipper.begin()
        shipper.run()
    finally:
        store.close()


class _Shipper:
    """Where shipping is: a file of the log, and the cursor in it."""

    def __init__(self, target: Target, access: Access, options: Options, store: Store) -> None:
        self._options = options
        self._store = store
        self._log = Log(options.log)
        self._fleet = Fleet(target, access, self._pause)
        self._metrics = Metrics()
        path = options.metrics
        self._file_of_metrics = MetricsFile(path, warn) if path else None
        self._cursor = store.load(options.host)
        self._file: LogFile | None = None
        self._digits = 0
        self._rows = Rows(0)
        self._reached = False  # whether a server has ever answered
        self._trouble = ""  # what a user was told last that is wrong with the servers

    def begin(self) -> None:
        """Finds out what the servers can keep. Raises SockwatchError."""
        self._reach("").connection.close()

    def run(self) -> None:
        """Ships until it is ended, or all is shipped. Raises SockwatchError."""
        while True:
            while self._step():
                pass
            self._tell()
            if self._options.once:
                return
            time.sleep(self._options.every)

    def _step(self) -> bool:
        """Ships a block, or goes on to the next file. Returns False if it is time to wait: what
        comes meanwhile is for the next block, however soon that would be."""
        if self._file and not self._file.is_same():
            self._close()
        file = self._file or self._open_again()
        found = self._ship_block(file) if file else None
        if found and found.is_full:
            return True
        if file and self._log.is_youngest(file):  # spares looking at all the backups
            self._metrics.behind_files = 0
            return False
        younger, is_next = self._younger()
        self._metrics.behind_files = len(younger)
        if not younger:
            return False
        # what was written before the log got another name
        if not (file and self._ship_block(file)):
            self._go_on_to(younger, is_next=is_next)
        return True

    def _open_again(self) -> LogFile | None:
        """Opens the cursor's file at its place; None: it is gone."""
        for found in self._log.files():
            if found.identity == self._cursor.file:
                self._file = self._log.open(found)
        if self._file:
            self._file.seek(self._cursor.start)
            if self._file.position < self._cursor.start:
                self._lose(self._file.position)
        return self._file

    def _close(self) -> None:
        """Closes a file that was truncated, or replaced."""
        if self._file:
            self._file.close()
        self._file = None

    def _younger(self) -> tuple[list[Found], bool]:
        """Returns the files after the cursor's that are not shipped, and whether none is missing
        between."""
        files, cursor = self._log.files(), self._cursor
        known = [found.identity for found in files]
        is_there = cursor.file in known
        if is_there and not self._file:  # it had another name when it was to be opened
            return [], True
        after = files[known.index(cursor.file) + 1 :] if is_there else files
        return [one for one in after if one.identity not in cursor.done], is_there

    def _go_on_to(self, younger: list[Found], *, is_next: bool) -> None:
        """Goes on to the first of these files."""
        file, cursor = self._log.open(younger[0]), self._cursor
        if file is None:  # it has another name by now
            return
        context = dataclasses.replace(cursor.context)
        if self._file:
            context.damaged += (self._file.rest() > 0) + self._file.is_cut_short
            context.may_miss |= self._file.is_cut_short
        if cursor.file and not is_next:
            context.may_miss = True
        if cursor.is_pending:  # nobody can tell whether it was sent
            context.lines = None
        self._close()
        self._file = file
        there = {found.identity for found in self._log.files()}
        done = tuple(one for one in (*cursor.done, cursor.file) if one in there)
        self._cursor = Cursor(context, younger[0].identity, done=done)
        self._store.save(self._cursor)

    def _lose(self, position: int) -> None:
        """Goes on there in a file that was cut."""
        context = dataclasses.replace(self._cursor.context, may_miss=True)
        if self._cursor.is_pending:
            context.lines = None
        self._cursor = self._cursor._replace(
            context=context, start=position, end=position, cuts=self._cursor.cuts + 1
        )
        self._store.save(self._cursor)

    def _ship_block(self, file: LogFile) -> Block | None:
        """Ships what there is, up to a block. Returns None if that is nothing."""
        found = block.read(file, self._cursor, self._rows)
        if found is None:
            if self._cursor.is_pending:
                self._lose(file.position)
            return None
        refused = self._deliver(file, found) if found.parts else 0
        context = found.context
        context.refused += refused
        self._cursor = self._cursor._replace(context=context, start=found.end, end=found.end)
        self._store.save(self._cursor)
        self._count(found, refused)
        return found

    def _deliver(self, file: LogFile, found: Block) -> int:
        """Gives a block to a server, for as long as it takes. Returns the rows that it refused."""
        ask = self._cursor.is_pending  # it may be there, from before
        self._metrics.asked += ask
        waiting, refused = list(found.parts), 0
        while True:
            server = self._reach(self._cursor.place if ask else "")
            try:
                if server.digits != self._digits:
                    found = self._read_again(file, server)
                    waiting = list(found.parts)
                if not ask:
                    self._intend(found, server)
                while waiting:
                    refused += self._fleet.deliver(server, waiting[0], ask=ask)
                    del waiting[0]
            except (Away, Refused) as problem:
                ask = True
                self._fleet.fail(server, problem)
            else:
                return refused
            finally:
                server.connection.close()

    def _intend(self, found: Block, server: Server) -> None:
        """Writes down what may be sent to whom, before it is."""
        self._cursor = self._cursor._replace(end=found.end, place=server.place)
        self._store.save(self._cursor)

    def _read_again(self, file: LogFile, server: Server) -> Block:
        """Reads a block for a server that can keep another part of a second."""
        self._keep(server.digits)
        file.seek(self._cursor.start)
        found = block.read(file, self._cursor, self._rows)
        if found is None:
            raise SockwatchError(f"{self._options.log} has changed while it was read")
        return found

    def _reach(self, place: str) -> Server:
        server = self._fleet.reach(place)
        if not self._reached:
            self._reached = True
            self._keep(server.digits)
        return server

    def _keep(self, digits: int) -> None:
        self._digits = digits
        self._rows = Rows(digits)

    def _pause(self, seconds: float, problem: Problem) -> None:
        """Waits before the servers are tried again; raises SockwatchError if that is no use."""
        if self._options.once or (problem.code and not self._reached):
            raise SockwatchError(f"cannot ship ({problem.text})", _HINTS.get(problem.code, ""))
        self._metrics.up = 0
        self._metrics.failures += 1
        self._tell()
        if problem.text != self._trouble:
            warn(f"cannot ship now, the log keeps it: {problem.text}")
        self._trouble = problem.text
        time.sleep(seconds)

    def _count(self, found: Block, refused: int) -> None:
        """Counts a block that was shipped, and says what was lost."""
        counts = self._metrics
        if self._trouble:
            warn("shipping again")
        self._trouble, counts.up, counts.sent = "", 1, time.time()
        counts.blocks += 1
        counts.lines += found.lines
        counts.damaged += found.damaged
        counts.refused += refused
        counts.gaps += len(found.gaps)
        for gap in found.gaps:
            warn(gap)
        if found.damaged:
            warn(f"{counted(found.damaged, 'line')} of the log damaged, and left out")
        if refused:
            how = "as it is" if refused == 1 else "as they are"
            warn(f"{counted(refused, 'row')} refused by the server, and sent {how}")
        self._tell()

    def _tell(self) -> None:
        counts = self._metrics
        counts.behind_bytes = self._file.unread() if self._file else 0
        counts.shipped_until = self._cursor.context.time
        if self._file_of_metrics:
            self._file_of_metrics.write(metrics.text(counts, time.time()))
