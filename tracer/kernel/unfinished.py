# SPDX-License-Identifier: Apache-2.0
"""What is under way in the kernel and may never end: the kprobe probe's calls, whose return may be
missed, and datagrams of which only some fragments are sent."""

import contextlib
import struct
import sys
import time
from pathlib import Path
from typing import Final

from tracer.kernel import abi, syscall
from tracer.kernel.abi import RingEntry

# struct call_key, bpf/calls.bpf.c; struct fragmented, bpf/fragments.bpf.c
_KEY_SIZE: Final = 16
_MATCHED, _UNTOLD, _TOLD = 1, 2, 3  # enum call_match
_CALL: Final = struct.Struct("=QQQ")  # struct call after its event: matched, sk, argument
_PERIOD: Final = 1_000_000_000  # nanoseconds between two looks
OVERDUE: Final = 5_000_000_000  # what takes longer is taken to have ended
# Which maps hold them, and the size of their values. Each begins with the event.
SIZES: Final = {"calls": abi.EVENT_SIZE + _CALL.size, "fragments": abi.EVENT_SIZE}


class Unfinished:
    """Finds in one of these maps what will not end.

    A send may wait for room in its socket's buffer, so a call counts as missed only when it
    is overdue, or when the hooks are gone.
    """

    def __init__(self, map_fd: int, size: int) -> None:
        self._map_fd = map_fd
        self._size = size
        self._next_look = 0
        self._overdue = OVERDUE
        self.found = 0  # reported without a result
        self.waits = False  # something was under way at the last look
        self.untold = 0  # not reported: with their result, it would be known whether they match

    def none_will_end(self) -> None:
        """Treats all that is left as unfinished, because the hooks are detached."""
        self._overdue = 0
        self._next_look = 0

    def take(self, limit: int) -> list[RingEntry]:
        """Returns up to ``limit`` events that are overdue, as the ring's entries."""
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if now < self._next_look:
            return []
        self._next_look = now + _PERIOD
        entries: list[RingEntry] = []
        keys = list(syscall.map_keys(self._map_fd, _KEY_SIZE))
        self.waits = bool(keys)
        for key in keys:
            if len(entries) == limit:
                self._next_look = now  # there may be more
                break
            entry = self._take_if_overdue(key, now)
            if entry:
                entries.append(entry)
        self.found += len(entries)
        return entries

    def _take_if_overdue(self, key: bytes, now: int) -> RingEntry | None:
        with contextlib.suppress(FileNotFoundError):  # it ended meanwhile
            if self._is_overdue(syscall.map_lookup(self._map_fd, key, self._size), now):
                return self._take(key, now)
        return None

    def _take(self, key: bytes, now: int) -> RingEntry | None:
        """Takes one out of the map, unless another with this key has begun meanwhile."""
        value = syscall.map_take(self._map_fd, key, self._size)
        if not self._is_overdue(value, now):
            with contextlib.suppress(FileExistsError):
                syscall.map_update(self._map_fd, key, value, only_new=True)
            return None
        matched = _matched(value)
        if matched and len(value) > abi.EVENT_SIZE:
            self._leave_told(key, value)
        self.untold += matched == _UNTOLD
        return _entry(value) if matched == _MATCHED else None

    def _leave_told(self, key: bytes, value: bytes) -> None:
        """Puts a call back as one that was told: if it has only waited, its packet comes later, and
        must not be reported again. The thread's id is the lower half of the key's first number."""
        thread = int.from_bytes(key[:8], sys.byteorder) & 0xFFFF_FFFF
        if Path(f"/proc/{thread}").exists():
            _, *rest = _CALL.unpack_from(value, abi.EVENT_SIZE)
            told = value[: abi.EVENT_SIZE] + _CALL.pack(_TOLD, *rest)
            with contextlib.suppress(FileExistsError):
                syscall.map_update(self._map_fd, key, told, only_new=True)

    def _is_overdue(self, value: bytes, now: int) -> bool:
        return now - _entry(value)[2] >= self._overdue


def _entry(value: bytes) -> RingEntry:
    entry: RingEntry = abi.RING_ENTRY.unpack(bytes(8) + value[: abi.EVENT_SIZE])
    return entry


def _matched(value: bytes) -> int:
    """Whether a call matches; of datagrams, only those that match are kept."""
    return _CALL.unpack_from(value, abi.EVENT_SIZE)[0] if len(value) > abi.EVENT_SIZE else _MATCHED
