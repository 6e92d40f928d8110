# SPDX-License-Identifier: Apache-2.0
import os
import sys

import pytest

from tests.samples import raw_flow
from tracer.kernel import abi, unfinished
from tracer.kernel.unfinished import OVERDUE, Unfinished

NOW = 100_000_000_000
PASSED_OVER, MATCHED, UNTOLD, TOLD = 0, 1, 2, 3


def call(time, matched=MATCHED):
    head = abi.HEAD.pack(time, 0, 0, 0, 1, -1)
    return head + raw_flow() + unfinished._CALL.pack(matched, 1, 2)


class Map:
    """The kernel's map. ``begins`` is what the thread does between two of our steps."""

    def __init__(self, *values):
        self.entries = {bytes([number] * 16): value for number, value in enumerate(values)}
        self.begins = {}

    def map_keys(self, _fd, _size):
        return list(self.entries)

    def map_lookup(self, _fd, key, _size):
        found = self.entries[key]
        self.entries.update(self.begins)
        return found

    def map_take(self, _fd, key, _size):
        if key not in self.entries:
            raise FileNotFoundError
        return self.entries.pop(key)

    def map_update(self, _fd, key, value, *, only_new):
        assert only_new
        if key in self.entries:
            raise FileExistsError
        self.entries[key] = value


@pytest.fixture
def looked(monkeypatch):
    def look(found):
        for name in ("map_keys", "map_lookup", "map_take", "map_update"):
            monkeypatch.setattr(unfinished.syscall, name, getattr(found, name))
        monkeypatch.setattr(unfinished.time, "clock_gettime_ns", lambda _: NOW)
        made = Unfinished(7, len(next(iter(found.entries.values()))))
        return made, [entry[2] for entry in made.take(10)]

    return look


def test_only_overdue_calls_are_reported(looked):
    made, times = looked(Map(call(NOW - OVERDUE), call(NOW - OVERDUE + 1)))
    assert (times, made.found, made.untold) == ([NOW - OVERDUE], 1, 0)


def test_what_the_filter_cannot_be_sure_of_is_only_counted(looked):
    found = Map(call(1, PASSED_OVER), call(2, UNTOLD), call(3))
    made, times = looked(found)
    assert (times, made.found, made.untold) == ([3], 1, 1)
    assert not found.entries


def test_a_call_that_begins_meanwhile_is_left_alone(looked):
    """The thread has returned and sends again between the look at its call and its removal."""
    found = Map(call(1))
    found.begins = {bytes(16): call(NOW)}
    made, times = looked(found)
    assert (times, made.found) == ([], 0)
    assert found.entries == found.begins


def test_a_call_that_returns_meanwhile(looked):
    found = Map(call(1))
    found.map_take = lambda *_: (_ for _ in ()).throw(FileNotFoundError())
    assert looked(found)[1] == []


def test_a_datagram_of_which_fragments_are_missing(looked):
    """Its value is the event alone."""
    made, times = looked(Map(call(1)[: abi.EVENT_SIZE]))
    assert (times, made.found, made.untold) == ([1], 1, 0)


def test_a_call_that_only_waits_is_told_once(looked):
    """Its packet comes later, and finds the call there."""
    found = Map(call(1), call(2, UNTOLD), call(3, PASSED_OVER))
    found.entries = {
        os.getpid().to_bytes(4, sys.byteorder) + bytes([number] * 12): value
        for number, value in enumerate(found.entries.values())
    }
    made, times = looked(found)
    assert (times, made.found, made.untold) == ([1], 1, 1)
    assert [unfinished._matched(value) for value in found.entries.values()] == [TOLD, TOLD]
    made._next_look = 0
    assert (made.take(10), made.found, made.untold) == ([], 1, 1)
    assert len(found.entries) == 2


def test_processes_are_remembered_for_what_is_under_way(looked):
    assert looked(Map(call(NOW)))[0].waits
    found = Map(call(1, PASSED_OVER))
    made, _ = looked(found)
    made._next_look = 0
    made.take(10)
    assert not made.waits
