# SPDX-License-Identifier: Apache-2.0
from tests.samples import raw_flow
from tracer.inventory.volumes import Volume
from tracer.kernel.abi import Aggregate
from tracer.model.address import IPV4_MAPPED
from tracer.model.flow import EventKind, NatEnd
from tracer.model.process import Process
from tracer.model.protocols import ReceivedOf
from tracer.model.socket import Socket
from tracer.trace import flow_table, totals
from tracer.trace.enrich import flow_from_record
from tracer.trace.event import aggregate, merge
from tracer.trace.flow_table import FlowTable


def tail(pid=1, start_time=1, sport=1, comm=b"a"):
    addr = IPV4_MAPPED + bytes([127, 0, 0, 1])
    return raw_flow(pid=pid, start_time=start_time, saddr=addr, daddr=addr, sport=sport, comm=comm)


def flow_of(fields, _time):
    name = fields.comm.rstrip(b"\0").decode()
    process = Process(fields.pid, fields.tid, name, name, None, None, 1, 0, None, fields.start_time)
    return flow_from_record(fields, process)


def entry(time, size, a_tail):
    """As many bytes received as sent."""
    return (0, 0, time, size, size, 0, 1, 0, a_tail)


def test_totals_by_process_and_destination():
    table = FlowTable(flow_of)
    table.events(
        [
            entry(1, 10, tail(start_time=999)),  # a recycled pid is another process
            entry(2, 20, tail(sport=1)),
            entry(3, 30, tail(sport=2)),
            entry(4, 40, tail(sport=1)),
            entry(5, 50, tail(comm=b"after exec")),
        ]
    )
    found = [(t.count, t.bytes, t.first, t.last) for t in table.totals.most_first()]
    assert found == [(3, 90, 2, 4), (1, 10, 1, 1), (1, 50, 5, 5)]


def test_what_is_not_measured_is_not_0():
    """Of an open connection, nothing is known before it is asked for."""
    table = FlowTable(flow_of)
    table.events([entry(1, 0, raw_flow(kind=EventKind.CONNECTED, proto=6, cookie=7))])
    (total,) = table.totals.most_first()
    assert total.received is None
    row = Socket("tcp", "ESTAB", 0, 0, *("", 1, "", 1), 0, 1, 7, 4, 0, 1, b"")
    assert list(table.volumes([(row, Volume(0, 0, 3))], (1,), 5)) == []
    assert (total.received, total.last) == (0, 1)
    (event,) = table.volumes([(row, Volume(40, 2, 4))], (1,), 9)
    assert (event.bytes, event.received, event.count) == (40, 2, 0)
    assert (total.bytes, total.received, total.count, total.last) == (40, 2, 1, 9)


def test_what_nat_makes_of_a_connection_is_in_its_total():
    """It is known only after the attempt."""
    changed = raw_flow(hop=IPV4_MAPPED + bytes([10, 0, 0, 9]), nat_dport=5353, nat=NatEnd.DST)
    table = FlowTable(flow_of)
    table.events([entry(1, 10, raw_flow()), entry(2, 20, changed)])
    (total,) = table.totals.most_first()
    assert (total.count, str(total.nat_dst)) == (2, "10.0.0.9:5353")


def test_forwarded_packets_that_are_left_out():
    table = FlowTable(flow_of, lambda flow: flow.kind is not EventKind.FORWARD)
    ours = [entry(1, 10, raw_flow()), entry(2, 20, raw_flow())]
    sums = aggregate([*ours, *(entry(3, 30, raw_flow(kind=EventKind.FORWARD)) for _ in range(3))])
    assert [event.count for event in table.aggregated(sums)] == [2]
    assert (table.left_out, table.forwards_left_out, table.undecided) == (3, 3, 0)


def test_old_flows_are_dropped_and_their_totals_kept(monkeypatch):
    monkeypatch.setattr(flow_table, "MAX_FLOWS", 8)
    table = FlowTable(flow_of)
    for sport in range(100):
        table.events([entry(sport, 1, tail(sport=sport))])
        assert len(table._flows) <= 8
    (total,) = table.totals.most_first()
    assert (total.count, total.bytes, total.first, total.last) == (100, 100, 0, 99)


def test_many_totals_are_merged(monkeypatch):
    monkeypatch.setattr(totals, "MAX_TOTALS", 8)
    table = FlowTable(flow_of)
    for _ in range(2):
        for pid in range(1, 101):
            table.events([entry(pid, 2, tail(pid=pid))])
            assert len(table.totals.most_first()) <= 9
    found = table.totals.most_first()
    assert sum(total.count for total in found) == 200
    assert sum(total.bytes for total in found) == 400
    (merged,) = [total for total in found if total.processes > 1]
    assert (merged.sender, merged.first, merged.last >= 90) == ("a", 1, True)
    assert (merged.dst, merged.is_about) == (found[-1].dst, True)


