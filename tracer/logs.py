# SPDX-License-Identifier: Apache-2.0
"""Reads logs back, line by line, quickly: most of a line is the same for every event of its flow,
and is decoded once."""

import functools
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any, BinaryIO, Final, Generic, NamedTuple, TypeVar

from tracer.event import Container, Endpoint, Flow, Process
from tracer.process import workload
from tracer.record import EventKind, Via

T = TypeVar("T")

_BLOCK: Final = 1 << 16  # bytes read at once: what stays in the cache
_MOST_REMEMBERED: Final = 1 << 16  # parts of lines
_GZIP_MAGIC: Final = b"\x1f\x8b"

# {"time":"2026-11-24T01:31:46.855381454Z","event":…,"process":…}
_START: Final = b'{"time":"'
TIME: Final = slice(len(_START), len(_START) + 30)
_AFTER_TIME: Final = len(_START) + 30
SECOND: Final = slice(len(_START), len(_START) + 19)
_PROCESS: Final = b'"process":'
_MARKS: Final = ("start", "stop", "lost")  # of the run itself


class Head(NamedTuple):
    """What differs from one event of a flow to the next: ``size`` in bytes, ``events`` that the
    line stands for."""

    proto: str
    failed: bool
    size: int
    events: int


class Reader(Generic[T]):
    """The events of log files. ``learn`` is asked once what to make of a flow (whose ``kind`` and
    ``proto`` are just the first line's) and its process's start time, as the log has it.
    ``damaged`` counts lines that are no whole event, and files that are cut short."""

    def __init__(
        self, learn: Callable[[Flow, str | None], T | None], is_wanted: Callable[[Head], bool]
    ) -> None:
        """None and False: such lines are left out."""
        self.damaged = 0
        self.lines = 0
        self._learn = learn
        self._is_wanted = is_wanted
        self._heads: dict[bytes, Head | None] = {}
        self._tails: dict[bytes, T | None] = {}

    def entries(
        self, path: Path, advance: Callable[[int], None]
    ) -> Iterator[tuple[bytes, Head, T]]:
        """Of one file, compressed or not: the line, and what was made of its flow. ``advance`` is
        told of bytes read. Raises OSError."""
        heads, tails = self._heads, self._tails
        for lines in _blocks(path, advance, self._cut_short):
            self.lines += len(lines)
            for line in lines:
                at = line.find(_PROCESS)
                before, after = line[_AFTER_TIME:at], line[at:]
                known = before in heads and after in tails
                if not known and not self._decode(line, before, after):
                    continue
                head, made = heads[before], tails[after]
                if head is not None and made is not None:
                    yield line, head, made

    def _decode(self, line: bytes, before: bytes, after: bytes) -> bool:
        """Remembers a line's parts; False if it is no event."""
        try:
            whole = json.loads(line)
            if whole["event"] in _MARKS:
                return False
            head, flow, started = _head(whole), _flow(whole), _started(whole)
        except (ValueError, KeyError, TypeError, AttributeError):
            self.damaged += 1
            return False
        for known in (self._heads, self._tails):
            if len(known) >= _MOST_REMEMBERED:
                known.clear()
        self._heads[before] = head if self._is_wanted(head) else None
        self._tails[after] = self._learn(flow, started)
        return True

    def _cut_short(self) -> None:
        self.damaged += 1


def first_time(path: Path) -> str | None:
    """The time of a file's first line, None if it has none."""
    for lines in _blocks(path, lambda _: None, lambda: None):
        for line in lines:
            return line[TIME].decode() if _is_time(line[SECOND]) else None
    return None


def last_time(path: Path) -> str | None:
    """The time of an uncompressed file's last whole line."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - (1 << 16)))
        lines = file.read().split(b"\n")
    times = (line[TIME].decode() for line in reversed(lines) if _is_time(line[SECOND]))
    return next(times, None)


def _blocks(
    path: Path, advance: Callable[[int], None], cut_short: Callable[[], None]
) -> Iterator[list[bytes]]:
    """The lines, many at a time."""
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
    try:
        return file.read(_BLOCK)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        cut_short()
        return b""


def _decompressed(raw: BinaryIO) -> BinaryIO:
    magic = raw.read(2)
    raw.seek(0)
    return gzip.open(raw) if magic == _GZIP_MAGIC else raw  # type: ignore[return-value]


@functools.lru_cache(maxsize=4096)
def _is_time(second: bytes) -> bool:
    """Is it like ``2026-11-24T01:31:46``?"""
    digits = second.translate(None, b"-T:")
    return len(second) == 19 and len(digits) == 14 and digits.isdigit()


def _head(whole: dict[str, Any]) -> Head:
    size, events = whole["bytes"], whole["count"]
    if not (isinstance(size, int) and isinstance(events, int)):
        raise TypeError("a number is none")
    return Head(whole["proto"], whole["outcome"] == "failed", size, events)


def _started(whole: dict[str, Any]) -> str | None:
    return str(whole["process"]["start_time"]) if whole["process"] else None


def _flow(whole: dict[str, Any]) -> Flow:
    who = whole["process"]
    return Flow(
        kind=EventKind[whole["event"].upper()],
        proto="",
        via=Via[whole["via"].upper()],
        process=_process(who) if who else None,
        src=_endpoint(whole["src"]),
        dst=_endpoint(whole["dst"]),
        cookie=whole["socket"]["cookie"],
        netns=whole["socket"]["netns"],
        interface=whole["interface"],
    )


def _endpoint(shown: dict[str, Any]) -> Endpoint:
    return Endpoint(shown["addr"] and ip_address(shown["addr"]), shown["port"])


def _process(who: dict[str, Any]) -> Process:
    """What a report asks for; earlier versions wrote less of it."""
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
    )
