# SPDX-License-Identifier: Apache-2.0
"""Events of flows that have many: merged by time, with exact sums."""

import random

from tests.samples import event, flow
from tracer.model.flow import EventKind
from tracer.trace.event import Event, TrackedFlow
from tracer.trace.merging import FREE, WINDOW, Merging

MS = 1_000_000  # nanoseconds


class Sink(list):
    def write(self, events):
        self.extend(events)


class Case:
    """A clock that goes only when told to."""

    def __init__(self):
        self.now = 0
        self.given = Sink()
        self.merging = Merging(self.given, lambda: self.now)

    def send(self, tracked, *times, size=10, error=0):
        for time in times:
            self.now = time
            self.merging.write([Event(time, time, 1, size, 0, 0, 1, error, tracked)])

    def counts(self):
        return [event.count for event in self.given]


def tracked(**changes):
    return TrackedFlow(flow(**changes), None)


def test_a_slow_flow_has_a_line_for_each():
    case, one = Case(), tracked()
    case.send(one, *(number * 50 * MS for number in range(40)))  # 20 a second
    assert case.counts() == [1] * 40
    assert case.merging.complete_until > case.now


def test_a_fast_flow_has_ten_a_second_and_its_first_at_once():
    case, one = Case(), tracked()
    for number in range(1000):  # a second of 1,000
        case.send(one, number * MS)
        if number < FREE:
            assert case.counts() == [1] * (number + 1)
        case.merging.check()
    case.merging.flush()
    assert sum(case.counts()) == 1000
    assert sum(event.bytes for event in case.given) == 10_000
    assert len(case.given) == FREE + 10
    assert case.given[FREE].time == FREE * MS
    assert all(event.last_time - event.time < WINDOW for event in case.given)
    assert [event.time for event in case.given] == sorted(event.time for event in case.given)


def test_what_is_held_is_given_when_its_window_ends():
    case, one = Case(), tracked()
    case.send(one, 0, 1 * MS, 2 * MS, 3 * MS)
    case.now = WINDOW - 1
    case.merging.check()
    assert case.counts() == [1, 1]
    assert case.merging.complete_until == 2 * MS
    case.now = WINDOW
    case.merging.check()
    assert case.counts() == [1, 1, 2]
    last = case.given[-1]
    assert (last.time, last.last_time, last.bytes) == (2 * MS, 3 * MS, 20)


def test_a_flow_that_has_rested_begins_anew():
    case, one = Case(), tracked()
    case.send(one, 0, 1, 2, 3)
    case.send(one, 10 * WINDOW)  # nobody has looked meanwhile
    assert case.counts() == [1, 1, 2, 1]


def test_flows_and_errors_are_apart():
    case, one, other = Case(), tracked(), tracked(cookie=19)
    case.send(one, 0, 1, 2, 3)
    case.send(other, 4, 5)
    case.send(one, 6, 7, error=111)
    case.merging.flush()
    found = {(e.tracked is one, e.error, e.count) for e in case.given}
    assert found == {(True, 0, 1), (False, 0, 1), (True, 0, 2), (True, 111, 2)}


def test_only_what_is_sent_is_merged():
    case = Case()
    for kind in EventKind:
        if kind is not EventKind.SEND:
            case.send(tracked(kind=kind), 0, 1, 2, 3)
    assert case.counts() == [1] * 4 * (len(EventKind) - 1)


def test_sums_are_exact_whatever_comes_when():
    rng = random.Random(7)
    case, flows = Case(), [tracked(cookie=number) for number in range(20)]
    sent = {one: [0, 0] for one in flows}
    for _ in range(20_000):
        case.now += rng.choice([0, 1000, MS, 30 * MS])
        one, count, size = rng.choice(flows), rng.choice([1, 1, 5]), rng.randrange(1400)
        sent[one][0] += count
        sent[one][1] += size
        error = rng.choice([0, 0, 0, 11])
        case.merging.write([Event(case.now, case.now, count, size, 0, 0, 1, error, one)])
        if rng.random() < 0.3:
            case.merging.check()
    case.merging.flush()
    for one in flows:
        mine = [event for event in case.given if event.tracked is one]
        assert [sum(e.count for e in mine), sum(e.bytes for e in mine)] == sent[one]
    assert len(case.given) < 20_000


def test_so_many_wait_and_no_more(monkeypatch):
    monkeypatch.setattr("tracer.trace.merging._MAX_HELD", 5)
    case = Case()
    for number in range(5):
        case.send(tracked(cookie=number), 0, 0, 0)
    assert sum(case.counts()) == 15


def test_an_aggregate_counts_as_one_line():
    case, one = Case(), tracked()
    case.merging.write([event(one.flow, count=500, time=0)])
    assert case.counts() == [500]
