# SPDX-License-Identifier: Apache-2.0
"""Reads logs back, line by line. It is quick because most of a line is the same for every event of
its flow, and is decoded once."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

from tracer.model.flow import EventKind, Flow
from tracer.model.process import Process
from tracer.model.protocols import ReceivedOf
from tracer.report import decode, source, times
from tracer.report.decode import DAMAGE, Numbers
from tracer.report.runs import Runs

T = TypeVar("T")
Part = TypeVar("Part")

# {"time":"2026-11-24T01:31:46.855381454Z","event":…,"bytes":…,"process":…,"src":…}
_EXISTING: Final = EventKind.EXISTING.name.lower()
_START: Final = len(times.START)
TIME: Final = times.TIME
SECOND: Final = slice(_START + 20)  # all that a line begins with, up to the fraction's point
FRACTION: Final = slice(_START + 20, _START + 29)
_HEAD: Final = _START + 29
_BEGIN: Final = b'{"time":'  # of all lines that a run writes
_NUMBERS: Final = b'"bytes":'
_PROCESS: Final = b'"process":'
_REST: Final = b',"src":'
_ROOM: Final = 1 << 25  # bytes of lines that are remembered, of each kind of part
_MAX_STARTS: Final = 1 << 17  # of processes, that are remembered
_OVERHEAD: Final = 1000  # bytes that one more of them takes besides


class _Parts(dict[bytes, Part]):
    """Parts of lines, decoded when they are first asked for. When there is no more room, all are
    forgotten. Raises DAMAGE."""

    def __init__(self, decoded: Callable[[bytes], Part]) -> None:
        self._decoded = decoded
        self._room = _ROOM

    def __missing__(self, raw: bytes) -> Part:
        part = self._decoded(raw)
        self._room -= len(raw) + _OVERHEAD
        if self._room < 0:
            self.clear()
            self._room = _ROOM
        self[raw] = part
        return part


class Reader(Generic[T]):
    """Reads the events of log files. ``made_of`` is called once with a flow (whose ``kind`` and
    ``proto`` do not count) and its process's start time, as the log has it, and returns what to
    make of it. ``damaged`` counts lines that are no whole event, and files that are cut short;
    ``runs`` is told all that lines say of the runs."""

    def __init__(
        self,
        made_of: Callable[[Flow, str | None], T | None],
        is_wanted: Callable[[str, bool], bool],
    ) -> None:
        """Lines are left out if ``made_of`` returns None or ``is_wanted`` False. ``is_wanted`` gets
        the protocol, and whether the event failed."""
        self.damaged = 0
        self.lines = 0
        self.runs = Runs()
        self._begins = False  # whether the next line is another log's first
        self._made_of = made_of
        self._is_wanted = is_wanted
        self._heads = _Parts(self._head)
        self._numbers = _Parts(decode.numbers)
        self._processes = _Parts(self._process)
        self._tails = _Parts(self._made_of_tail)
        # of each process, when it started as it was logged first: a stepped clock makes no other
        self._starts: dict[tuple[int | None, int | None, int], str | None] = {}
        self._boot: str | None = None
        self._received_of: ReceivedOf | None = None  # of the run that is read

    def entries(
        self, path: Path, advance: Callable[[int], None], *, goes_on: bool = False
    ) -> Iterator[tuple[bytes, Numbers, T, bool]]:
        """Yields each line of a file, compressed or not, what was made of its flow, and whether its
        run has counted what comes back to such an event. Its time is not looked at. ``advance`` is
        told the bytes read; ``goes_on``: the file continues the one before it. Raises OSError."""
        heads, numbers, tails = self._heads, self._numbers, self._tails
        last = b""  # the latest line that is an event
        self._begins |= not goes_on  # also where that file is empty, and the next one goes on
        for lines in source.lines_of(path, advance, self.count_damage):
            if self._begins:
                self._begins = False
                self.runs.begin_log(lines[0], self.lines)
                self._look_at_run()
            before = self.lines
            self.lines += len(lines)
            for line in lines:
                middle = line.find(_NUMBERS, _HEAD)
                if middle < 0:  # it is no event
                    self._note(line, last, lines, before)
                    continue
                at = line.find(_PROCESS, middle)
                try:
                    counts_received = heads[line[_HEAD:middle]]
                    counted = numbers[line[middle:at]]
                    made = tails[line[at:]]
                except DAMAGE:
                    self._note(line, last, lines, before)
                    continue
                last = line
                if counts_received is not None and made is not None:
                    yield line, counted, made, counts_received
        self.runs.reach(last)

    def count_damage(self) -> None:
        """Counts a line as damaged."""
        self.damaged += 1
        self.runs.damage()
        self._look_at_run()

    def _note(self, line: bytes, last: bytes, lines: Sequence[bytes], before: int) -> None:
        """Takes a line that is no event: it may be about the run. ``last`` is the event before it,
        ``lines`` what was read with it, ``before`` how many lines were read before those."""
        if not line.startswith(_BEGIN):  # parsing it would take ten times as long
            self.count_damage()
            return
        try:
            mark = decode.mark(line)
            self.runs.reach(last)
            self.runs.mark(mark, before + lines.index(line))
            self._look_at_run()
            if mark.event == "start" and mark.boot_id != self._boot:
                self._boot = mark.boot_id
                self._forget_processes()
        except DAMAGE:
            self.count_damage()

    def _look_at_run(self) -> None:
        """Forgets what the heads of lines meant in a run that counted something else."""
        if self._received_of is not self.runs.received_of:
            self._received_of = self.runs.received_of
            self._heads.clear()

    def _head(self, raw: bytes) -> bool | None:
        """Returns whether what comes back is counted; None: such lines are not wanted."""
        head = decode.head(raw)
        if not self._is_wanted(head.proto, head.failed):
            return None
        if self._received_of is None or head.event == _EXISTING:  # NAT's ends are not known of it
            return False
        return self._received_of.has(head.proto)

    def _forget_processes(self) -> None:
        """Another boot's are others, with the same pids and times since the boot."""
        for known in (self._processes, self._tails, self._starts):
            known.clear()

    def _process(self, raw: bytes) -> tuple[Process | None, str | None]:
        """Returns a process and its start. What earlier versions logged tells processes apart by
        the latter only."""
        who, started = decode.process(raw)
        if who is None or not who.start_time:
            return who, started
        if len(self._starts) >= _MAX_STARTS:
            self._starts.clear()
        identity = who.pid, who.initial_pid, who.start_time
        return who, self._starts.setdefault(identity, started)

    def _made_of_tail(self, raw: bytes) -> T | None:
        end = raw.index(_REST)
        who, started = self._processes[raw[:end]]
        return self._made_of(decode.flow(who, raw[end + 1 :]), started)
