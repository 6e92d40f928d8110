# SPDX-License-Identifier: Apache-2.0
"""What the metrics count traffic by."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from tests.samples import event, flow, process
from tracer.filter.endpoints import endpoints
from tracer.model.flow import ERROR_NOT_OBSERVED, Endpoint, EventKind, Moved, Nat, Origin
from tracer.model.process import Container
from tracer.trace.traffic import MAX_SETS, Traffic

PLAIN = {"program": "/usr/bin/dig", "unit": "", "proto": "udp", "outcome": "sent", "dst": ""}
OTHERS = dict.fromkeys(PLAIN, "other")


def traffic(*dst):
    return Traffic([(value, endpoints("--dst", [value])) for value in dst])


def counted(traffic):
    """The samples of each metric, by the middle of its name."""
    return {
        metric.name.removeprefix("sockwatch_").removesuffix("_total"): [
            (dict(labels), value) for labels, value in metric.samples
        ]
        for metric in traffic.metrics()
    }


def to(addr, **changes):
    return flow(dst=Endpoint(ip_address(addr), 53), **changes)


def test_events_and_bytes_add_up():
    counts = traffic()
    one = event()
    counts.write([one, one])
    counts.write([event(count=5, bytes=50), replace(one, error=1, bytes=3)])
    found = counted(counts)
    assert found["events"] == [(PLAIN, 7), (PLAIN | {"outcome": "failed"}, 1)]
    assert found["sent_bytes"] == [(PLAIN, 70), (PLAIN | {"outcome": "failed"}, 3)]
    assert found["received_bytes"] == []  # not measured, which is not 0
    assert found["dst_events"] == found["dst_bytes"] == []


def test_what_a_connection_has_moved_is_counted_once():
    """What volumes have told of is not counted again at its end."""
    counts = traffic()
    volume = flow(kind=EventKind.VOLUME, proto="tcp")
    counts.write([event(volume, count=0, bytes=100, received=7, error=ERROR_NOT_OBSERVED)])
    close = event(flow(kind=EventKind.CLOSE, proto="tcp"), bytes=130, received=10)
    counts.write([replace(close, since=Moved(30, 3)), close])  # of the second, nothing is known
    found = counted(counts)
    volume, close = ({**PLAIN, "proto": "tcp", "outcome": one} for one in ("", "closed"))
    assert found["events"] == [(volume, 0), (close, 2)]
    assert found["sent_bytes"] == [(volume, 100), (close, 30)]
    assert found["received_bytes"] == [(volume, 7), (close, 3)]


def test_what_is_only_received():
    counts = traffic()
    received = event(
        flow(kind=EventKind.RECEIVE), count=2, bytes=0, received=9, error=ERROR_NOT_OBSERVED
    )
    counts.write([received])
    found = counted(counts)
    labels = PLAIN | {"outcome": ""}
    assert found["events"] == [(labels, 2)]
    assert found["received_bytes"] == [(labels, 9)]


def test_what_was_there_before_takes_no_room():
    counts = traffic()
    counts.write([event(flow(kind=EventKind.EXISTING), count=0, bytes=0, error=ERROR_NOT_OBSERVED)])
    assert counted(counts)["events"] == []


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({"exe": None}, {"program": "dig"}),
        ({"exe": "/tmp/x (deleted)"}, {"program": "/tmp/x"}),
        ({"exe_here": False}, {"program": "/usr/bin/dig (not here)"}),
        ({"units": ("dns.service",)}, {"unit": "dns.service"}),
        ({"units": ("user@1000.service", "user@1000.service/a.scope")},
         {"unit": "user@1000.service"}),
        ({"units": ("session-4.scope",)}, {}),
        ({"units": ("docker-1.scope",), "container": Container("1" * 64, "docker", None)}, {}),
    ],
)  # fmt: skip
def test_who(changes, labels):
    counts = traffic()
    counts.write([event(flow(process=process(**changes)))])
    assert counted(counts)["events"] == [(PLAIN | labels, 1)]


@pytest.mark.parametrize(
    ("changes", "program"),
    [
        ({"interface": "wg0"}, "[wg0]"),
        ({"origin": Origin("eth0")}, "[eth0]"),
        ({}, "[unknown]"),
    ],
)
def test_no_process(changes, program):
    counts = traffic()
    counts.write([event(flow(process=None, **changes))])
    assert counted(counts)["events"] == [(PLAIN | {"program": program}, 1)]


def test_a_destination_is_the_first_value_that_matches():
    counts = traffic("10.0.0.0/8", "10.0.0.5", "fe80::1%eth0", "192.0.2.7")
    counts.write([event(to("10.0.0.5"), bytes=4)])
    link = Endpoint(ip_address("fe80::1"), 53, "eth0")
    counts.write([event(flow(dst=link))])
    counts.write([event(flow(dst=link._replace(zone="eth1")))])
    nat = Nat(dst=Endpoint(ip_address("192.0.2.7"), 53))
    counts.write([event(to("172.16.0.1", nat=nat))])
    counts.write([event(to("172.16.0.1", hop=ip_address("192.0.2.7")))])
    found = counted(counts)
    assert [(labels["dst"], value) for labels, value in found["events"]] == [
        ("10.0.0.0/8", 1), ("fe80::1%eth0", 1), ("", 1), ("192.0.2.7", 2),
    ]  # fmt: skip
    assert found["dst_events"] == [
        ({"dst": "10.0.0.0/8"}, 1),
        ({"dst": "10.0.0.5"}, 0),
        ({"dst": "fe80::1%eth0"}, 1),
        ({"dst": "192.0.2.7"}, 2),
        ({"dst": "other"}, 1),
    ]
    assert found["dst_bytes"][0] == ({"dst": "10.0.0.0/8"}, 4)


def test_a_destination_with_ports():
    counts = traffic("10.0.0.5:54", "10.0.0.5:53")
    counts.write([event(to("10.0.0.5"))])
    assert counted(counts)["dst_events"] == [
        ({"dst": "10.0.0.5:54"}, 0),
        ({"dst": "10.0.0.5:53"}, 1),
    ]


def program(number):
    return process(exe=f"/tmp/{number}", start_time=number)


def test_label_sets_are_bounded():
    """What has no room is counted with the others to the end of the run, whatever comes later, but
    still by its destination."""
    counts = traffic("10.0.0.5", "10.0.0.6")
    for _ in range(2):
        for number in range(MAX_SETS + 3):
            counts.write([event(to("10.0.0.6", process=program(number)), received=1)])
    last = to("10.0.0.5", process=program(MAX_SETS))
    counts.write([event(last), event(last)])
    found = counted(counts)
    for name, each, others in (("events", 2, 8), ("sent_bytes", 20, 80)):
        *own, (labels, value) = found[name]
        assert [value for _, value in own] == [each] * MAX_SETS
        assert own[-1][0]["program"] == f"/tmp/{MAX_SETS - 1}"
        assert (labels, value) == (OTHERS, others)
    assert found["dst_events"] == [({"dst": "10.0.0.5"}, 2), ({"dst": "10.0.0.6"}, 406)]


def test_destinations_are_bounded():
    values = [f"10.0.{number // 256}.{number % 256}" for number in range(MAX_SETS + 5)]
    counts = traffic(*values)
    counts.write([event(to(values[-1])), event(to(values[0]))])
    found = {labels["dst"]: value for labels, value in counted(counts)["dst_events"]}
    assert len(found) == MAX_SETS + 1
    assert (found[values[0]], found[values[1]], found["other"]) == (1, 0, 1)


def test_names_that_are_cut_alike_are_one():
    """Two samples with the same labels would make the whole file unreadable."""
    counts = traffic()
    for number in range(2):
        long = f"/{'x' * 200}{number}{'x' * 200}"
        counts.write([event(flow(process=process(exe=long)))])
    ((_, value),) = counted(counts)["events"]
    assert value == 2


def test_a_flow_is_looked_up_once(monkeypatch):
    counts = traffic("10.0.0.5")
    one = event(to("10.0.0.5"))
    counts.write([one])
    monkeypatch.setattr(counts, "_labels", None)
    counts.write([one] * 3)
    assert counted(counts)["dst_events"] == [({"dst": "10.0.0.5"}, 4)]
