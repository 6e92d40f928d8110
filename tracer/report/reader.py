# SPDX-License-Identifier: Apache-2.0
"""Reads logs back, line by line. It is quick because most of a line is the same for every event of
its flow, and is decoded once."""

import functools
import gzip
import json
import re
import socket
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, Generic, NamedTuple, TypeVar

from tracer.host import workload
from tracer.model.address import Address, address
from tracer.model.flow import Endpoint, EventKind, Flow, Via
from tracer.model.process import Container, Process

T = TypeVar("T")

_BLOCK: Final = 1 << 16  # bytes read at once: these stay in the CPU's cache
_MAX_REMEMBERED: Final = 1 << 14  # parts of lines that are remembered, of each kind
_GZIP_MAGIC: Final = b"\x1f\x8b"

# {"time":"2026-11-24T01:31:46.855381454Z","event":…,"bytes":…,"process":…,"src":…}
_START: Final = b'{"time":"'
TIME: Final = slice(len(_START), len(_START) + 30)
_AFTER_TIME: Final = len(_START) + 30 + 1
SECOND: Final = slice(len(_START), len(_START) + 19)
_NUMBERS: Final = b'"bytes":'
_COUNTED: Final = re.compile(
    rb'"bytes":(\d+),"count":(\d+),(?:"last_time":"([^"]{30})",)?"segments":\d+,(?:"\w+":[\d.]+,)*'
)
_PROCESS: Final = b'"process":'
_REST: Final = b',"src":'
# what a line that is no whole event may raise; OSError comes from inet_pton()
_DAMAGE: Final = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError)
_MARKS: Final = ("start", "stop", "lost")  # lines about the run itself


class Numbers(NamedTuple):
    """What differs between events of a flow: ``size`` in bytes, how many ``events`` the line
    stands for, and the time of the last of them (empty: there is only one)."""

    size: int
    events: int
    last: bytes


class Reader(Generic[T]):
    """Reads the events of log files. ``made_of`` is called once with a flow (whose ``kind`` and
    ``proto`` do not count) and its process's start time, as the log has it, and returns what to
    make of it. ``damaged`` counts lines that are no whole event, and files that are cut short;
    ``lost`` counts events that the tracer reported as lost."""

    def __init__(
        self,
        made_of: Callable[[Flow, str | None], T | None],
        is_wanted: Callable[[str, bool], bool],
    ) -> None:
        """Lines are left out if ``made_of`` returns None or ``is_wanted`` False. ``is_wanted`` gets
        the protocol, and whether the event failed."""
        self.damaged = 0
        self.lines = 0
        self.lost = 0
        self._made_of = made_of
        self._is_wanted = is_wanted
        self._heads: dict[bytes, bool] = {}
        self._numbers: dict[bytes, Numbers] = {}
        self._processes: dict[bytes, tuple[Process | None, str | None]] = {}
        self._tails: dict[bytes, T | None] = {}

    def entries(
        self, path: Path, advance: Callable[[int], None]
    ) -> Iterator[tuple[bytes, Numbers, T]]:
        """Yields each line of a file, compressed or not, and what was made of its flow.
        ``advance`` is told the bytes read. Raises OSError."""
        heads, numbers, tails = self._heads, self._numbers, self._tails
        for lines in _blocks(path, advance, self._cut_short):
            self.lines += len(lines)
            for line in lines:
                middle = line.find(_NUMBERS)
                at = line.find(_PROCESS)
                head, counted, tail = line[_AFTER_TIME:middle], line[middle:at], line[at:]
                known = tail in tails and counted in numbers and head in heads
                if not known and not self._decode(line, head, counted, tail):
                    continue
                made = tails[tail]
                if heads[head] and made is not None:
                    yield line, numbers[counted], made

    def _decode(self, line: bytes, head: bytes, counted: bytes, tail: bytes) -> bool:
        """Remembers a line's parts; returns False if it is no event."""
        for known in (self._heads, self._numbers, self._processes, self._tails):
            if len(known) >= _MAX_REMEMBERED:
                known.clear()
        try:
            if self._is_mark(line, tail):
                return False
            if head not in self._heads:
                self._heads[head] = self._is_wanted(*_head(head))
            if counted not in self._numbers:
                self._numbers[counted] = _numbers(counted)
            if tail not in self._tails:
                self._tails[tail] = self._made_of(*self._flow(tail))
        except _DAMAGE:
            self.damaged += 1
            return False
        return True

    def _is_mark(self, line: bytes, tail: bytes) -> bool:
        """Says whether a line is about the run, not an event. Raises ValueError and others."""
        if tail.startswith(_PROCESS):
            return False
        whole = json.loads(line)
        if whole["event"] == "lost":
            self.lost += whole["lost"]
        return whole["event"] in _MARKS

    def _flow(self, tail: bytes) -> tuple[Flow, str | None]:
        end = tail.index(_REST)
        known = self._processes.get(tail[:end])
        if known is None:
            who = json.loads(b"{" + tail[:end] + b"}")["process"]
            known = (_process(who), str(who["start_time"])) if who else (None, None)
            self._processes[tail[:end]] = known
        return _flow(known[0], json.loads(b"{" + tail[end + 1 :])), known[1]

    def _cut_short(self) -> None:
        self.damaged += 1


