# SPDX-License-Identifier: Apache-2.0
"""The rows of ``sockwatch top``: sums, rates, groups, what is new and gone, and bounded memory."""

from ipaddress import ip_address, ip_network

import pytest

from tests.samples import event, flow, process
from tracer.filter.filters import NO_FILTERS
from tracer.model.flow import Endpoint, EventKind, Moved
from tracer.model.process import Container
from tracer.top import rows as module
from tracer.top.rows import Amounts, By, Rows, Sort
from tracer.trace.event import TrackedFlow
from tracer.trace.totals import OTHERS, Total

CURL = process(pid=5, comm="curl", exe="/usr/bin/curl", args=("curl", "x"), start_time=5)
WEB = Endpoint(ip_address("10.0.0.9"), 443)


def measured(a_flow, **changes):
    """An event of a flow whose received bytes are counted."""
    one = event(a_flow, **changes)
    one.tracked.total = Total(None, "", "udp", a_flow.dst, 0, 0, received=0)
    return one


def made(*intervals, is_alive=lambda _: True):
    """Rows after intervals of two seconds, each with its events."""
    rows = Rows(is_alive)
    for events in intervals:
        rows.write(events)
        rows.end_interval(2.0)
    return rows


def shown(rows, by=By.PROGRAM, sort=Sort.SENT, filters=None):
    return rows.grouped(by, sort, filters)


def test_rates_are_of_the_last_interval_and_sums_of_all():
    twice = event(flow(), count=2, bytes=20)
    (row,) = shown(made([event(flow())], [twice, twice]))
    assert (row.total, row.rate) == (Amounts(5, 50), Amounts(2, 20))
    (row,) = shown(made([event(flow())], []))
    assert (row.total, row.rate) == (Amounts(1, 10), Amounts())


def test_received_is_known_where_it_is_measured():
    answered = measured(flow(kind=EventKind.VOLUME), count=0, bytes=0, received=80)
    (row,) = shown(made([measured(flow())], [answered]))
    assert (row.total, row.rate) == (Amounts(1, 10, 80), Amounts(0, 0, 40))
    (row,) = shown(made([measured(flow())]))
    assert row.total.received == 0
    (row,) = shown(made([event(flow())]))
    assert row.total.received is None


def test_the_end_of_a_connection_adds_what_no_event_before_told_of():
    end = event(flow(kind=EventKind.CLOSE, proto="tcp"), bytes=100, received=1000)
    for since, sent, received in ((Moved(7, 9), 7, 9), (None, 0, None)):
        end.since = since
        (row,) = shown(made([end]))
        assert (row.total.sent, row.total.received) == (sent, received)


def test_groups():
    container = Container("ab" * 32, "docker", None)
    other = process(pid=6, start_time=6, container=container)
    rows = made([
        event(flow()), event(flow(dst=WEB)), event(flow(process=other)),
        event(flow(process=CURL, dst=WEB)), event(flow(process=None, interface="wg0")),
    ])  # fmt: skip

    def sums(by):
        return sorted((len(row.processes), row.total.events) for row in shown(rows, by))

    assert sums(By.PROGRAM) == [(0, 1), (1, 1), (1, 1), (1, 2)]
    assert sums(By.PROCESS) == [(0, 1), (1, 1), (1, 1), (1, 2)]
    assert sums(By.DESTINATION) == [(2, 2), (2, 3)]
    assert {row.key for row in shown(rows, By.CONTAINER)} == {"(none)", f"docker {'ab' * 6}"}


def test_processes_of_one_role_are_a_row():
    events = [event(flow(process=process(pid=n, start_time=n))) for n in range(1, 121)]
    (row,) = shown(made(events))
    assert (len(row.processes), row.total) == (120, Amounts(120, 1200))


def test_the_highest_rate_is_first_then_the_greatest_sum():
    few, many = flow(process=CURL), flow()
    quiet = event(flow(dst=WEB, process=process(exe="/bin/a")), bytes=999, count=1)
    rows = made([quiet, event(few)], [event(few, bytes=5, count=9), event(many, bytes=50)])
    by = [[one.sent for one in (row.rate, row.total)] for row in shown(rows)]
    assert by == [[25, 50], [2.5, 15], [0, 999]]
    assert [row.rate.events for row in shown(rows, sort=Sort.EVENTS)] == [4.5, 0.5, 0]
    assert len(shown(rows, sort=Sort.RECEIVED)) == 3