def test_the_least_recent_totals_are_merged(monkeypatch):
    monkeypatch.setattr(totals, "MAX_TOTALS", 4)
    table = FlowTable(flow_of)
    for time, pid in enumerate((7, 9, 8, 1, 9, 5)):
        table.events([entry(time, 1, tail(pid=pid, comm=b"p%d" % pid))])
    single = {
        total.sender for key, total in table.totals._totals.items() if key[0] is not totals._MERGED
    }
    assert single == {"p1", "p9", "p5"}


def test_a_batch_is_aggregated_by_flow_and_error():
    table = FlowTable(flow_of)
    entries = [entry(time, time, tail(sport=time % 2)) for time in range(1, 101)]
    entries[10] = (*entries[10][:7], 111, entries[10][8])
    found = table.aggregated(aggregate(entries))
    assert [event.received for event in found] == [event.bytes for event in found]
    assert [(event.count, event.bytes, event.error) for event in found] == [
        (49, 2500 - 11, 0),
        (50, 2550, 0),
        (1, 11, 111),
    ]
    assert [(event.time, event.last_time) for event in found] == [(1, 99), (2, 100), (11, 11)]
    assert sum(total.count for total in table.totals.most_first()) == 100


def test_a_flow_is_looked_into_once():
    asked = []
    table = FlowTable(lambda fields, time: asked.append(time) or flow_of(fields, time))
    table.events([entry(1, 1, tail()), entry(2, 1, tail())])
    assert asked == [1]


def test_programs_without_end_are_merged_too(monkeypatch):
    monkeypatch.setattr(totals, "MAX_TOTALS", 16)
    table = FlowTable(flow_of)
    for number in range(1, 1001):
        table.events([entry(number, 1, tail(pid=number, comm=b"job%d" % number))])
        assert len(table.totals) <= 16
    found = table.totals.most_first()
    assert sum(total.count for total in found) == 1000
    (others,) = (total for total in found if total.sender == "(others)")
    assert (others.dst, others.first, others.count > 900) == (None, 1, True)


def test_lookups_that_were_skipped_are_made_later():
    asked = []
    table = FlowTable(lambda fields, time: asked.append(time) or flow_of(fields, time))
    for skip, time in ((True, 1), (True, 2), (False, 3), (False, 4)):
        table.before_batch(skip_lookups=skip)
        table.events([entry(time, 1, tail())])
    assert asked == [1, 3]
    (total,) = table.totals.most_first()
    assert total.count == 4


def test_flows_that_are_in_use_are_kept(monkeypatch):
    monkeypatch.setattr(flow_table, "MAX_FLOWS", 8)
    asked = []
    table = FlowTable(lambda fields, time: asked.append(fields.pid) or flow_of(fields, time))
    for time in range(1, 101):
        table.events([entry(time, 1, tail(pid=1)), entry(time, 1, tail(pid=1 + time))])
    assert asked.count(1) == 1


def test_what_cannot_be_decided_is_counted():
    verdicts = {1: True, 2: False, 3: None}
    table = FlowTable(flow_of, lambda flow: verdicts[flow.process.pid])
    table.events([entry(1, 1, tail(pid=pid)) for pid in (1, 2, 3, 3)])
    assert (table.left_out, table.undecided, len(table.totals.most_first())) == (3, 2, 1)


def test_sums_of_an_interval_are_one_event():
    table, held = FlowTable(flow_of), {}
    for time in (1, 4):
        sums = aggregate([entry(time, 2, tail()), entry(time + 1, 3, tail())])
        merge(held, table.aggregated([*sums, *aggregate([entry(9, 1, tail(pid=7))])]))
    one, other = held.values()
    assert (one.time, one.bytes, one.count, one.last_time) == (1, 10, 4, 5)
    assert one.received == one.bytes
    assert other.count == 2


SENT = {"kind": EventKind.SEND, "proto": 17, "cookie": 7, "sport": 40, "dport": 53, "pid": 5}


def received(packets, size, time, **changes):
    """What came back, as the kernel counts it."""
    ends = {**SENT, "kind": EventKind.RECEIVE, "pid": 0, **changes}
    return raw_flow(**ends), Aggregate(packets, 0, size, 0, time, time, 1, 0)


def nobody(fields, _time):
    return flow_from_record(fields, None)


def test_what_comes_back_is_a_volume_of_the_flow_that_sent():
    table = FlowTable(flow_of)
    table.events([entry(1, 10, raw_flow(**SENT))])
    assert table.aggregated([received(2, 90, 3)]) == []
    assert table.aggregated([received(1, 5, 8)]) == []
    (event,) = table.received()
    assert (event.tracked.flow.kind, event.count, event.bytes) == (EventKind.VOLUME, 0, 0)
    assert (event.received, event.time) == (95, 8)
    assert event.tracked.flow.process.pid == 5
    assert table.received() == []
    (total,) = table.totals.most_first()
    assert (total.count, total.bytes, total.received, total.last) == (1, 10, 95, 8)
    assert (table.only_received, total.arrived) == (0, 0)


