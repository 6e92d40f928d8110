# SPDX-License-Identifier: Apache-2.0
"""Announcements of devices by themselves; against a real kernel, see native/test_prove.py."""

import struct

from tracer.host.netlink import devices, messages
from tracer.host.netlink.devices import Change, Counters, Link

NEWLINK, DELLINK = 16, 17
AF_UNSPEC, AF_BRIDGE = 0, 7
IFNAME, LINKINFO, STATS64, INFO_KIND = 3, 18, 23, 1
STATS = struct.pack("=24Q", 1, 20, 300, 4000, 5, 6, 7, 8, *range(16))


class Heard:
    """A socket that has heard these messages."""

    def __init__(self, *reads):
        self._reads = list(reads)

    def recv(self, _size):
        if not self._reads:
            raise BlockingIOError
        return self._reads.pop(0)


def announced(kind, *, family=AF_UNSPEC, arphrd=1, info=b"veth\0"):
    payload = struct.pack("=BxHiII", family, arphrd, 9, 0, 0)
    payload += messages.attribute(IFNAME, b"va\0")
    if info:
        payload += messages.attribute(LINKINFO, messages.attribute(INFO_KIND, info))
    payload += messages.attribute(STATS64, STATS)
    return messages.HEADER.pack(16 + len(payload), kind, 0, 0, 0) + payload


def test_a_device_that_comes_and_one_that_goes():
    veth = Link(9, "va", "veth")
    heard = Heard(announced(NEWLINK) + announced(DELLINK))
    assert list(devices.changes(heard)) == [Change(veth, None), Change(veth, Counters(20, 14))]


def test_a_port_that_leaves_its_bridge_has_not_gone():
    assert list(devices.changes(Heard(announced(DELLINK, family=AF_BRIDGE)))) == []


def test_loopback_drops_what_it_receives():
    (change,) = devices.changes(Heard(announced(DELLINK, arphrd=772, info=None)))
    assert change == Change(Link(9, "va", "loopback"), Counters(20, 21))


def test_hardware_has_no_kind():
    (change,) = devices.changes(Heard(announced(NEWLINK, info=None)))
    assert change.link.kind is None
