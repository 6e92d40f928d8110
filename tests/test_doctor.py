# SPDX-License-Identifier: Apache-2.0
"""What the doctor says of what probes saw; on a real kernel, see native/test_doctor.py."""

import json

import pytest

from tests.cases import PROBE_NAMES
from tests.samples import flow_record
from tracer.doctor import verdict
from tracer.doctor.run import Seen
from tracer.doctor.ways import PORTS, WAYS

NAMES = frozenset(way.name for way in WAYS)
BLIND = {probe: frozenset(way.name for way in WAYS if probe in way.blind) for probe in PROBE_NAMES}


def seen(probe="tracepoint", missed=(), **changes):
    found = NAMES - BLIND[probe] - set(missed)
    return Seen(probe, None, found, found, {}, 0.25, 130.4)._replace(**changes)


def test_ways_have_names_and_ports_of_their_own():
    assert len(NAMES) == len(WAYS) == len(set(PORTS.values()))
    known_by = [way.known_by for way in WAYS if way.known_by]
    assert len(known_by) == len(set(known_by))
    assert all(bool(way.why) == bool(way.blind) for way in WAYS)
    assert all(way.blind <= set(PROBE_NAMES) for way in WAYS)


def test_each_way_is_known_by_its_flows_only():
    flows = {
        way.name: flow_record(proto=way.known_by[0], via=way.known_by[1], dport=0)
        if way.known_by
        else flow_record(dport=PORTS[way.name])
        for way in WAYS
    }
    for name, flow in flows.items():
        assert [way.name for way in WAYS if way.has_sent(flow)] == [name]
    here = flow_record(sport=PORTS["TCP"], dport=40_000)  # it connects from its port
    assert [way.name for way in WAYS if way.has_sent(here)] == ["TCP"]


@pytest.mark.parametrize("probe", PROBE_NAMES)
def test_all_is_well(probe):
    found = [seen(probe)]
    assert verdict.failures(found) == []
    text = verdict.as_text(found)
    assert text.splitlines()[0].split() == ["WAY", probe.upper()]
    assert "seconds to start" in text
    assert "0.25" in text
    assert "130" in text
    assert text.count("blind to ") == len(BLIND[probe])


def test_what_is_missed_is_named():
    found = [seen(missed=["UDP"])]
    assert verdict.failures(found) == ["tracepoint did not see: UDP"]
    assert verdict.as_text(found).endswith("tracepoint did not see: UDP\n")


def test_whose_it_was_must_be_seen_too():
    found = seen()
    assert verdict.failures([found._replace(known=found.known - {"TCP"})]) == [
        "tracepoint did not see which process sent: TCP"
    ]


def test_a_way_that_the_kernel_lacks_is_no_failure():
    found = [seen(missed=["TCP over IPv6"], lacks={"TCP over IPv6": "No such thing"})]
    assert verdict.failures(found) == []
    assert "this kernel lacks TCP over IPv6: No such thing\n" in verdict.as_text(found)


def test_a_probe_that_the_kernel_refuses_is_no_failure_and_none_at_all_is():
    refused = Seen("kprobe", "kprobe cannot be attached (no)")
    assert verdict.failures([refused, seen()]) == []
    assert "- kprobe cannot be attached (no)\n" in verdict.as_text([refused, seen()])
    assert verdict.failures([refused]) == ["this kernel takes no probe"]


def test_json():
    (line,) = verdict.as_json([seen(missed=["UDP"])]).splitlines()
    said = json.loads(line)
    assert said["probes"] == [{"name": "tracepoint", "refused": None, "start": 0.25, "ns": 130.4}]
    ways = {way["name"]: way for way in said["ways"]}
    assert ways["UDP"]["found"] == {"tracepoint": "MISSED"}
    assert ways["UDP that fails"]["found"] == {"tracepoint": "blind"}
    assert said["failures"] == ["tracepoint did not see: UDP"]
