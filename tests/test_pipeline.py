# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.samples import raw_flow
from tracer.kernel.abi import Aggregate
from tracer.model.flow import Endpoint, Flow
from tracer.trace import pipeline
from tracer.trace.flow_table import FlowTable
from tracer.trace.pipeline import BATCH, BUSY, Pace, Pipeline


def entry(time, sport=1):
    return (0, 0, time, 10, 0, 0, 1, 0, raw_flow(sport=sport))


def aggregate_of(first, last, count=2, sport=1):
    return raw_flow(sport=sport), Aggregate(count, 10 * count, 0, 0, first, last, 1, 0)


class Source:
    """Gives what it is told, a batch for each call."""

    def __init__(self, batches=(), aggregates=(), unfinished=()):
        self.batches = [list(batch) for batch in batches]
        self.aggregates = [list(one) for one in aggregates]
        self.missed = [list(one) for one in unfinished]
        self.released, self.limits = [], []

    def read(self, limit):
        self.limits.append(limit)
        batch = self.batches[0] if self.batches else []
        return batch[:limit]

    def release(self, count):
        self.released.append(count)
        if self.batches:
            del self.batches[0][:count]
            if not self.batches[0]:
                del self.batches[0]

    def unfinished(self, limit):
        return self.missed.pop(0)[:limit] if self.missed else []

    def aggregated(self):
        return self.aggregates.pop(0) if self.aggregates else []


class Sink:
    def __init__(self):
        self.writes = []

    def write(self, events):
        self.writes.append(list(events))

    @property
    def events(self):
        return [event for events in self.writes for event in events]


class Clock:
    """Both clocks and sleep; each look takes a microsecond."""

    def __init__(self):
        self.now = 1_000_000_000
        self.naps = []

    def boot(self):
        self.now += 1000
        return self.now

    def monotonic(self):
        return self.boot() / 1e9

    def sleep(self, seconds):
        self.naps.append(seconds)
        self.now += int(seconds * 1e9)


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(pipeline, "boot_now", made.boot)
    monkeypatch.setattr(pipeline.time, "monotonic", made.monotonic)
    monkeypatch.setattr(pipeline.time, "sleep", made.sleep)
    return made


def flow_of(fields, _time):
    return Flow(1, "udp", 1, None, Endpoint(None, fields.sport), Endpoint(None, 53), 1, 1, None)


class Moved:
    """A pipeline with all that it touches."""

    def __init__(self, source, limit=None, interval=0.1, since=0):
        self.sink = Sink()
        self.prepared = []
        self.flows = FlowTable(flow_of)
        self.pipeline = Pipeline(
            source, self.flows, [self.sink], self.before_batch, Pace(limit, interval), since
        )

    def before_batch(self, oldest, *, skip_lookups):
        self.prepared.append((oldest, skip_lookups))

    def run(self, rounds):
        left = iter(range(rounds))
        checks = []
        self.pipeline.run(
            lambda: next(left, None) is None, lambda: checks.append(1), pipeline.time.sleep
        )
        return len(checks)


@pytest.mark.usefixtures("clock")
def test_events_come_in_order_and_their_room_is_given_back():
    source = Source([[entry(1), entry(2)], [entry(3)]])
    moved = Moved(source)
    assert moved.run(3) == 3
    assert [event.time for event in moved.sink.events] == [1, 2, 3]
    assert source.released == [2, 1, 0]


@pytest.mark.usefixtures("clock")
def test_it_stops_at_the_limit():
    source = Source([[entry(n) for n in range(5)]])
    moved = Moved(source, limit=3)
    moved.run(10)
    assert moved.pipeline.done
    assert [event.time for event in moved.sink.events] == [0, 1, 2]
    assert source.limits == [3]


@pytest.mark.usefixtures("clock")
def test_a_limit_counts_lines():
    moved = Moved(
        Source(aggregates=[[aggregate_of(time, time, time, time) for time in (5, 6, 7, 8)]]), 3
    )
    moved.run(10)
    assert [event.count for event in moved.sink.events] == [5, 6, 7]
    assert moved.pipeline.done


@pytest.mark.usefixtures("clock")
def test_a_full_batch_and_the_one_after_it_are_aggregated():
    nearly, full = [entry(n) for n in range(BATCH - 1)], [entry(n) for n in range(BATCH)]
    moved = Moved(Source([nearly, full, [entry(1), entry(2)], [entry(3), entry(4)]]))
    moved.run(4)
    counts = [[event.count for event in events] for events in moved.sink.writes]
    assert sum(map(len, counts[:-3])) == BATCH - 1
    assert counts[-3:] == [[BATCH], [2], [1, 1]]
    assert [skip for _, skip in moved.prepared] == [False, True, True, False]


@pytest.mark.usefixtures("clock")
def test_much_is_written_a_part_at_a_time():
    moved = Moved(Source([[entry(n) for n in range(1025)]]))
    moved.run(1)
    assert [len(events) for events in moved.sink.writes] == [512, 512, 1]


@pytest.mark.usefixtures("clock")
def test_what_was_seen_to_begin_only_is_given_too():
    moved = Moved(Source([[entry(2)]], unfinished=[[entry(1)]]))
    moved.run(1)
    assert [event.time for event in moved.sink.events] == [2, 1]


def test_it_pauses_longer_when_there_is_much_to_read(clock):
    sizes = (0, BUSY - 1, BUSY, BATCH - 1, BATCH)
    Moved(Source([[entry(n) for n in range(size)] or [entry(0)] for size in sizes])).run(5)
    assert clock.naps == [pipeline.PAUSE] * 2 + [pipeline.LONG_PAUSE] * 2


