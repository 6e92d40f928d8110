# SPDX-License-Identifier: Apache-2.0
"""Zones: one link-local address on two links is two destinations, on every probe."""

import contextlib
import json
import subprocess
from pathlib import Path

import pytest

from tests.cases import PROBE_NAMES
from tests.logs import lines_of
from tests.native.conftest import DEADLINE, ip, sockwatch, starting, two_links, wait_for, ways
from tests.ways import SHARED

PEER = "fe80::99"
PACKETLESS = 7009  # its link is down
SHARED_BY = {7010: "d0", 7011: "d1"}
LAST = 7012

# by port: who sends, and to whom
SENT = {
    7001: ("sendto", f"{PEER}%d0"),
    7002: ("sendto", f"{PEER}%d1"),
    7003: ("connected", f"{PEER}%d0"),
    7004: ("connected", f"{PEER}%d1"),
    7005: ("tcp", f"{PEER}%d0"),
    7006: ("tcp", f"{PEER}%d1"),
    7007: ("sendto", "fe80::71%d1"),  # its own address: by the loopback device
    7008: ("multicast_if", "ff02::99"),
    PACKETLESS: ("sendto", f"{PEER}%d2"),
    7010: ("shared", PEER),
    LAST: ("sendto", f"{PEER}%d0"),
}
ZONES = {
    port: "d1" if way == "multicast_if" else addr.partition("%")[2]
    for port, (way, addr) in SENT.items()
} | SHARED_BY
TO_D0 = [port for port, zone in ZONES.items() if zone == "d0"]


@pytest.fixture(scope="module")
def network():
    with two_links() as made:
        ip("-n", made.near, "link", "add", "d2", "type", "veth", "peer", "p2")
        yield made


@pytest.fixture(scope="module")
def outcome(refusals, network, tmp_path_factory):
    """Of each probe: a run that has no zone in its filter, one that asks for one, and one that
    excludes it."""
    with contextlib.ExitStack() as cleanup:
        start = cleanup.enter_context(starting(tmp_path_factory.mktemp("zones")))
        ports = ("-N", network.near, "-P", f"7001-{LAST}")
        tracers = {
            probe: [
                start("--probe", probe, *ports),
                start("--probe", probe, *ports, "--dst", f"{PEER}%d0"),
                start("--probe", probe, *ports, "--not-dst", f"{PEER}%d0"),
            ]
            for probe in PROBE_NAMES
            if not refusals[probe]
        }
        with ways(network.near, [(way, addr, port) for port, (way, addr) in SENT.items()]):
            for every, *_ in tracers.values():
                wait_for(lambda every=every: f'"port":{LAST},' in every.log.read_text())
        yield {probe: [one.finish() for one in three] for probe, three in tracers.items()}


@pytest.fixture(params=PROBE_NAMES)
def runs(outcome, request):
    if request.param not in outcome:
        pytest.skip("refused here")
    return request.param, *outcome[request.param]


def ports_of(run):
    """How many datagrams went to each; 0: TCP."""
    found = dict.fromkeys((event["dst"]["port"] for event in run.events), 0)
    for event in run.events:
        found[event["dst"]["port"]] += event["count"] * (event["event"] == "send")
    return found


def test_every_event_has_its_zone(runs):
    probe, every, *_ = runs
    for event in every.events:
        port = event["dst"]["port"]
        assert "%" not in event["dst"]["addr"]
        assert (port, event["dst"]["zone"]) == (port, ZONES[port])
        if port != PACKETLESS:  # no address was chosen for it
            assert event["src"]["zone"] == ZONES[port]
    unseen = {PACKETLESS} if probe == "tracepoint" else set()
    assert {event["dst"]["port"] for event in every.events} == ZONES.keys() - unseen


def test_two_threads_with_one_socket(runs):
    _, every, *_ = runs
    seen = ports_of(every)
    assert [seen[port] for port in SHARED_BY] == [SHARED, SHARED]


def test_a_filter_by_zone(runs):
    _, every, only, others = runs
    seen = ports_of(every)
    assert ports_of(only) == {port: count for port, count in seen.items() if port in TO_D0}
    assert ports_of(others) == {port: count for port, count in seen.items() if port not in TO_D0}
    for run in (only, others):
        assert run.stop["matched"] == sum(event["count"] for event in run.events)
        assert run.stop["undecided"] == 0
    assert all(f"{PEER}%d0" in row for row in only.answer)


def test_the_route_of_a_zone(runs):
    _, every, *_ = runs
    for event in every.events:
        port = event["dst"]["port"]
        if port != PACKETLESS:
            interface = "lo" if port == 7007 else ZONES[port]
            assert (port, event["route"]["interface"]) == (port, interface)


def sockets(*options):
    argv = sockwatch("sockets", *options)
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=DEADLINE)


