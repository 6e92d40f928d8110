# SPDX-License-Identifier: Apache-2.0
"""Taking an overflow map from the programs that write to it, where bpf(2) is made up."""

import struct

import pytest

from tracer.kernel import overflow
from tracer.kernel.abi import AGGREGATE, Aggregate
from tracer.kernel.overflow import Overflow, take

MAPS = {"overflow_0": 10, "overflow_1": 11, "active_overflow": 12}
OTHERS = {"received_0": 20, "received_1": 21, "active_received": 22}
FOUND = Aggregate(2, 20, 1, 5, 100, 200, 1, 0)


@pytest.fixture
def calls(monkeypatch):
    """In their order."""
    made = []

    def take_all(map_fd, room):
        made.append(("take", map_fd, room))
        return iter([(b"flow", AGGREGATE.pack(*FOUND))])

    def update(map_fd, key, value):
        made.append(("update", map_fd, key, struct.unpack("=I", value)[0]))

    monkeypatch.setattr(overflow.syscall, "room_for", lambda map_fd: f"room of {map_fd}")
    monkeypatch.setattr(overflow.syscall, "map_take_all", take_all)
    monkeypatch.setattr(overflow.syscall, "map_update", update)
    monkeypatch.setattr(overflow, "wait_for_programs", lambda: made.append("wait"))
    return made


def test_the_other_map_is_made_active_before_one_is_taken(calls):
    sums = Overflow(MAPS, "overflow")
    assert take([sums]) == [(b"flow", FOUND)]
    assert calls == [("update", 12, bytes(4), 1), "wait", ("take", 10, "room of 10")]


def test_both_take_turns(calls):
    sums = Overflow(MAPS, "overflow")
    for _ in range(3):
        take([sums])
    assert [call[1] for call in calls if call[0] == "take"] == [10, 11, 10]
    assert [call[3] for call in calls if call[0] == "update"] == [1, 0, 1]


def test_one_wait_is_enough_for_all(calls):
    """What is sent and what is received: in maps of their own."""
    sums = [Overflow(OTHERS, "received"), Overflow(MAPS, "overflow")]
    assert take(sums) == [(b"flow", FOUND)] * 2
    assert [call if call == "wait" else call[:2] for call in calls] == [
        ("update", 22), ("update", 12), "wait", ("take", 20), ("take", 10)
    ]  # fmt: skip


def test_no_wait_for_nothing(calls):
    assert take([]) == calls == []


@pytest.mark.parametrize(
    ("result", "cpus", "machine", "naps"),
    [
        (0, 2, "x86_64", []),
        (0, 1, "x86_64", [0.1]),  # membarrier(2) does nothing there
        (-1, 2, "x86_64", [0.1]),
        (0, 2, "pdp11", [0.1]),
    ],
)
def test_it_waits_where_the_kernel_does_not(monkeypatch, result, cpus, machine, naps):
    slept, asked = [], []
    monkeypatch.setattr(overflow.time, "sleep", slept.append)
    monkeypatch.setattr(overflow.os, "cpu_count", lambda: cpus)
    monkeypatch.setattr(overflow.os, "uname", lambda: type("Name", (), {"machine": machine}))
    monkeypatch.setattr(
        overflow._libc, "syscall", lambda *words: asked.append(words) or result, raising=False
    )
    overflow.wait_for_programs()
    assert slept == naps
    assert asked == ([] if machine == "pdp11" else [(324, 1, 0, 0)])
