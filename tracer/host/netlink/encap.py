# SPDX-License-Identifier: Apache-2.0
"""Lists the routes that wrap packets in others (lightweight tunnels, lwtunnel(7) of iproute2).

Constants are from include/uapi/linux/rtnetlink.h and lwtunnel.h. A router has a million routes, so
this uses ``struct`` and not pyroute2.
"""

import errno
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Final, NamedTuple

from tracer.host.netlink import messages
from tracer.model.address import Address, Network, address

_NETLINK_ROUTE: Final = 0
_RTM_GETROUTE: Final = 26
_RTM_GETNEXTHOP: Final = 106
_RTMSG: Final = struct.Struct("=BBBBBBBBI")  # struct rtmsg: family, bits of the destination, …
_NHMSG: Final = struct.Struct("=BBBBI")  # struct nhmsg
_RTNEXTHOP: Final = struct.Struct("=HBBi")  # struct rtnexthop: its length with attributes
_RTA_DST: Final = 1
_RTA_MULTIPATH: Final = 9
_RTA_ENCAP_TYPE: Final = 21
_RTA_ENCAP: Final = 22
_NHA_ENCAP_TYPE: Final = 7
_NHA_ENCAP: Final = 8
_DST: Final = 2  # LWTUNNEL_IP_DST, LWTUNNEL_IP6_DST
_SRH: Final = 1  # SEG6_IPTUNNEL_SRH
_SEGMENTS: Final = 12  # struct seg6_iptunnel_encap and struct ipv6_sr_hdr before the first one

# enum lwtunnel_encap_types
_KINDS: Final = {
    1: "mpls", 2: "ip", 3: "ila", 4: "ip6", 5: "seg6", 6: "bpf", 7: "seg6local", 8: "rpl",
    9: "ioam6", 10: "xfrm",
}  # fmt: skip
_INNER_KEPT: Final = frozenset({"mpls"})  # the packet goes on as it is, below other headers


class Encap(NamedTuple):
    """A route, or a nexthop that routes share: the destinations that it takes (None: those of its
    routes), how it wraps, and the addresses on the wire: None if they cannot be known."""

    kind: str
    net: Network | None
    ends: tuple[Address, ...] | None


def encaps() -> list[Encap]:
    """Lists those of the caller's network namespace. Raises OSError."""
    found: dict[Encap, None] = {}
    with messages.connect(_NETLINK_ROUTE) as sock:
        for family in (socket.AF_INET, socket.AF_INET6):
            request = _RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
            for read, start, end in messages.dump(sock, _RTM_GETROUTE, request):
                found |= dict.fromkeys(of_route(read[start:end]))
        try:
            for read, start, end in messages.dump(
                sock, _RTM_GETNEXTHOP, _NHMSG.pack(0, 0, 0, 0, 0)
            ):
                found |= dict.fromkeys(of_nexthop(read[start:end]))
        except OSError as error:  # before Linux 5.3: rtnetlink_rcv_msg(), net/core/rtnetlink.c
            if error.errno != errno.EOPNOTSUPP:
                raise
    return list(found)


def of_route(message: bytes) -> Iterator[Encap]:
    """Decodes a route of IPv4 or IPv6, with all its nexthops."""
    family, bits, *_ = _RTMSG.unpack_from(message)
    found = messages.attributes(message[_RTMSG.size :])
    for hop in (found, *_hops(found.get(_RTA_MULTIPATH, b""))):
        if _RTA_ENCAP in hop:
            size = 4 if family == socket.AF_INET else 16
            net = ip_network((found.get(_RTA_DST, bytes(size)), bits), strict=False)
            yield _encap(hop[_RTA_ENCAP_TYPE], hop[_RTA_ENCAP], net)


def of_nexthop(message: bytes) -> Iterator[Encap]:
    """Decodes a nexthop that routes share (``ip nexthop``)."""
    found = messages.attributes(message[_NHMSG.size :])
    if _NHA_ENCAP in found:
        yield _encap(found[_NHA_ENCAP_TYPE], found[_NHA_ENCAP], None)


def _encap(number: bytes, raw: bytes, net: Network | None) -> Encap:
    (of_kind,) = struct.unpack("=H", number)
    kind = _KINDS.get(of_kind, str(of_kind))
    return Encap(kind, net, _ends(kind, messages.attributes(raw)))


def _ends(kind: str, found: dict[int, bytes]) -> tuple[Address, ...] | None:
    if kind in _INNER_KEPT:
        return ()
    if kind in ("ip", "ip6"):
        to = address(found.get(_DST, b""))
        return (to,) if to else None
    if kind == "seg6" and _SRH in found:
        segments = found[_SRH][_SEGMENTS:]
        ends = [address(segments[at : at + 16]) for at in range(0, len(segments) - 15, 16)]
        return tuple(end for end in ends if end)
    return None


def _hops(raw: bytes) -> Iterator[dict[int, bytes]]:
    at = 0
    while at + _RTNEXTHOP.size <= len(raw):
        length, *_ = _RTNEXTHOP.unpack_from(raw, at)
        if length < _RTNEXTHOP.size:
            return
        yield messages.attributes(raw[at + _RTNEXTHOP.size : at + length])
        at += (length + 3) & ~3