def test_a_row_is_new_for_a_while_unless_it_was_there_at_the_start():
    rows = made([event(flow())], [event(flow(process=CURL))])
    assert {row.processes[0].comm: row.is_new for row in shown(rows)} == {
        "dig": False, "curl": True
    }  # fmt: skip
    rows.write([event(flow(process=CURL, dst=WEB))])
    for _ in range(5):
        rows.end_interval(1.0)
    assert not any(row.is_new for row in shown(rows))


def test_a_row_is_gone_when_all_its_processes_have_ended():
    living = {4321, 5}
    other = flow(process=process(pid=6, start_time=6))
    rows = made(
        [event(flow()), event(other), event(flow(process=CURL))],
        is_alive=lambda one: one.pid in living,
    )
    rows.end_interval(1.0)
    assert not any(row.is_gone for row in shown(rows))
    living.discard(4321)
    rows.end_interval(1.0)
    assert {row.processes[0].comm: row.is_gone for row in shown(rows)} == {
        "dig": True, "curl": False
    }  # fmt: skip


def test_who_is_not_known_is_never_gone():
    rows = made([event(flow(process=None, interface="wg0"))], [], is_alive=lambda _: False)
    assert [row.is_gone for row in shown(rows)] == [False]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"dst": (ip_network("10.0.0.9"),)}, {"curl"}),
        ({"uid": frozenset({1000})}, {"curl", "dig"}),
        ({"comm": frozenset({b"dig"})}, {"dig"}),
        ({"exe": frozenset({"/bin/none"})}, set()),
    ],
)
def test_a_filter_leaves_rows_out(changes, found):
    rows = made([event(flow()), event(flow(process=CURL, dst=WEB, kind=EventKind.ACCEPT))])
    asked = NO_FILTERS._replace(accept=True, **changes)
    assert {row.processes[0].comm for row in shown(rows, filters=asked)} == found


def test_what_is_frozen_stays_as_it_is():
    rows = made([event(flow())])
    frozen = rows.frozen()
    rows.write([event(flow()), event(flow(process=CURL))])
    rows.end_interval(1.0)
    (row,) = frozen(By.PROCESS, Sort.SENT, None)
    assert row.total == Amounts(1, 10)
    assert len(shown(rows)) == 2


def test_memory_is_bounded_and_no_sum_is_lost(monkeypatch):
    monkeypatch.setattr(module, "MAX_TALKS", 64)
    rows = Rows(lambda _: False)
    for n in range(1000):
        one = process(pid=n + 1, start_time=n + 1, exe=f"/bin/{n % 2}")
        rows.write([event(flow(process=one), time=n, last_time=n)])
    rows.end_interval(1.0)
    assert len(rows._talks) <= 64
    found = shown(rows)
    assert len(found) == 2
    assert sum(row.total.events for row in found) == 1000
    for n in range(1000):
        dst = Endpoint(ip_address("10.0.0.5"), n)
        rows.write([event(flow(dst=dst), time=2000 + n, last_time=2000 + n)])
    rows.end_interval(1.0)
    assert len(rows._talks) <= 64
    assert sorted(row.total.events for row in shown(rows)) == [500, 500, 1000]
    assert sum(row.rate.events for row in shown(rows)) == 1000
    for n in range(1000):
        one = process(pid=9000 + n, start_time=n, exe=f"/bin/{n}")
        rows.write([event(flow(process=one), time=4000 + n, last_time=4000 + n)])
    rows.end_interval(1.0)
    assert len(rows._talks) <= 64
    assert OTHERS in {row.key for row in shown(rows)}
    assert sum(row.total.events for row in shown(rows)) == 3000
    pid = NO_FILTERS._replace(pid=frozenset({9999}))
    assert {row.key == OTHERS or row.processes[0].pid for row in shown(rows, filters=pid)} == {
        True, 9999
    }  # fmt: skip


def test_an_event_of_a_tracked_flow_is_of_the_same_row():
    one = event(flow())
    again = event(flow())
    again.tracked = TrackedFlow(flow(src=Endpoint(ip_address("10.0.0.1"), 7)), None)
    (row,) = shown(made([one, again]), By.PROCESS)
    assert (len(row.talks), row.total.events) == (1, 2)
