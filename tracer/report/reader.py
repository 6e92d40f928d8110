# SPDX-License-Identifier: Apache-2.0
"""Reads logs back, line by line. It is quick because most of a line is the same for every event of
its flow, and is decoded once."""

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from tracer.model.flow import EventKind
from tracer.model.protocols import ReceivedOf
from tracer.report import decode, decode_process, source, times
from tracer.report.decode import DAMAGE, Host, Mark, Numbers
from tracer.report.decode_process import Started
from tracer.report.keys import Seen, Sender, Shape
from tracer.report.runs import Runs

T = TypeVar("T")
Part = TypeVar("Part")

# Format 2: {"time":"2026-11-24T01:31:46.855381454Z","event":…,"bytes":…,"process":…,"dst":…,
# "src":…,"socket":…,"run":"3f9a1c2b5d6e7f80"}. What comes before "src" is the same for many flows.
# Format 1: {"time":…,"event":…,"bytes":…,"process":…,"src":…,"dst":…}
_EXISTING: Final = EventKind.EXISTING.name.lower()
_START: Final = len(times.START)
TIME: Final = times.TIME
SECOND: Final = slice(_START + 20)  # all that a line begins with, up to the fraction's point
FRACTION: Final = slice(_START + 20, _START + 29)
_HEAD: Final = _START + 29
_BEGIN: Final = b'{"time":'  # of all lines that a run writes
_PROCESS_LINE: Final = b'Z","event":"process",'
_NUMBERS: Final = b'"bytes":'
_PROCESS: Final = b'"process":'
_SRC: Final = b',"src":'
_DST: Final = b',"dst":'
_RUN: Final = b',"run":"'
_RUN_AT: Final = slice(-26, -18)
_RUN_ID: Final = slice(-18, -2)
# what a flow has of its own
_N: Final = rb"(?:0|[1-9]\d{0,19})"
_TEXT: Final = rb'"(?:[ !#-\[\]-~]|\\["\\/bfnrt]|\\u[0-9a-f]{4})+"'
_PLAIN_DST: Final = re.compile(rb',"dst":\{"addr":"([0-9a-f:.]{2,45})","port":(null|%b)\}' % _N)
_NO_DST: Final = b',"dst":{"addr":null,"port":null}'
_NO_OWN: Final = b'"src":{"addr":null,"port":null},"socket":{"netns":null}}'
_OWN: Final = re.compile(
    rb'"src":\{"addr":(?:null|"[0-9a-f:.]{2,45}"),"port":(?:null|%b)(?:,"zone":%b)?'
    rb'(?:,"name":%b)?\},"socket":\{"cookie":(?:null|%b),"netns":(?:null|%b)(?:,"inode":%b)?'
    rb'(?:,"state":"[A-Z0-9-]{1,16}")?(?:,"uid":(?:null|%b))?(?:,"cgroup":(?:null|%b))?'
    rb'(?:,"interface":%b)?\}'
    rb',"run":"[0-9a-f]{16}"\}' % (_N, _TEXT, _TEXT, _N, _N, _N, _N, _TEXT, _TEXT)
)
_ROOM: Final = 1 << 25  # bytes of lines that are remembered, of each kind of part
_MAX_STARTS: Final = 1 << 17  # of processes, that are remembered
_OVERHEAD: Final = 1000  # bytes that one more of them takes besides


class _Room:
    """How many bytes of lines are remembered, of one kind of part. When there are more, all are
    forgotten."""

    def __init__(self) -> None:
        self._left = _ROOM
        self._takers: list[dict[bytes, Any]] = []

    def share(self, taker: dict[bytes, Any]) -> None:
        """Takes one more to remember parts of this kind."""
        self._takers.append(taker)

    def take(self, size: int) -> None:
        """Takes room for a part."""
        self._left -= size + _OVERHEAD
        if self._left < 0:
            for taker in self._takers:
                taker.clear()
            self._left = _ROOM


class _Parts(dict[bytes, Part]):
    """Parts of lines, decoded when they are first asked for. Raises DAMAGE."""

    def __init__(self, decoded: Callable[[bytes], Part], room: _Room) -> None:
        self._decoded = decoded
        self._room = room
        room.share(self)

    def __missing__(self, raw: bytes) -> Part:
        part = self._decoded(raw)
        self._room.take(len(raw))
        self[raw] = part
        return part


