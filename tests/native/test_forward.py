# SPDX-License-Identifier: Apache-2.0
"""Packets that this machine hands on for others: routed, bridged, and from a tun or tap; each is
counted once, and says where it came from. ``near`` is the router."""

import contextlib
import os

import pytest

from tests.native.conftest import OUTSIDER, add_link, assert_same, generate, ip, outsider
from tests.outsider import MAC, PAYLOAD, PORT, SPORT

DST = "10.0.0.5"
HELD = "holds the device"
TAP, BRIDGE = "02:00:00:00:00:08", "02:00:00:00:00:01"  # Ethernet addresses of the router's


@pytest.fixture
def router(namespaces):
    """It knows its neighbour: else that would have to answer first."""
    near, far = namespaces.near, namespaces.far
    mac = ip("-n", far, "-br", "link", "show", "dev", "far").split()[2]
    ip("-n", near, "neigh", "add", DST, "lladdr", mac, "dev", "near")
    ip("-n", far, "route", "add", "10.0.0.0/8", "via", "10.0.0.1")
    ip("netns", "exec", near, "sysctl", "-q", "net.ipv4.ip_forward=1")
    return near


def sysfs(netns, device, name):
    return ip("netns", "exec", netns, "cat", f"/sys/class/net/{device}/{name}").strip()


@contextlib.contextmanager
def guest(router, how, to=None):
    """A process that drives swtap, by which 10.8.0.2 is reached."""
    with outsider(router, how, "swtap", "10.8.0.2", to or TAP) as monitor:
        ip("-n", router, "link", "set", "swtap", "up", *([] if how == "tun" else ["address", TAP]))
        yield monitor


def route_from(router):
    ip("-n", router, "addr", "add", "10.8.0.1/24", "dev", "swtap")


@contextlib.contextmanager
def another(router):
    """A namespace behind a veth, inward in the router: 10.7.0.2 on its device out."""
    name = f"swaway{os.getpid()}"
    ip("netns", "add", name)
    try:
        ip("link", "add", "out", "netns", name, "type", "veth", "peer", "inward", "netns", router)
        ip("-n", name, "addr", "add", "10.7.0.2/24", "dev", "out")
        for place, device in ((name, "out"), (router, "inward"), (name, "lo")):
            ip("-n", place, "link", "set", device, "up")
        yield name
    finally:
        ip("netns", "del", name)


@contextlib.contextmanager
def elsewhere(router):
    """One that is reached by a tunnel, so that it might be on another machine: 10.9.0.2 on its
    device tunnel; the router has wan."""
    with another(router) as away:
        ip("-n", router, "addr", "add", "10.7.0.1/24", "dev", "inward")
        for place, device, to in ((away, "tunnel", "10.7.0.1"), (router, "wan", "10.7.0.2")):
            kind = ("type", "vxlan", "id", "7", "dstport", "4789")
            add_link(place, device, *kind, "remote", to)
            ip("-n", place, "link", "set", device, "up")
        ip("-n", away, "addr", "add", "10.9.0.2/24", "dev", "tunnel")
        yield away


def sums(events):
    """Packets and bytes of each protocol."""
    found = {}
    for event in events:
        packets, size = found.get(event["proto"], (0, 0))
        found[event["proto"]] = packets + event["count"], size + event["bytes"]
    return found


SENT = {"udp": (3, 3 * len(PAYLOAD)), "tcp": (2, 0), "icmp": (1, len(PAYLOAD)), "esp": (1, 20)}


def send_all(sender):
    for proto, (count, _) in SENT.items():
        sender.send(proto, count)


def test_what_another_machine_sends_through_this_one(start, router, probe):
    """Only the tracepoint probe does not see how it is sent: past the queue."""
    if probe != "tracepoint":
        pytest.skip("this probe sees the sender")
    with elsewhere(router) as away:
        ip("-n", router, "addr", "add", "10.9.0.1/24", "dev", "wan")
        ip("-n", router, "neigh", "add", "10.9.0.2", "lladdr", MAC, "dev", "wan")
        tracer = start("--dst", DST, "--probe", probe)
        to = sysfs(router, "wan", "address")
        with outsider(away, "past", "tunnel", "10.9.0.2", to) as sender:
            send_all(sender)
            sender.send("udp", 4, "10.0.0.6")
        run = tracer.finish()
    assert sums(run.events) == SENT
    for event in run.events:
        assert (event["event"], event["outcome"]) == ("forward", "forwarded")
        assert (event["via"], event["process"]) == ("wan", None)
        assert event["neighbour"] == {"addr": "10.9.0.2", "mac": MAC}
        assert (event["src"]["addr"], event["dst"]["addr"]) == ("10.9.0.2", DST)
    (udp,) = [event for event in run.events if event["proto"] == "udp"]
    assert (udp["src"]["port"], udp["dst"]["port"]) == (SPORT, PORT)
    assert run.stop["matched"] == sum(count for count, _ in SENT.values())
    assert "[wan from 10.9.0.2]" in run.answer[0]


