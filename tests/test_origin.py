# SPDX-License-Identifier: Apache-2.0
"""Where forwarded packets came from, on devices that are made up; against a real kernel, see
native/test_forward.py."""

import contextlib
from ipaddress import ip_address

import pytest

from tests.samples import flow_record
from tracer.host.netlink.devices import Link
from tracer.model.address import IPV4_MAPPED
from tracer.model.flow import Neighbour, Origin
from tracer.trace import origin
from tracer.trace.origin import Origins

SRC = ip_address("192.168.1.7")
MAC = bytes.fromhex("020000000007")
FRAME = MAC + bytes(10)  # as the record has it
THERE = Neighbour(SRC, "02:00:00:00:00:07")

HARDWARE, TAP = Link(2, "eth0", None), Link(5, "tap0", "tun")
VETH, OTHER = Link(3, "veth1", "veth"), Link(4, "veth2", "veth")


def on(link, bridge=9):
    return link._replace(master=bridge)


BRIDGE = Link(9, "br0", "bridge")


class Machine:
    """What the kernel would say."""

    def __init__(self, monkeypatch):
        self.links = []
        self.neighbours = {}  # (device, address): mac
        self.ports = {}  # (bridge, mac): port
        self.listed = 0
        monkeypatch.setattr(origin.devices, "connect", contextlib.nullcontext)
        monkeypatch.setattr(origin.devices, "links", self._links)
        monkeypatch.setattr(
            origin.neighbours, "ethernet_address", lambda _, *key: self.neighbours.get(key)
        )
        monkeypatch.setattr(origin.neighbours, "addresses", self._addresses)
        monkeypatch.setattr(origin.neighbours, "bridge_port", lambda _, *key: self.ports.get(key))
        monkeypatch.setattr(
            origin.open_files, "find", lambda: origin.open_files.OpenFiles({}, [], [], [], {})
        )
        monkeypatch.setattr(origin.tun, "holders", lambda _, name, inode: [name, inode])

    def _links(self, _):
        self.listed += 1
        return self.links

    def _addresses(self, _, device, mac):
        return [addr for (at, addr), one in self.neighbours.items() if (at, one) == (device, mac)]

    def find(self, iif, *, oif=2, thread=bytes(16), skip=False):
        record = flow_record(
            iif=iif, oif=oif, netns=7, saddr=IPV4_MAPPED + SRC.packed, thread=thread
        )
        return Origins().find(record, skip_lookups=skip)


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch)


def test_another_machine(machine):
    machine.links, machine.neighbours = [HARDWARE], {(2, SRC): MAC}
    assert machine.find(2) == (Origin("eth0", THERE, sent_here=False), [])
    assert machine.find(2, skip=True) == (Origin("eth0", None, sent_here=False), [])


def test_a_source_that_is_no_neighbour(machine):
    """The frame of a routed packet is this machine's own."""
    machine.links = [HARDWARE]
    assert machine.find(2, thread=FRAME).origin == Origin("eth0", None, sent_here=False)
    machine.links = [on(HARDWARE), TAP]  # a port, from which it is routed
    assert machine.find(2, oif=5, thread=FRAME).origin.neighbour is None


def test_a_device_that_is_gone(machine):
    assert machine.find(2) == (Origin(None, None, None), [])


def test_the_holder_of_a_tap(machine):
    machine.links = [TAP]
    assert machine.find(5) == (Origin("tap0", None, sent_here=False), ["tap0", 7])


@pytest.mark.parametrize(
    ("links", "iif", "sent_here"),
    [
        ([VETH], 3, True),
        ([BRIDGE, on(VETH), on(OTHER)], 9, True),
        ([BRIDGE, on(VETH), on(HARDWARE)], 9, None),
        ([BRIDGE, on(HARDWARE), on(TAP)], 9, False),
        ([BRIDGE], 9, None),  # its ports are gone
        ([Link(8, "veth1.5", "vlan", lower=3), VETH], 8, True),
        ([Link(8, "eth0.5", "vlan", lower=2), HARDWARE], 8, False),
        ([Link(8, "mine", "macvlan", lower=9), BRIDGE, on(VETH)], 8, True),
        ([Link(8, "vrf0", "vrf"), on(HARDWARE, 8)], 8, False),
    ],
)
def test_what_was_sent_on_this_machine(machine, links, iif, sent_here):
    machine.links = links
    assert machine.find(iif).origin.sent_here is sent_here


def test_the_port_of_a_bridge(machine):
    """By which the neighbour comes, as the bridge has learned."""
    machine.links = [BRIDGE, on(VETH), on(HARDWARE), on(TAP)]
    machine.neighbours = {(9, SRC): MAC}
    for port, sent_here, holders in ((3, True, []), (2, False, []), (5, False, ["tap0", 7])):
        machine.ports = {(9, MAC): port}
        assert machine.find(9, skip=True) == (Origin("br0", THERE, sent_here), holders)


def test_a_bridged_frame_says_who_sent_it(machine):
    machine.links = [BRIDGE, on(HARDWARE), on(TAP)]
    unknown = Neighbour(None, "02:00:00:00:00:07")
    assert machine.find(2, oif=5, thread=FRAME).origin.neighbour == unknown
    machine.neighbours = {(9, SRC): MAC}
    assert machine.find(2, oif=5, thread=FRAME).origin.neighbour == THERE
    router = ip_address("192.168.1.1")
    machine.neighbours = {(9, router): MAC}
    assert machine.find(2, oif=5, thread=FRAME).origin.neighbour == THERE._replace(addr=router)
    machine.neighbours[9, ip_address("192.168.1.2")] = MAC
    assert machine.find(2, oif=5, thread=FRAME).origin.neighbour == unknown


def test_devices_are_listed_now_and_then_and_remembered(machine, monkeypatch):
    origins = Origins()
    machine.links = [VETH]
    record = flow_record(iif=3, netns=7)
    for _ in range(3):
        assert origins.find(record, skip_lookups=True).origin.device == "veth1"
    assert machine.listed == 1
    machine.links = [OTHER]
    monkeypatch.setattr(origin, "_SOON", 0)
    assert origins.find(record._replace(iif=4), skip_lookups=True).origin.device == "veth2"
    assert origins.find(record, skip_lookups=True).origin.device == "veth1"
    assert machine.listed == 2