@pytest.fixture
def connected(network):
    """A connected socket on each link; those of TCP are refused."""
    with ways(network.near, [("connected", f"{PEER}%d{link}", 7100) for link in (0, 1)]):
        yield network


@pytest.mark.native
def test_sockets(connected):
    options = ("-N", connected.near, "--dst", f"{PEER}%d1")
    (row,) = map(json.loads, sockets(*options, "--json").stdout.splitlines())
    assert (row["src"]["addr"], row["src"]["zone"]) == ("fe80::71", "d1")
    assert row["dst"] == {"addr": PEER, "port": 7100, "zone": "d1"}
    assert f" [{PEER}%d1]:7100 " in sockets(*options).stdout
    everywhere = sockets("--dst", PEER, "--json").stdout.splitlines()
    assert {json.loads(line)["dst"]["zone"] for line in everywhere} == {"d0", "d1"}


@pytest.mark.native
def test_existing(start, connected):
    run = start("-N", connected.near, "--dst", f"{PEER}%d1").finish()
    (event,) = run.existing
    assert (event["src"]["zone"], event["dst"]["zone"]) == ("d1", "d1")
    assert event["route"] == {"interface": "d1", "gateway": None, "source": "fe80::71"}


@pytest.mark.native
def test_a_zone_by_number(start, connected):
    (link,) = json.loads(ip("-n", connected.near, "-j", "link", "show", "dev", "d1"))
    asked = f"{PEER}%{link['ifindex']}"
    done = sockets("-N", connected.near, "--dst", asked, "--json")
    (row,) = map(json.loads, done.stdout.splitlines())
    assert (row["dst"]["zone"], done.stderr) == ("d1", "")
    (event,) = start("-N", connected.near, "--dst", asked).finish().existing
    assert event["dst"]["zone"] == "d1"


@pytest.mark.native
def test_an_interface_that_is_not_there_yet(start, connected):
    """It never matches all: nothing, until there is one of that name."""
    warning = "there is no interface 'late' now: nothing matches %late until there is one"
    done = sockets("-N", connected.near, "--dst", f"{PEER}%late")
    assert (done.stdout.count("\n"), warning in done.stderr) == (1, True)
    tracer = start("-N", connected.near, "--dst", f"{PEER}%late")
    with ways(connected.near, [("sendto", f"{PEER}%d0", 7101)]):
        pass
    ip("-n", connected.near, "link", "add", "late", "type", "veth", "peer", "p3")
    for device in ("late", "p3"):
        ip("-n", connected.near, "link", "set", device, "up")
    ip("-n", connected.near, "addr", "add", "fe80::72/64", "dev", "late", "nodad")
    with ways(connected.near, [("sendto", f"{PEER}%late", 7102)]):
        wait_for(lambda: '"port":7102,' in tracer.log.read_text())
    run = tracer.finish()
    assert warning in run.err
    assert [event["dst"]["port"] for event in run.events] == [7102]
    assert (run.existing, run.stop["matched"], run.stop["undecided"]) == ([], 1, 0)
    ip("-n", connected.near, "link", "del", "late")


@pytest.mark.native
def test_procfs_knows_no_zones(connected):
    done = sockets("-N", connected.near, "--dst", f"{PEER}%d0", "--source", "procfs")
    assert done.stdout.count("\n") == 1
    assert "/proc/net tells no zones: what may be %d0 is left out" in done.stderr


@pytest.mark.native
def test_report(outcome):
    log = str(next(iter(outcome.values()))[0].log)
    argv = sockwatch("report", log, "--by", "dst", "--json")
    whole = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    *groups, _coverage = map(json.loads, whole.splitlines())
    assert {group["dst"] for group in groups} >= {
        f"{PEER}%d0", f"{PEER}%d1"
    }  # fmt: skip
    argv += ["--dst", f"{PEER}%d0"]
    only = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    group, _coverage = map(json.loads, only.splitlines())
    assert group["dst"] == f"{PEER}%d0"
    argv[-1] = f"{PEER}%3"
    refused = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert (refused.returncode, "a log has interfaces by name" in refused.stderr) == (2, True)


@pytest.mark.native
def test_destroyed(connected, tmp_path):
    """The name is that of the socket's own namespace."""
    out = tmp_path / "out"
    argv = sockwatch("sockets", "--watch", "--json", "-N", connected.near, "--dst", f"{PEER}%d0")
    with out.open("w") as file:
        watch = subprocess.Popen(argv, stdout=file)
    try:
        for attempt in range(DEADLINE):  # until it hears of them: there is no other sign
            with ways(connected.near, [("connected", f"{PEER}%d{n}", 7200) for n in (0, 1)]):
                pass
            if Path(out).read_text() or attempt == DEADLINE - 1:
                break
    finally:
        watch.terminate()
        watch.wait(DEADLINE)
    rows = lines_of(out)
    assert {(row["dst"]["addr"], row["dst"]["zone"]) for row in rows} == {(PEER, "d0")}
