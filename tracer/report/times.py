# SPDX-License-Identifier: Apache-2.0
"""Times as the log writes them, ``2026-11-24T01:31:46.855381454Z``, and how active a group was over
the time that a report spans."""

import datetime as dt
import functools
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

START: Final = b'{"time":"'  # of a line
TIME: Final = slice(len(START), len(START) + 30)
BUCKETS: Final = 24  # of a sparkline, at most
_MAX_PLACES: Final = 1 << 14  # seconds whose place is remembered
# The wall clock shows no time beyond this, and none before 1970: timespec64_valid_settod()
_KTIME_SEC_MAX: Final = (2**63 - 1) // 10**9
_SECOND: Final = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_FRACTION: Final = re.compile(rb"\.\d{9}Z")


class Period(NamedTuple):
    """First and last time, both included, as the log writes them; empty: no such limit."""

    since: str
    until: str


def as_logged(time: dt.datetime) -> str:
    """Returns a time as the log writes it, so that text compares as time does. Raises
    OverflowError."""
    utc = time.astimezone(dt.UTC).replace(tzinfo=None)
    return utc.isoformat(timespec="microseconds") + "000Z"


def logged(time: str) -> bytes:
    """Returns a time as the log has it, of one as ClickHouse writes it."""
    fraction = time[20:] or "0"
    return f"{time[:10]}T{time[11:19]}.{fraction:0<9}Z".encode()


def checked(time: bytes) -> bytes:
    """Returns what must be a time as the log writes it. Raises ValueError."""
    seconds(time[:19])
    if not _FRACTION.fullmatch(time, 19):
        raise ValueError("not a fraction")
    return time


@functools.lru_cache(maxsize=4096)
def seconds(second: bytes) -> int:
    """Returns seconds since the epoch, of a time without its fraction. Raises ValueError if no
    clock of Linux can have shown it."""
    if not _SECOND.fullmatch(second):
        raise ValueError("not a time")
    found = int(dt.datetime.fromisoformat(f"{second.decode()}+00:00").timestamp())
    if not 0 <= found <= _KTIME_SEC_MAX:
        raise ValueError("no clock shows that")
    return found


class Timeline:
    """Divides the time that the lines span into at most BUCKETS equal parts.

    How long that is shows only at the end. The parts are a power of two seconds long, so that those
    made before it doubled lie within one of the longer ones each. A part is known by its first
    second, since the epoch.
    """

    def __init__(self, period: Period) -> None:
        self.places: dict[bytes, int] = {}  # the parts of the latest times, by how lines begin
        self._since, self._until = period.since[:19].encode(), period.until[:19].encode()
        self._first, self._last = _KTIME_SEC_MAX, 0
        self._length = 1

    def place_of(self, known_by: bytes, time: bytes) -> int:
        """Returns the part that a time lies in, and remembers it by how its line begins. What is
        outside of the period is not spanned. Raises ValueError if it is no time."""
        if not known_by.startswith(START):
            raise ValueError("a line begins with its time")
        second = checked(time)[:19]
        found = seconds(second)
        if second >= self._since and (not self._until or second <= self._until):
            self._span(found)
        if len(self.places) >= _MAX_PLACES:
            self.places.clear()
        place = self.places[known_by] = found - found % self._length
        return place

    @property
    def length(self) -> int:
        """How many seconds a part has."""
        return self._length

    def parts(self, activity: Mapping[int, int]) -> list[int]:
        """Returns the counts in each part, of counts by the parts that were in use."""
        begin = self._first // self._length
        counts = [0] * (self._last // self._length - begin + 1)
        for place, count in activity.items():
            counts[place // self._length - begin] += count
        return counts

    def span(self) -> tuple[int, int]:
        """Returns when the first of the parts begins and when the last ends, in seconds since the
        epoch; the first is greater if no line has a time."""
        begin, last = self._first // self._length, self._last // self._length
        return begin * self._length, (last + 1) * self._length

    def _span(self, second: int) -> None:
        self._first, self._last = min(self._first, second), max(self._last, second)
        while self._last // self._length - self._first // self._length >= BUCKETS:
            self._length *= 2
            self.places.clear()
