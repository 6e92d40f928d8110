# SPDX-License-Identifier: Apache-2.0
"""What netlink and /proc add to a flow, on every probe."""

import contextlib
import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.cases import PROBE_NAMES
from tests.native.conftest import generate, ip, starting, talking, two_namespaces, wait_for

# who talks: kind, destination, options; by port, which the events are found by
TALKERS = {
    7001: ("udp", "10.0.0.5"),
    7002: ("udp", "10.0.0.5", "connect"),
    7003: ("udp", "10.9.0.1", "device=near"),
    7004: ("udp", "10.0.0.5", "share"),
    7005: ("tcp", "10.0.0.5"),
    7006: ("udp", "fd00::5"),
    7007: ("udp", "127.0.0.5"),
}
SHARED, GONE = 7004, 7008


@pytest.fixture(scope="module")
def outcome(refusals, tmp_path_factory):
    """Traced by all probes at once: what each talker said, the run of each probe, the network."""
    with two_namespaces() as network, contextlib.ExitStack() as cleanup:
        start = cleanup.enter_context(starting(tmp_path_factory.mktemp("enrichment")))
        ip("-n", network.near, "route", "add", "10.9.0.0/16", "via", "10.0.0.5")
        cleanup.enter_context(talking("listen", "10.0.0.5", "7005", netns=network.far))
        tracers = {
            probe: start("--probe", probe, "-P", f"{min(TALKERS)}-{GONE}")
            for probe in PROBE_NAMES
            if not refusals[probe]
        }
        said = {}
        for port, (kind, addr, *options) in TALKERS.items():
            argv = (kind, addr, str(port), *options)
            talker = cleanup.enter_context(talking(*argv, netns=network.near))
            talker.talk()
            said[port] = talker.said | {"exe": os.readlink(f"/proc/{talker.said['pid']}/exe")}
            wait_for(lambda port=port: all(_logged(one, port) for one in tracers.values()))
            if port == SHARED:  # a tracer rests between two looks at all descriptors
                wait_for(lambda talker=talker: _knows_holders(tracers.values()) or talker.talk())
        for tracer in tracers.values():
            tracer.process.send_signal(signal.SIGSTOP)
        generate("sendto", "127.0.0.5", f"port={GONE}")
        for tracer in tracers.values():
            tracer.process.send_signal(signal.SIGCONT)
            wait_for(lambda tracer=tracer: _logged(tracer, GONE))
        runs = {probe: tracer.finish() for probe, tracer in tracers.items()}
        inode = Path(f"/run/netns/{network.near}").stat().st_ino
        yield said, runs, inode


def _knows_holders(tracers):
    """Does each tracer's last event of the shared socket say who holds it?"""
    last = [_of_port(tracer, SHARED)[-1] for tracer in tracers]
    return all(json.loads(line)["process"].get("holders") for line in last)


def _of_port(tracer, port):
    whole = tracer.log.read_text().rpartition("\n")[0]
    return [line for line in whole.splitlines() if f'"port":{port}' in line]


def _logged(tracer, port):
    """Of a connection, that it is established."""
    kinds = ('"event":"send"', '"event":"connected"')
    return any(kind in line for line in _of_port(tracer, port) for kind in kinds)


@pytest.fixture(params=PROBE_NAMES)
def seen(outcome, request):
    """Of one probe: the event to a port, and what its talker said."""
    said, runs, inode = outcome
    if request.param not in runs:
        pytest.skip("refused here")

    def to_port(port):
        events = [event for event in runs[request.param].events if event["dst"]["port"] == port]
        *earlier, event = [one for one in events if one["event"] in ("send", "connected")]
        assert port == SHARED or not earlier
        assert event["socket"]["netns"] == (inode if port != GONE else event["socket"]["netns"])
        return event, said.get(port)

    return to_port


@pytest.mark.parametrize(
    ("port", "state"), [(7001, "UNCONN"), (7002, "ESTAB"), (7005, "ESTAB"), (7006, "UNCONN")]
)
def test_the_socket(seen, port, state):
    event, talker = seen(port)
    found = event["socket"]
    assert (found["inode"], found["cookie"]) == (talker["inode"], talker["cookie"])
    assert (found["state"], found["uid"], found["interface"]) == (state, 0, None)
    assert event["process"]["holders"] is None


def test_its_cgroup(seen):
    if " - cgroup2 " not in Path("/proc/self/mountinfo").read_text():
        pytest.skip("no cgroup2 file system is mounted")
    path = re.search(r"^0::(.*)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)[1]
    event, _ = seen(7001)
    assert event["socket"]["cgroup"] == path


def test_its_device_and_the_gateway(seen):
    event, talker = seen(7003)
    assert (event["socket"]["inode"], event["socket"]["interface"]) == (talker["inode"], "near")
    assert event["route"] == {"interface": "near", "gateway": "10.0.0.5", "source": "10.0.0.1"}


@pytest.mark.parametrize(
    ("port", "interface", "source"),
    [(7001, "near", "10.0.0.1"), (7006, "near", "fd00::1"), (7007, "lo", "127.0.0.1")],
)
def test_the_route(seen, port, interface, source):
    """Of a socket that is bound to no address."""
    event, _ = seen(port)
    assert event["route"] == {"interface": interface, "gateway": None, "source": source}
    assert event["src"]["addr"] == source


def test_every_holder(seen):
    event, talker = seen(SHARED)
    holders = event["process"]["holders"]
    assert [one["pid"] for one in holders] == sorted([talker["pid"], talker["child"]])
    assert {one["exe"] for one in holders} == {talker["exe"]}


def test_a_socket_that_is_gone_is_null(seen):
    event, _ = seen(GONE)
    gone = {
        name: value for name, value in event["socket"].items() if name not in ("cookie", "netns")
    }
    assert gone == dict.fromkeys(("inode", "state", "uid", "cgroup", "interface"))
    assert event["process"]["holders"] is None