@pytest.mark.usefixtures("clock")
def test_aggregates_come_in_the_order_of_their_first_event():
    found = [aggregate_of(5, 6), aggregate_of(3, 9, sport=2)]
    moved = Moved(Source(aggregates=[found]))
    moved.run(1)
    assert [(event.time, event.last_time) for event in moved.sink.events] == [(3, 9), (5, 6)]


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(("number", "skips"), [(BUSY, False), (BUSY + 1, True)])
def test_lookups_are_skipped_for_many_flows_at_once(number, skips):
    found = [aggregate_of(n, n, sport=n) for n in range(number)]
    moved = Moved(Source(aggregates=[found]))
    moved.run(1)
    assert [skip for _, skip in moved.prepared] == [False, skips]


def test_the_overflow_map_is_read_once_an_interval(clock):
    source = Source(aggregates=[[aggregate_of(1, 1)], [aggregate_of(2, 2)]])
    moved = Moved(source, interval=0.5)
    moved.run(1)
    assert len(source.aggregates) == 1
    rounds = 0
    while len(source.aggregates) == 1:
        moved.run(1)
        rounds += 1
        assert rounds < 100
    assert sum(clock.naps) >= 0.5
    assert sum(clock.naps) < 0.6


@pytest.mark.usefixtures("clock")
def test_the_overflow_map_is_read_when_that_is_asked_for():
    moved = Moved(Source(aggregates=[[aggregate_of(1, 2)], [aggregate_of(3, 4)]]))
    for _ in range(2):
        moved.pipeline.look()
    assert [event.time for event in moved.sink.events] == [1, 3]


@pytest.mark.usefixtures("clock")
def test_a_long_interval_is_one_line_for_each_flow():
    parts = [[aggregate_of(n, n + 1), aggregate_of(n, n, sport=2)] for n in (1, 10, 20)]
    source = Source(aggregates=parts)
    moved = Moved(source, interval=10)
    while source.aggregates:
        moved.run(1)
    assert moved.sink.events == []
    moved.pipeline.drain()
    first, second = moved.sink.events
    assert (first.time, first.last_time, first.count, first.bytes) == (1, 21, 6, 60)
    assert (second.time, second.last_time, second.count) == (1, 20, 6)


def test_a_long_interval_ends(clock):
    source = Source(aggregates=[[aggregate_of(1, 2)]])
    moved = Moved(source, interval=10)
    while not moved.sink.events:
        moved.run(1)
        assert clock.now < 20_000_000_000
    assert clock.now - 1_000_000_000 >= 10_000_000_000


@pytest.mark.usefixtures("clock")
def test_not_too_many_wait_for_their_line(monkeypatch):
    monkeypatch.setattr(pipeline, "MAX_HELD", 4)
    source = Source(aggregates=[[aggregate_of(n, n, sport=n) for n in range(600)]])
    moved = Moved(source, interval=10)
    moved.run(1)
    assert len(moved.sink.events) == 600


@pytest.mark.usefixtures("clock")
def test_what_is_left_is_drained():
    source = Source([[entry(1)], [entry(2)]], aggregates=[[aggregate_of(3, 4)]])
    moved = Moved(source)
    moved.pipeline.drain()
    assert [event.time for event in moved.sink.events] == [1, 3, 2]


def test_no_event_that_is_to_come_is_older(clock):
    """Than what was read last, and than the last look at the overflow map."""
    source = Source([[entry(5), entry(9)], [entry(1 << 60)]])
    moved = Moved(source)
    began = clock.now
    moved.run(2)
    (first, _), (second, _) = moved.prepared
    assert first == 5
    assert began < second <= clock.now


def test_all_before_some_time_is_written(clock):
    """Neither what the ring has, nor what waits for its line, is older."""
    began = clock.now
    moved = Moved(Source([[entry(5)], [entry(9), entry(10)]]))
    assert began < moved.pipeline.complete_until
    moved.run(1)
    assert moved.pipeline.complete_until == 5
    moved.run(3)
    assert moved.pipeline.complete_until > began
    held = Moved(
        Source(aggregates=[[aggregate_of(7, 8), aggregate_of(6, 9, sport=2)]]), interval=10
    )
    held.run(2)
    assert held.pipeline.complete_until == 6
    held.pipeline.drain()
    assert held.pipeline.complete_until > began


def test_at_the_limit_only_what_came_before_the_last_is_certain():
    source = Source([[entry(1), entry(2), entry(3)]])
    moved = Moved(source, limit=2)
    moved.run(9)
    assert moved.pipeline.done
    assert moved.pipeline.complete_until <= 2


def test_what_the_kernel_has_aggregated_is_taken_before_the_ring_is_read():
    """An answer that is counted meanwhile belongs to a send that the ring has by then."""
    source = Source()
    order = []
    source.read = lambda _: order.append("ring") or []
    source.aggregated = lambda: order.append("aggregates") or []
    Moved(source).pipeline.drain()
    assert order == ["aggregates", "ring"]


@pytest.mark.usefixtures("clock")
def test_what_the_first_hooks_saw_before_all_were_there_is_left_out():
    moved = Moved(Source([[entry(3), entry(9), entry(10)], [entry(11)]]), since=10)
    moved.run(2)
    assert [event.time for event in moved.sink.events] == [10, 11]
    assert moved.flows.left_out == 2
    assert moved.flows.totals.events() == 2
