# SPDX-License-Identifier: Apache-2.0
"""Exposure where it cannot be tried here: VRFs, datagrams to many, what the kernel does not tell.
tests/native/test_exposure.py compares with real connections."""

import errno
from ipaddress import ip_network

import pyroute2
import pytest

from tests.samples import SOCKET
from tracer.host.netlink import addresses
from tracer.host.netlink.addresses import Delivered
from tracer.inventory import exposure
from tracer.inventory.exposure import Exposure

LISTENING = SOCKET._replace(proto="tcp", state="LISTEN", dst=None, dport=None)
VRF, ETH, LINK_LOCAL = 9, 2, "fe80::1"
DELIVERED = [
    Delivered(ip_network(net), name, ifindex, master, unicast)
    for net, name, ifindex, master, unicast in (
        ("127.0.0.0/8", "lo", 1, 0, True),
        ("127.255.255.255", "lo", 1, 0, False),
        ("10.0.0.1", "eth", ETH, VRF, True),
        ("10.0.0.255", "eth", ETH, VRF, False),
        ("10.0.0.0/16", "lo", 1, 0, True),
        ("::1", "lo", 1, 0, True),
        (LINK_LOCAL, "eth", ETH, VRF, True),
        (LINK_LOCAL, None, 3, 0, True),
    )
]


@pytest.fixture
def of(monkeypatch):
    monkeypatch.setattr(exposure.addresses, "delivered", lambda: DELIVERED)
    monkeypatch.setattr(exposure, "_lets_in_loopback", lambda: False)
    return lambda **changes: [
        (one["addr"], one["interface"]) for one in Exposure().of(LISTENING._replace(**changes))
    ]


def test_the_closest_network_tells_the_interface(of):
    assert of(src="10.0.0.1") == [("10.0.0.1", "eth")]
    assert of(src="10.0.9.9") == [("10.0.9.9", "lo")]
    assert of(src="192.0.2.1") == []


def test_the_wildcard(of):
    four = [("10.0.0.1", "eth"), ("10.0.0.0/16", "lo")]
    assert of(src="0.0.0.0") == four
    assert of(src="::", version=6) == [*four, (LINK_LOCAL, "eth"), (LINK_LOCAL, None)]


@pytest.mark.parametrize(
    ("ifindex", "names"), [(ETH, ["eth"]), (VRF, ["eth"]), (3, [None]), (4, []), (1, [])]
)
def test_a_link_local_address_is_reached_by_its_link(of, ifindex, names):
    for src in (LINK_LOCAL, "::"):
        found = of(src=src, version=6, ifindex=ifindex)
        assert [name for addr, name in found if addr == LINK_LOCAL] == names


@pytest.mark.parametrize(
    ("src", "interface"),
    [("10.0.0.255", "eth"), ("255.255.255.255", None), ("239.1.2.3", None), ("ff02::1", None)],
)
def test_datagrams_to_many(of, src, interface):
    assert of(proto="udp", state="UNCONN", src=src) == [(src, interface)]
    assert of(src="10.0.0.255") == [("10.0.0.255", "lo")]  # no connection to a broadcast


@pytest.mark.parametrize("src", ["127.0.0.1", "127.9.9.9", "::1"])
def test_loopback(of, monkeypatch, src):
    assert of(src=src) == []
    monkeypatch.setattr(exposure, "_lets_in_loopback", lambda: True)
    assert of(src=src) == ([(src, "lo")] if "." in src else [])
    assert of(src=src, ifindex=1) == []


def test_addresses_that_are_not_told(of, monkeypatch):
    def refuse():
        raise OSError

    monkeypatch.setattr(exposure.addresses, "delivered", refuse)
    assert of(src="192.0.2.1") == [("192.0.2.1", None)]
    assert of(src="::") == [("::", None)]
    assert of(src="127.0.0.1") == []


def test_a_refusal_is_an_oserror(monkeypatch):
    class Refusing:
        def __init__(self, **_):
            raise pyroute2.NetlinkError(errno.EPERM, "no")

    monkeypatch.setattr(pyroute2, "IPRoute", Refusing)
    with pytest.raises(PermissionError):
        addresses.delivered()


@pytest.mark.parametrize(
    ("devices", "lets_in"), [({"all": "0", "eth": "0"}, False), ({"all": "0", "eth": "1"}, True),
                             ({"all": "1", "eth": "0"}, True), ({"all": "what"}, True), ({}, True)],
)  # fmt: skip
def test_route_localnet_of_any_device(monkeypatch, tmp_path, devices, lets_in):
    monkeypatch.setattr(exposure, "_DEVICES", tmp_path)
    for name, value in devices.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "route_localnet").write_text(f"{value}\n")
    assert exposure._lets_in_loopback() is lets_in


@pytest.mark.parametrize(
    "changes", [{"state": "ESTAB", "dst": "10.0.0.5"}, {"sport": None}, {"state": "CLOSE-WAIT"}]
)
def test_what_does_not_listen(of, changes):
    assert of(**{"src": "10.0.0.1", **changes}) == []
