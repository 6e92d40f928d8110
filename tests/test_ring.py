# SPDX-License-Identifier: Apache-2.0
"""The reader against ring memory that the test lays out as the kernel does."""

import mmap
import struct
import sys

import pytest

from tracer.kernel import abi, syscall
from tracer.kernel.ring import BUSY, DISCARD, RecordRing, Ring

PAGE = mmap.PAGESIZE
SIZE = PAGE
ENTRY = abi.RING_ENTRY.size


class FakeKernel:
    """A file mapped in place of the map. The ring's data stands there once only, so what
    lies beyond its end is written twice, as the kernel's double mapping would show it."""

    def __init__(self, path):
        path.write_bytes(bytes(2 * PAGE + 2 * SIZE))
        self.file = path.open("r+b")
        self.memory = mmap.mmap(self.file.fileno(), 0)
        self.produced = 0

    def put(self, tail: int, length: int = abi.EVENT_SIZE, flags: int = 0) -> None:
        payload = struct.pack("=QQQQIi", tail, 1, 0, 0, 1, 0) + bytes([tail % 256]) * abi.FLOW.size
        raw = struct.pack("=II", length | flags, 0) + payload[:length].ljust(length, b"\0")
        raw = raw.ljust((len(raw) + 7) // 8 * 8, b"\0")
        for i, byte in enumerate(raw):
            at = (self.produced + i) % SIZE
            self.memory[2 * PAGE + at] = self.memory[2 * PAGE + SIZE + at] = byte
        self.produced += len(raw)
        self.memory[PAGE : PAGE + 8] = struct.pack("=Q", self.produced)

    def commit_first(self, position: int) -> None:
        at = 2 * PAGE + position
        (header,) = struct.unpack_from("=I", self.memory, at)
        struct.pack_into("=I", self.memory, at, header & ~BUSY)

    @property
    def consumed(self) -> int:
        return struct.unpack_from("=Q", self.memory)[0]


@pytest.fixture
def kernel(tmp_path):
    fake = FakeKernel(tmp_path / "ring")
    yield fake
    fake.memory.close()
    fake.file.close()


@pytest.fixture(autouse=True)
def _size(monkeypatch):
    info = syscall.MapInfo(27, 1, 0, 0, SIZE, 0)
    monkeypatch.setattr(syscall, "map_info", lambda _: info)


@pytest.fixture
def ring(kernel):
    opened = Ring(kernel.file.fileno())
    yield opened
    opened.close()


@pytest.fixture
def record_ring(kernel):
    opened = RecordRing(kernel.file.fileno())
    yield opened
    opened.close()


def times(entries):
    return [entry[2] for entry in entries]


def test_empty(ring):
    assert ring.read(10) == []


def test_in_order_and_given_back(ring, kernel):
    for number in range(3):
        kernel.put(number)
    entries = ring.read(10)
    assert times(entries) == [0, 1, 2]
    assert entries[2][-1] == b"\2" * abi.FLOW.size
    assert kernel.consumed == 0
    ring.release(2)
    assert kernel.consumed == 2 * ENTRY
    assert times(ring.read(10)) == [2]


def test_no_more_than_asked_for(ring, kernel):
    for number in range(5):
        kernel.put(number)
    assert times(ring.read(2)) == [0, 1]


def test_stops_before_a_busy_record(ring, kernel):
    kernel.put(1)
    kernel.put(2, flags=BUSY)
    kernel.put(3)
    assert times(ring.read(10)) == [1]
    ring.release(1)
    assert ring.read(10) == []
    kernel.commit_first(ENTRY)
    assert times(ring.read(10)) == [2, 3]


def test_steps_over_discarded_records(ring, kernel):
    kernel.put(1)
    kernel.put(2, length=20, flags=DISCARD)
    kernel.put(3, flags=DISCARD)
    kernel.put(4)
    assert times(ring.read(10)) == [1]
    ring.release(1)
    assert times(ring.read(10)) == [4]


def test_discarded_and_busy_is_busy(ring, kernel):
    kernel.put(1, flags=DISCARD | BUSY)
    kernel.put(2)
    assert ring.read(10) == []


def test_wraps(ring, kernel):
    seen = []
    for number in range(100):  # several times around: a page holds 23
        kernel.put(number)
        if number % 7 == 6:
            entries = ring.read(10)
            seen += times(entries)
            ring.release(len(entries))
    assert seen == list(range(98))


def test_records_of_any_size(record_ring, kernel):
    seen = []
    for number in range(100):  # several times around
        kernel.put(number, length=50 + number)
        kernel.put(0, length=9, flags=DISCARD)
        if number % 7 == 6:
            seen += record_ring.read()
            assert kernel.consumed == kernel.produced
    assert [len(found) for found in seen] == list(range(50, 148))
    assert [int.from_bytes(found[:8], sys.byteorder) for found in seen] == list(range(98))


def test_a_record_that_is_not_written_yet(record_ring, kernel):
    kernel.put(1)
    kernel.put(2, flags=BUSY)
    kernel.put(3)
    assert len(record_ring.read()) == 1
    assert record_ring.read() == []
    kernel.commit_first(ENTRY)
    assert len(record_ring.read()) == 2