class Reader(Generic[T]):
    """Reads the events of log files. ``made_of`` is called once with a flow, and returns what to
    make of it. ``damaged`` counts lines that are no whole event, and files that are cut short;
    ``strangers`` are files of which no line is one of a log; ``runs`` is told all that lines say
    of the runs."""

    def __init__(
        self,
        made_of: Callable[[Seen], T | None],
        is_wanted: Callable[[str, bool], bool],
        *,
        asks_for_own: bool = True,
        keeps_lines: bool = False,
    ) -> None:
        """Lines are left out if ``made_of`` returns None or ``is_wanted`` False. ``is_wanted`` gets
        the protocol, and whether the event failed. ``asks_for_own``: ``made_of`` asks for a flow's
        source or network namespace; if it does not, it is called once for all that differ in these
        only. ``keeps_lines``: ``marks`` gets the lines about runs, and ``process_lines``
        those about this file's processes, by number."""
        self.damaged = 0
        self.lines = 0
        self.strangers: list[Path] = []
        self.runs = Runs()
        self.marks: list[bytes] = []
        self.process_lines: dict[int, bytes] = {}
        self._asks_for_own = asks_for_own
        self._keeps_lines = keeps_lines
        self._begins = False  # whether the next line is another log's first
        self._made_of = made_of
        self._is_wanted = is_wanted
        self._heads = _Parts(self._head, _Room())
        self._numbers = _Parts(decode.numbers, _Room())
        self._shapes: dict[str, _Parts[Shape]] = {}  # by protocol
        self._room_of_shapes = _Room()
        self._senders = _Parts(self._sender, _Room())
        self._told: dict[int, Started] = {}  # what this file's lines about processes say, by number
        self._run = b""  # the id of the run that wrote the latest event
        # by protocol, and whether they are wanted
        self._tails: dict[tuple[str, bool], _Parts[T | None]] = {}
        self._room_of_tails = _Room()
        # of each process, when it started as it was logged first: a stepped clock makes no other
        self._starts: dict[tuple[int | None, int | None, int], str | None] = {}
        self._boot: str | None = None
        self._host: Host | None = None
        self._received_of: ReceivedOf | None = None  # of the run that is read

    def entries(  # noqa: C901  calls would take as long as all the rest
        self, path: Path, advance: Callable[[int], None], *, goes_on: bool = False
    ) -> Iterator[tuple[bytes, Numbers, T, bool]]:
        """Yields each line of a file, compressed or not, what was made of its flow, and whether its
        run has counted what comes back to such an event. Its time is not looked at. ``advance`` is
        told the bytes read; ``goes_on``: the file continues the one before it. Raises OSError."""
        heads, numbers, own, shares_tails = (
            self._heads,
            self._numbers,
            _OWN.fullmatch,
            not self._asks_for_own,
        )
        last = b""  # the latest line that is an event
        lines_before, damaged_before = self.lines, self.damaged
        self._told.clear()  # each file stands alone
        self.process_lines.clear()
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
                end = None
                if line[_RUN_AT] == _RUN:
                    if line[_RUN_ID] != self._run:
                        self._enter_run(line[_RUN_ID])
                    if shares_tails:
                        end = line.find(_SRC, at) + 1
                        if not own(line, end):
                            self._note(line, last, lines, before)
                            continue
                try:
                    tails, counts_received = heads[line[_HEAD:middle]]
                    counted = numbers[line[middle:at]]
                    made = tails[line[at:end]]
                except DAMAGE:
                    self._note(line, last, lines, before)
                    continue
                last = line
                if made is not None:
                    yield line, counted, made, counts_received
        self.runs.reach(last)
        if self.damaged - damaged_before >= max(1, self.lines - lines_before):
            self.strangers.append(path)

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
            if line[_HEAD:].startswith(_PROCESS_LINE):
                self._note_process(line)
                return
            mark = decode.mark(line)
            if self._keeps_lines:
                self.marks.append(line)
            self.runs.reach(last)
            self.runs.mark(mark, before + lines.index(line))
            self._look_at_run()
            self._look_at_place(mark)
        except DAMAGE:
            self.count_damage()

    def _note_process(self, line: bytes) -> None:
        """Takes a line about a process. Raises DAMAGE."""
        number, process = decode_process.told(line)
        if len(self._told) >= _MAX_STARTS:
            self._told.clear()
        self._told[number] = process
        if self._keeps_lines:
            self.process_lines[number] = line

    def _look_at_place(self, mark: Mark) -> None:
        """Forgets what was known of the processes of another boot, or host."""
        if mark.event == "start" and mark.boot_id != self._boot:
            self._boot = mark.boot_id
            self._starts.clear()
            self._forget_processes()
        if self.runs.host != self._host:
            self._host = self.runs.host
            self._forget_processes()

    def _enter_run(self, run: bytes) -> None:
        """Forgets what numbers of processes meant in another run."""
        self._run = run
        self._forget_processes()

    def _look_at_run(self) -> None:
        """Forgets what the heads of lines meant in a run that counted something else."""
        if self._received_of is not self.runs.received_of:
            self._received_of = self.runs.received_of
            self._heads.clear()

    def _head(self, raw: bytes) -> tuple[_Parts[T | None], bool]:
        """Returns what remembers the ends of lines that begin so, and whether what comes back to
        such an event is counted."""
        head = decode.head(raw)
        wanted = self._is_wanted(head.proto, head.failed)
        if (head.proto, wanted) not in self._tails:
            decoded = functools.partial(self._made_of_tail, head.proto, wanted)
            self._tails[head.proto, wanted] = _Parts(decoded, self._room_of_tails)
        return self._tails[head.proto, wanted], self._counts_received(head)

    def _counts_received(self, head: decode.Head) -> bool:
        if self._received_of is None or head.event == _EXISTING:  # NAT's ends are not known of it
            return False
        return self._received_of.has(head.proto)

    def _forget_processes(self) -> None:
        """Another boot's are others, with the same pids and times since the boot; another run has
        numbered them anew."""
        self._senders.clear()
        for tails in self._tails.values():
            tails.clear()
        for shapes in self._shapes.values():
            shapes.clear()

    def _sender(self, raw: bytes) -> Sender | None:
        """Returns a process, and its start as it was logged first. What earlier versions logged
        tells processes apart by the latter only."""
        process, started = decode_process.process(raw, self._told)
        if process and process.start_time:
            if len(self._starts) >= _MAX_STARTS:
                self._starts.clear()
            identity = process.pid, process.initial_pid, process.start_time
            started = self._starts.setdefault(identity, started)
        return process and Sender(process, started)

    def _made_of_tail(self, proto: str, wanted: bool, raw: bytes) -> T | None:
        if not wanted:
            self._decoded(proto, raw)  # it may be damaged
            return None
        plain = _PLAIN_DST.match(raw, raw.find(_DST)) if raw.endswith(b",") else None
        if plain is None:
            shape = self._decoded(proto, raw)
            dst = shape.flow.dst
            return self._made_of(Seen(shape, dst.host, dst.port))
        shape = self._shapes_of(proto)[raw[: plain.start()] + _NO_DST + raw[plain.end() :]]
        addr, port = plain[1].decode(), None if plain[2] == b"null" else int(plain[2])
        return self._made_of(Seen(shape, decode.canonical(addr), port))

    def _shapes_of(self, proto: str) -> _Parts[Shape]:
        """Returns what remembers the shapes of flows of a protocol."""
        if proto not in self._shapes:
            decoded = functools.partial(self._decoded, proto)
            self._shapes[proto] = _Parts(decoded, self._room_of_shapes)
        return self._shapes[proto]

    def _decoded(self, proto: str, raw: bytes) -> Shape:
        """Returns the shape of a flow, with its destination."""
        end = min(at for at in (raw.find(_SRC), raw.find(_DST)) if at >= 0)
        sender = self._senders[raw[:end]]
        process = sender.process if sender else None
        rest = raw[end + 1 :] + (_NO_OWN if raw.endswith(b",") else b"")
        flow, name = decode.flow(process, proto, rest)
        return Shape(flow, sender, name, self.runs.host)