def test_what_comes_for_a_flow_that_has_not_sent():
    """Its first line comes at once, with the holder that is asked for."""
    holders = [2, 3]

    def receivers(flow, _time):
        of = Process(0, 0, "a", "a", None, None, 1, 0, None, 1)
        return [flow._replace(process=of._replace(pid=pid)) for pid in holders]

    table = FlowTable(nobody, lambda flow: bool(flow.process) and flow.process.pid == 3, receivers)
    (event,) = table.aggregated([received(2, 90, 3)])
    assert (event.tracked.flow.kind, event.count, event.received) == (EventKind.RECEIVE, 2, 90)
    assert event.tracked.flow.process.pid == 3
    table.aggregated([received(1, 5, 4)])
    (event,) = table.received()
    assert (event.count, event.received) == (1, 5)
    assert (table.only_received, table.left_out) == (3, 0)
    holders[:] = [4]
    table.aggregated([received(1, 5, 4, cookie=8)])
    assert (table.only_received, table.left_out, table.undecided) == (3, 0, 0)


def test_nothing_that_came_back_is_0_where_that_is_counted():
    for counted, expected in ((ReceivedOf.ALL, 0), (ReceivedOf.UDP, 0), (ReceivedOf.NONE, None)):
        table = FlowTable(flow_of, received_of=counted)
        table.events([entry(1, 10, raw_flow(**SENT))])
        (total,) = table.totals.most_first()
        assert total.received == expected


def test_a_flow_that_answers_later():
    table = FlowTable(flow_of)
    table.aggregated([received(1, 5, 1)])
    table.events([entry(2, 10, raw_flow(**SENT))])
    assert table.aggregated([received(1, 7, 3)]) == []
    (event,) = table.received()
    assert (event.tracked.flow.kind, event.received) == (EventKind.VOLUME, 7)


def test_whose_it_is_may_stay_undecided():
    table = FlowTable(nobody, lambda _: None)
    assert table.aggregated([received(4, 5, 1)]) == []
    assert (table.undecided, table.only_received, table.left_out) == (4, 0, 0)


def test_what_a_protocol_sends_later_is_its_senders():
    """In whatever context it does; not so with UDP."""
    for proto, expected in ((132, 5), (17, None)):
        table = FlowTable(
            lambda fields, time: flow_of(fields, time) if fields.pid else nobody(fields, time)
        )
        sent = {**SENT, "proto": proto}
        table.events([entry(1, 10, raw_flow(**sent)), entry(2, 20, raw_flow(**{**sent, "pid": 0}))])
        later = table.events([entry(3, 20, raw_flow(**{**sent, "pid": 0}))])[0].tracked.flow
        assert (later.process and later.process.pid) == expected
        assert table.aggregated([received(1, 5, 4, proto=proto)]) == []
        (event,) = table.received()
        assert event.tracked.flow.process.pid == 5


def test_who_sends_later_gets_what_comes_from_then_on():
    """Not what had come before, by the same socket."""
    table = FlowTable(flow_of)
    table.events([entry(1, 10, raw_flow(**SENT))])
    table.aggregated([received(1, 5, 2)])
    table.events([entry(3, 10, raw_flow(**{**SENT, "pid": 6}))])
    table.aggregated([received(1, 7, 4)])
    table.events([entry(5, 10, raw_flow(**{**SENT, "pid": 6}))])
    table.aggregated([received(1, 8, 6)])
    told = [(event.tracked.flow.process.pid, event.received) for event in table.received()]
    assert told == [(5, 5), (6, 15)]


def test_what_is_kept_of_two_kinds_is_told_apart():
    table = FlowTable(flow_of)
    assert len(table.aggregated([received(1, 5, 1)])) == 1
    table.aggregated([received(1, 6, 2)])
    table.events([entry(3, 10, raw_flow(**SENT))])
    table.aggregated([received(1, 7, 4)])
    told = [(e.tracked.flow.kind, e.count, e.received) for e in table.received()]
    assert told == [(EventKind.RECEIVE, 1, 6), (EventKind.VOLUME, 0, 7)]


def test_what_waits_for_its_line_is_bounded(monkeypatch):
    monkeypatch.setattr("tracer.trace.received._MAX_UNTOLD", 2)
    table = FlowTable(flow_of)
    table.events([entry(1, 10, raw_flow(**{**SENT, "dport": port})) for port in (1, 2, 3)])
    told = table.aggregated([received(1, 5, 2, dport=port) for port in (1, 2, 3)])
    assert [event.received for event in told] == [5]
    assert [event.received for event in table.received()] == [5, 5]


def test_with_nat_nothing_is_measured():
    table = FlowTable(flow_of, received_of=ReceivedOf.UDP)
    nat = {"nat": NatEnd.DST, "hop": IPV4_MAPPED + bytes([10, 0, 0, 9]), "nat_dport": 53}
    table.events([entry(1, 10, raw_flow(**SENT, **nat))])
    (total,) = table.totals.most_first()
    assert total.received is None