def test_a_connection_that_is_forwarded(start, router, probe):
    """Its sender has events of its own; behind a tunnel, that is not known of its packets."""
    with elsewhere(router) as away:
        ip("-n", router, "addr", "add", "10.9.0.1/24", "dev", "wan")
        ip("-n", away, "route", "add", "10.0.0.0/24", "via", "10.9.0.1")
        tracer = start("--dst", DST, "--probe", probe)
        truth = generate("connect", DST, "port=9", netns=away)
        run = tracer.finish()
    forwarded = [event for event in run.events if event["event"] == "forward"]
    assert sum(event["count"] for event in forwarded) >= 1
    assert {(event["proto"], event["via"]) for event in forwarded} == {("tcp", "wan")}
    assert len(run.events) - len(forwarded) == len(truth)


def assert_counted_once(start, probe, away):
    tracer = start("--dst", DST, "--probe", probe)
    truth = send_as_a_container(away)
    assert_same(tracer.finish(), truth)


@pytest.mark.parametrize("bridged", [False, True])
def test_a_namespaces_packets_are_counted_once(start, router, probe, bridged):
    """As those of a container, by a veth."""
    with another(router) as away:
        if bridged:
            add_bridge(router, "inward", "near")
            ip("-n", away, "addr", "add", "10.0.0.9/24", "dev", "out")
        else:
            ip("-n", router, "addr", "add", "10.7.0.1/24", "dev", "inward")
            ip("-n", away, "route", "add", "10.0.0.0/24", "via", "10.7.0.1")
        assert_counted_once(start, probe, away)


def test_a_containers_packets_are_counted_once_on_its_bridge(start, router, probe):
    with another(router) as away:
        add_bridge(router, "inward")
        ip("-n", router, "addr", "add", "10.7.0.1/24", "dev", "br0")
        ip("-n", away, "route", "add", "10.0.0.0/24", "via", "10.7.0.1")
        assert_counted_once(start, probe, away)


def test_what_matches_only_by_this_machines_nat(start, router, probe):
    """Its sender has no event, since it has named another address."""
    with another(router) as away:
        ip("-n", router, "addr", "add", "10.7.0.1/24", "dev", "inward")
        ip("-n", away, "route", "add", "10.96.0.0/16", "via", "10.7.0.1")
        for rule in (
            "add table ip t",
            "add chain ip t in { type nat hook prerouting priority -100 ; }",
            f"add rule ip t in ip daddr 10.96.0.1 dnat to {DST}",
        ):
            ip("netns", "exec", router, "nft", rule)
        tracer = start("--dst", DST, "--probe", probe)
        generate("sendto", "10.96.0.1", "count=4", netns=away)
        run = tracer.finish()
    assert sum(event["count"] for event in run.events) == 4
    for event in run.events:
        assert (event["event"], event["via"], event["process"]) == ("forward", "inward", None)
        assert (event["dst"]["addr"], event["nat"]["dst"]["addr"]) == ("10.96.0.1", DST)


def test_a_containers_packets_over_ipv6_are_counted_once(start, router, probe):
    with another(router) as away:
        for place, device, addr in ((away, "out", "fd07::2"), (router, "inward", "fd07::1")):
            ip("-n", place, "addr", "add", f"{addr}/64", "dev", device, "nodad")
        ip("-n", away, "route", "add", "fd00::/64", "via", "fd07::1")
        ip("netns", "exec", router, "sysctl", "-q", "net.ipv6.conf.all.forwarding=1")
        tracer = start("--dst", "fd00::5", "--probe", probe)
        truth = generate("sendto", "fd00::5", "count=4", netns=away)
        truth += generate("raw_protocol", "fd00::5", netns=away)
        run = tracer.finish()
    assert_same(run, truth)


def send_as_a_container(away):
    ip("netns", "exec", away, "sysctl", "-q", "net.ipv4.ping_group_range=0 0")
    truth = generate("sendto", DST, "count=4", netns=away)
    truth += generate("ping", DST, "count=2", netns=away)
    truth += generate("connect", DST, "port=9", netns=away)
    return truth + generate("raw_tcp", DST, "port=9", netns=away)


