# SPDX-License-Identifier: Apache-2.0
"""The kprobe probe's calls that are under way, and those whose return was missed."""

import contextlib
import struct
import time
from typing import Final

from tracer.kernel import abi, syscall
from tracer.kernel.abi import RingEntry

_KEY_SIZE: Final = 16  # struct call_key, bpf/calls.bpf.c
_MATCHED, _UNTOLD = 1, 2  # enum call_match there
_PREFIX: Final = struct.Struct("=QQQ")  # struct call up to its event: sk, argument, matched
_SIZE: Final = _PREFIX.size + abi.EVENT_SIZE
_PERIOD: Final = 1_000_000_000  # nanoseconds between two looks
OVERDUE: Final = 5_000_000_000  # a call that takes longer is taken to have returned


class Calls:
    """Finds calls in the map of calls whose return will not be seen.

    A send may wait for room in its socket's buffer, so a call counts as missed only when it
    is overdue, or when the hooks are gone.
    """

    def __init__(self, map_fd: int) -> None:
        self._map_fd = map_fd
        self._next_look = 0
        self._overdue = OVERDUE
        self.found = 0  # reported without their result
        self.untold = 0  # not reported: with their result, it would be known whether they match

    def none_will_return(self) -> None:
        """Treats all calls that are left as unfinished, because the hooks are detached."""
        self._overdue = 0
        self._next_look = 0

    def unfinished(self, limit: int) -> list[RingEntry]:
        """Returns the events of up to ``limit`` missed calls, as the ring's entries."""
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if now < self._next_look:
            return []
        self._next_look = now + _PERIOD
        entries: list[RingEntry] = []
        for key in list(syscall.map_keys(self._map_fd, _KEY_SIZE)):
            if len(entries) == limit:
                self._next_look = now  # there may be more
                break
            entry = self._take_if_overdue(key, now)
            if entry:
                entries.append(entry)
        self.found += len(entries)
        return entries

    def _take_if_overdue(self, key: bytes, now: int) -> RingEntry | None:
        with contextlib.suppress(FileNotFoundError):  # it returned meanwhile
            if self._is_overdue(syscall.map_lookup(self._map_fd, key, _SIZE), now):
                return self._take(key, now)
        return None

    def _take(self, key: bytes, now: int) -> RingEntry | None:
        """Takes a call out of the map, unless the thread has begun another one meanwhile."""
        call = syscall.map_take(self._map_fd, key, _SIZE)
        if not self._is_overdue(call, now):
            with contextlib.suppress(FileExistsError):
                syscall.map_update(self._map_fd, key, call, only_new=True)
            return None
        _, _, matched = _PREFIX.unpack_from(call)
        self.untold += matched == _UNTOLD
        return _entry(call) if matched == _MATCHED else None

    def _is_overdue(self, call: bytes, now: int) -> bool:
        return now - _entry(call)[2] >= self._overdue


def _entry(call: bytes) -> RingEntry:
    entry: RingEntry = abi.RING_ENTRY.unpack(bytes(8) + call[_PREFIX.size :])
    return entry