def first_time(path: Path) -> str | None:
    """Returns the time of a file's first line, None if it has none."""
    for lines in _blocks(path, lambda _: None, lambda: None):
        for line in lines:
            return line[TIME].decode() if _is_time(line[SECOND]) else None
    return None


def last_time(path: Path) -> str | None:
    """Returns the time of an uncompressed file's last whole line."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - (1 << 16)))
        lines = file.read().split(b"\n")
    times = (line[TIME].decode() for line in reversed(lines) if _is_time(line[SECOND]))
    return next(times, None)


def _blocks(
    path: Path, advance: Callable[[int], None], cut_short: Callable[[], None]
) -> Iterator[list[bytes]]:
    """Yields the lines, many at a time."""
    rest = b""
    with path.open("rb") as raw, _decompressed(raw) as file:
        position = 0
        while block := _read(file, cut_short):
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            yield lines
            advance(raw.tell() - position)
            position = raw.tell()
    if rest:
        yield [rest]


def _read(file: BinaryIO, cut_short: Callable[[], None]) -> bytes:
    """Reads a block; what comes before damage is returned first."""
    try:
        return file.read1(_BLOCK)  # type: ignore[attr-defined, no-any-return]
    except (EOFError, zlib.error, gzip.BadGzipFile):
        cut_short()
        return b""


def _decompressed(raw: BinaryIO) -> BinaryIO:
    magic = raw.read(2)
    raw.seek(0)
    return gzip.open(raw) if magic == _GZIP_MAGIC else raw  # type: ignore[return-value]


@functools.lru_cache(maxsize=4096)
def _is_time(second: bytes) -> bool:
    """Says whether it is like ``2026-11-24T01:31:46``."""
    digits = second.translate(None, b"-T:")
    return len(second) == 19 and len(digits) == 14 and digits.isdigit()


def _head(raw: bytes) -> tuple[str, bool]:
    """Returns the protocol, and whether the event failed."""
    found = json.loads(b"{" + raw[1:] + b'"bytes":0}')
    EventKind[found["event"].upper()]
    return found["proto"], found["outcome"] == "failed"


def _numbers(raw: bytes) -> Numbers:
    found = _COUNTED.fullmatch(raw)
    if not found:
        raise ValueError("a number is none")
    size, events, last = found.groups(b"")
    return Numbers(int(size), int(events), last)


def _flow(process: Process | None, rest: dict[str, Any]) -> Flow:
    return Flow(
        kind=EventKind.SEND,
        proto="",
        via=Via[rest["via"].upper()],
        process=process,
        src=_endpoint(rest["src"]),
        dst=_endpoint(rest["dst"]),
        cookie=rest["socket"]["cookie"],
        netns=rest["socket"]["netns"],
        interface=rest["interface"],
    )


def _endpoint(shown: dict[str, Any]) -> Endpoint:
    return Endpoint(shown["addr"] and _address(shown["addr"]), shown["port"])


@functools.lru_cache(maxsize=4096)
def _address(text: str) -> Address | None:
    """Does the same as ip_address(), which takes five times as long. Raises OSError."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    return address(socket.inet_pton(family, text))


def _process(who: dict[str, Any]) -> Process:
    """Returns what a report needs of a process; earlier versions logged less of it."""
    path, inside = who.get("cgroup"), who.get("container")
    return Process(
        pid=who["pid"],
        tid=who["tid"],
        comm=who["comm"],
        thread=who["thread"],
        exe=who["exe"],
        args=None,
        ppid=who["ppid"],
        uid=who["uid"],
        user=who["user"],
        start_time=0,
        cgroup=path,
        units=workload.units(path) if path else (),
        container=Container(**inside) if inside else None,
        initial_pid=who.get("initial_pid"),
    )