def add_bridge(netns, *ports):
    add_link(netns, "br0", "type", "bridge")
    for port in ports:
        ip("-n", netns, "link", "set", port, "master", "br0")
    ip("-n", netns, "link", "set", "br0", "up")


@pytest.mark.parametrize("how", ["tap", "tun"])
def test_what_a_process_writes_into_a_device_is_its_own(start, router, probe, how):
    with guest(router, how) as monitor:
        route_from(router)
        tracer = start("--dst", DST, "--probe", probe)
        send_all(monitor)
        run = tracer.finish()
        assert sums(run.events) == SENT
        for event in run.events:
            assert (event["event"], event["via"]) == ("send", "device")
            assert event["process"]["pid"] == monitor.process.pid
            assert event["process"]["role"] == HELD


def test_what_a_softirq_delivers_is_the_holders(start, router, probe):
    with guest(router, "napi") as monitor:
        route_from(router)
        tracer = start("--dst", DST, "--probe", probe)
        send_all(monitor)
        run = tracer.finish()
        assert sums(run.events) == SENT
        for event in run.events:
            assert (event["event"], event["via"], event["neighbour"]) == ("forward", "swtap", None)
            assert event["process"]["pid"] == monitor.process.pid
            assert event["process"]["role"] == HELD
            assert event["process"]["args"][1] == str(OUTSIDER)
        assert "[swtap" not in run.out


def test_what_waited_for_its_neighbour_is_the_holders(start, router, probe):
    """It is sent when the answer comes, in whatever context."""
    ip("-n", router, "neigh", "flush", "dev", "near")
    ip("-n", router, "neigh", "del", DST, "dev", "near")
    with guest(router, "tap") as monitor:
        route_from(router)
        tracer = start("--dst", DST, "--probe", probe)
        monitor.send("udp", 3)
        run = tracer.finish()
        assert sums(run.events) == {"udp": SENT["udp"]}
        assert {event["process"]["pid"] for event in run.events} == {monitor.process.pid}
        assert {event["process"]["role"] for event in run.events} == {HELD}


@pytest.mark.parametrize("how", ["tap", "napi"])
def test_a_bridged_guest(start, router, probe, how):
    """Its frames go by as they are, and say who sent them."""
    with guest(router, how, mac_of_far(router)) as monitor:
        add_bridge(router, "swtap", "near")
        tracer = start("--dst", DST, "--probe", probe)
        send_all(monitor)
        run = tracer.finish()
        assert sums(run.events) == SENT
        assert {event["process"]["pid"] for event in run.events} == {monitor.process.pid}
        if how == "napi":
            assert {event["via"] for event in run.events} == {"swtap"}
            neighbour = {"addr": None, "mac": MAC}
            assert all(event["neighbour"] == neighbour for event in run.events)


def mac_of_far(router):
    shown = ip("-n", router, "neigh", "show", DST)
    return shown.split("lladdr ")[1].split()[0]


def test_a_guest_of_a_routers_bridge(start, router, probe):
    """The bridge is the incoming device; its port is the guest's, as the bridge has learned."""
    with guest(router, "napi", BRIDGE) as monitor, another(router):
        add_bridge(router, "swtap", "inward")
        ip("-n", router, "link", "set", "br0", "address", BRIDGE)
        ip("-n", router, "addr", "add", "10.8.0.1/24", "dev", "br0")
        ip("-n", router, "neigh", "add", "10.8.0.2", "lladdr", MAC, "dev", "br0")
        tracer = start("--dst", DST, "--probe", probe)
        send_all(monitor)
        run = tracer.finish()
        assert sums(run.events) == SENT
        for event in run.events:
            assert (event["event"], event["via"]) == ("forward", "br0")
            assert event["process"]["pid"] == monitor.process.pid


def test_without_forwarded_packets(start, router, probe):
    with guest(router, "napi") as monitor:
        route_from(router)
        without = start("--dst", DST, "--probe", probe, "--no-forward")
        of_process = start("--dst", DST, "--probe", probe, "-p", str(monitor.process.pid))
        watched = start("--dst", DST, "--probe", probe)
        send_all(monitor)
        runs = [tracer.finish() for tracer in (without, of_process, watched)]
    assert [sums(run.events) for run in runs] == [{}, {}, SENT]
    assert ["packets that are forwarded" in run.err for run in runs] == [True, True, False]
    assert [run.lines[0]["filter"].get("forward") for run in runs] == [None, None, True]
