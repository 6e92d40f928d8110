# SPDX-License-Identifier: Apache-2.0
"""The route in the log is the one that was taken, on every probe: a machine with two links, and
rules by all that a rule may go by."""

import contextlib

import pytest

from tests.cases import PROBE_NAMES
from tests.native.conftest import ip, starting, two_links, wait_for, ways
from tests.ways import ADDRESS, MARK, OWNER

FIRST = {"interface": "d0", "gateway": "10.90.0.2", "source": "10.90.0.1"}
SECOND = {"interface": "d1", "gateway": "10.91.0.2", "source": ADDRESS}
ON_LINK = {**SECOND, "gateway": None}
LOCAL = {"interface": "lo", "gateway": None, "source": "10.90.0.1"}
BY_RULE = 7077

# by port: who sends, to whom, and the way that it takes
TAKEN = {
    7001: ("sendto", "10.99.9.9", FIRST),
    7002: ("bound", "10.99.9.9", SECOND),
    7003: ("owned", "10.99.9.9", SECOND),
    7004: ("marked", "10.99.9.9", SECOND),
    7005: ("multicast_if", "239.9.9.9", ON_LINK),
    7006: ("unicast_if", "10.99.9.9", ON_LINK),  # it has no default route, and no address yet
    7007: ("pktinfo", "10.99.9.9", SECOND),
    7008: ("pktinfo_source", "10.99.9.9", SECOND),
    7009: ("to_device", "10.99.9.9", ON_LINK),
    7010: ("connected", "10.99.9.9", FIRST),
    7011: ("tcp", "10.99.9.9", FIRST),
    7012: ("marked_tcp", "10.99.9.9", SECOND),
    7013: ("sendto", "10.90.0.1", LOCAL),
    7014: ("sendto", "10.91.0.2", ON_LINK),
    BY_RULE: ("sendto", "10.99.9.9", SECOND),
}
RAW = BY_RULE + 1  # a rule that looks at ports does not see those of a raw socket


@pytest.fixture(scope="module")
def outcome(refusals, tmp_path_factory):
    """The run of each probe."""
    with two_links() as network, contextlib.ExitStack() as cleanup:
        for arguments in (
            ("route", "add", "default", "via", "10.90.0.2", "dev", "d0"),
            ("route", "add", "default", "via", "10.91.0.2", "dev", "d1", "table", "101"),
            ("rule", "add", "from", ADDRESS, "table", "101"),
            ("rule", "add", "uidrange", f"{OWNER}-{OWNER}", "table", "101"),
            ("rule", "add", "fwmark", str(MARK), "table", "101"),
            ("rule", "add", "ipproto", "udp", "dport", f"{BY_RULE}-{RAW}", "table", "101"),
        ):
            ip("-n", network.near, *arguments)
        start = cleanup.enter_context(starting(tmp_path_factory.mktemp("routes")))
        tracers = {
            probe: start("--probe", probe, "-N", network.near, "-P", f"7001-{RAW}")
            for probe in PROBE_NAMES
            if not refusals[probe]
        }
        wanted = [(way, addr, port) for port, (way, addr, _) in TAKEN.items()]
        with ways(network.near, [*wanted, ("raw", "10.99.9.9", RAW)]):
            for one in tracers.values():
                wait_for(lambda one=one: f'"port":{RAW}}}' in one.log.read_text())
        yield {probe: tracer.finish() for probe, tracer in tracers.items()}


@pytest.mark.parametrize("port", TAKEN, ids=lambda port: f"{TAKEN[port][0]}-{port}")
@pytest.mark.parametrize("probe", PROBE_NAMES)
def test_the_way_it_takes(outcome, probe, port):
    if probe not in outcome:
        pytest.skip("refused here")
    events = [event for event in outcome[probe].events if event["dst"]["port"] == port]
    assert events
    assert [event["route"] for event in events] == [TAKEN[port][2]] * len(events)
    assert {event["src"]["addr"] for event in events} == {TAKEN[port][2]["source"]}


@pytest.mark.parametrize("probe", PROBE_NAMES)
def test_a_raw_sockets_ports_choose_no_route(outcome, probe):
    if probe not in outcome:
        pytest.skip("refused here")
    (event,) = [event for event in outcome[probe].events if event["dst"]["port"] == RAW]
    assert (event["via"], event["route"]) == ("raw", FIRST)
