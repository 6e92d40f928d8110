# SPDX-License-Identifier: Apache-2.0
"""The kprobe probe's calls that are under way, and those whose return was missed."""

import struct
import time
from typing import Final

from tracer.kernel import abi, syscall
from tracer.kernel.abi import RingEntry

_KEY_SIZE: Final = 16  # struct call_key, bpf/kprobe.bpf.c
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
        self.found = 0

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
        try:
            call = syscall.map_lookup(self._map_fd, key, _SIZE)
            _, _, matched = _PREFIX.unpack_from(call)
            entry: RingEntry = abi.RING_ENTRY.unpack(bytes(8) + call[_PREFIX.size :])
            if now - entry[2] < self._overdue:
                return None
            syscall.map_delete(self._map_fd, key)
        except FileNotFoundError:  # it returned meanwhile
            return None
        return entry if matched else None
