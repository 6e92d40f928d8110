# SPDX-License-Identifier: Apache-2.0
"""Reads BPF ring buffers through their memory mapping, in batches.

The layout is that of kernel/bpf/ringbuf.c: a page with the consumer's position, a page
with the producer's, then the data, mapped twice in a row so that no record wraps. A
record is a u32 length with two flag bits, a u32 page offset, and its payload, padded to
8 bytes.
"""

import mmap
import threading
from typing import Final

from tracer.kernel import abi, syscall
from tracer.kernel.abi import RingEntry

BUSY: Final = 1 << 31  # BPF_RINGBUF_BUSY_BIT: reserved, not committed yet
DISCARD: Final = 1 << 30  # BPF_RINGBUF_DISCARD_BIT
HEADER_SIZE: Final = 8  # BPF_RINGBUF_HDR_SZ

_STRIDE: Final = abi.RING_ENTRY.size
assert _STRIDE % 8 == 0, "records are padded to 8 bytes"

_fence_lock: Final = threading.Lock()
_fence_lock.acquire()


def _fence() -> None:
    """Keeps loads and stores from moving across it, in either direction.

    It releases and acquires the same lock: at the least a store-release and a load-acquire.
    A weakly ordered machine (arm64, ppc64le, riscv64) keeps these two in order, with all that
    stands before the first and after the second.
    """
    _fence_lock.release()
    _fence_lock.acquire()


class _Mapping:
    """The consumer's side of one ring buffer; there must be no other consumer."""

    def __init__(self, map_fd: int) -> None:
        """Maps the ring; the descriptor may be closed afterwards. Raises OSError."""
        page = mmap.PAGESIZE
        self._size = syscall.map_info(map_fd).max_entries
        self._consumer_page = mmap.mmap(map_fd, page)
        self._producer_page = mmap.mmap(
            map_fd, page + 2 * self._size, prot=mmap.PROT_READ, offset=page
        )
        # Casts to the native 64-bit type load and store in one instruction.
        self._consumed = memoryview(self._consumer_page).cast("Q")
        self._produced = memoryview(self._producer_page)[:page].cast("Q")
        self._data = memoryview(self._producer_page)[page:]
        self._words = self._data.cast("I")
        self._position = self._consumed[0]

    def close(self) -> None:
        """Unmaps; entries read before stay valid."""
        for view in (self._words, self._data, self._produced, self._consumed):
            view.release()
        self._producer_page.close()
        self._consumer_page.close()


class Ring(_Mapping):
    """A ring of ``struct event``: all of one size, read many at once."""

    def read(self, limit: int) -> list[RingEntry]:
        """Returns the oldest committed events, up to ``limit``; :meth:`release` frees their room.

        Another call without a release returns them again.
        """
        while True:
            waiting = self._produced[0] - self._position
            _fence()  # positions before headers
            count = min(waiting // _STRIDE, limit)
            committed = self._committed(count)
            if committed or not waiting or not self._skip_discarded():
                break
        _fence()  # headers before payloads
        start = self._position % self._size
        chunk = self._data[start : start + committed * _STRIDE]
        return list(abi.RING_ENTRY.iter_unpack(chunk))

    def release(self, count: int) -> None:
        """Gives the room of the oldest ``count`` events back to the kernel."""
        _fence()  # payloads read before the kernel may write there
        self._position += count * _STRIDE
        self._consumed[0] = self._position

    def _committed(self, count: int) -> int:
        """Returns how many of the next ``count`` records in a row are complete events."""
        start = self._position % self._size // 4
        step = _STRIDE // 4
        headers = self._words[start : start + count * step : step].tolist()
        if headers.count(abi.EVENT_SIZE) == count:
            return count
        return next(i for i, header in enumerate(headers) if header != abi.EVENT_SIZE)

    def _skip_discarded(self) -> bool:
        """Skips the next record if its producer discarded it; says whether it did."""
        header = self._words[self._position % self._size // 4]
        if header & BUSY or not header & DISCARD:
            return False
        length = header & ~DISCARD
        self._position += (HEADER_SIZE + length + 7) // 8 * 8
        self._consumed[0] = self._position
        return True


class RecordRing(_Mapping):
    """A ring of records of any size."""

    def read(self) -> list[bytes]:
        """Returns all committed records, oldest first, and gives their room back."""
        records = []
        produced = self._produced[0]
        _fence()  # positions before headers
        while self._position < produced:
            at = self._position % self._size
            header = self._words[at // 4]
            if header & BUSY:
                break
            _fence()  # headers before payloads
            length = header & ~DISCARD
            if not header & DISCARD:
                records.append(bytes(self._data[at + HEADER_SIZE : at + HEADER_SIZE + length]))
            self._position += (HEADER_SIZE + length + 7) // 8 * 8
        _fence()  # payloads read before the kernel may write there
        self._consumed[0] = self._position
        return records
