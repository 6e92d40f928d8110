# SPDX-License-Identifier: Apache-2.0
"""Asks the kernel which route it would use, as ``ip route get`` does.

A tracer asks for the route of every new flow, so this uses ``struct`` and not pyroute2, for the
reasons that :mod:`tracer.host.netlink.messages` gives. Constants are from
include/uapi/linux/rtnetlink.h; what is read of a request, inet_rtm_getroute() and
inet6_rtm_getroute().
"""

import contextlib
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from tracer.host.netlink import messages
from tracer.host.netns import interface
from tracer.model.address import Address, address, has_zone
from tracer.model.flow import Bound, Endpoint, Route, RouteKey
from tracer.model.socket import PROTOCOLS

_NETLINK_ROUTE: Final = 0
_RTM_GETROUTE: Final = 26
_RTA_DST: Final = 1
_RTA_SRC: Final = 2
_RTA_OIF: Final = 4
_RTA_GATEWAY: Final = 5
_RTA_PREFSRC: Final = 7
_RTA_TABLE: Final = 15
_RTA_MARK: Final = 16
_RTA_VIA: Final = 18  # a gateway of the other family: struct rtvia, family and address
_RTA_UID: Final = 25
_RTA_IP_PROTO: Final = 27
_RTA_SPORT: Final = 28
_RTA_DPORT: Final = 29

# struct rtmsg: family, lengths of destination and source in bits; flags come last
_RTMSG: Final = struct.Struct("=BBBBBBBBI")
_LOOKUP_TABLE: Final = 0x1000  # RTM_F_LOOKUP_TABLE: tell the table that it was found in


class _Answer(NamedTuple):
    """``table`` is 0 where the kernel has no route by the device that it is asked for, and takes
    the destination to be on its link."""

    oif: int
    gateway: Address | None
    source: Address | None
    table: int


_Question = tuple[Address | None, int]  # a source address, and a device (its number; 0: any)


def get(proto: str | None, src: Endpoint, dst: Endpoint, key: RouteKey) -> Route | None:
    """Returns the route that a socket's packets from ``src`` to ``dst`` take, in the caller's
    network namespace; None if that cannot be known. ``proto`` None: the kernel did not look at
    ports. Raises OSError if there is no route."""
    to = dst.addr
    assert to is not None
    if not key.oif and (to.is_multicast or has_zone(to.packed)):
        return None  # the socket has chosen a device (IP_MULTICAST_IF), and no packet shows which
    flow = _flow_attributes(proto, src.port, dst.port, key)
    first, *others = _questions(src.addr, to, key)
    left_by = 0 if has_zone(to.packed) else key.oif  # a zone is no device that it left by
    with messages.connect(_NETLINK_ROUTE) as sock:
        answer = _chosen(lambda one: _ask(sock, to, one, flow), first, others, left_by)
    device = interface(answer.oif) if answer else None
    if answer is None or device is None:
        return None
    return Route(device, answer.gateway, src.addr or answer.source)


def _questions(src: Address | None, dst: Address, key: RouteKey) -> list[_Question]:
    """Returns first what the kernel asked itself if the socket says all; then what it may have
    asked if a message named a source or a device (IP_PKTINFO), or the socket a device for multicast
    (IP_MULTICAST_IF)."""
    bound = key.oif if Bound.DEVICE in key.bound or has_zone(dst.packed) else 0
    # IPv4 looks for the route of a socket without an address before it has one
    unbound = dst.version == 4 and Bound.ADDRESS not in key.bound
    first = None if unbound else src, bound
    return list(dict.fromkeys((first, (src, bound), (src, key.oif), (None, key.oif))))


def _chosen(
    ask: Callable[[_Question], _Answer], first: _Question, others: Iterable[_Question], oif: int
) -> _Answer | None:
    """Returns the answer that the packet bears out: it left by the device ``oif`` (0: not known).
    None if several do that differ. Raises OSError if there is no route."""
    if not oif:
        return ask(first)
    answers: list[_Answer] = []
    for question in (first, *others):
        with contextlib.suppress(OSError):
            answers.append(ask(question))
        if question == first and answers and answers[0].oif == oif:
            return answers[0]
    borne_out = [answer for answer in answers if answer.oif == oif]
    found = [answer for answer in borne_out if answer.table] or borne_out
    return found[0] if len({answer.gateway for answer in found}) == 1 else None


def _flow_attributes(
    proto: str | None, sport: int | None, dport: int | None, key: RouteKey
) -> bytes:
    """Encodes what stays the same. The kernel takes no protocol but TCP, UDP and ICMP
    (rtm_getroute_parse_ip_proto()), and ports of these only."""
    found = messages.attribute(_RTA_UID, struct.pack("=I", key.uid))
    found += messages.attribute(_RTA_MARK, struct.pack("=I", key.mark))
    if proto not in PROTOCOLS:
        return found
    found += messages.attribute(_RTA_IP_PROTO, struct.pack("=B", PROTOCOLS[proto]))
    for kind, port in ((_RTA_SPORT, sport), (_RTA_DPORT, dport)):
        if port:
            found += messages.attribute(kind, port.to_bytes(2))
    return found


def _ask(sock: socket.socket, dst: Address, question: _Question, flow: bytes) -> _Answer:
    src, oif = question
    family = socket.AF_INET if dst.version == 4 else socket.AF_INET6
    bits = dst.max_prefixlen
    request = _RTMSG.pack(family, bits, bits if src else 0, 0, 0, 0, 0, 0, _LOOKUP_TABLE)
    request += messages.attribute(_RTA_DST, dst.packed) + flow
    if src:
        request += messages.attribute(_RTA_SRC, src.packed)
    if oif:
        request += messages.attribute(_RTA_OIF, struct.pack("=I", oif))
    read, start, end = messages.ask(sock, _RTM_GETROUTE, request)
    found = messages.attributes(read[start + _RTMSG.size : end])
    (device,) = struct.unpack("=I", found[_RTA_OIF])
    gateway = found.get(_RTA_GATEWAY) or found.get(_RTA_VIA, b"")[2:]
    (table,) = struct.unpack("=I", found[_RTA_TABLE])
    return _Answer(device, address(gateway), address(found.get(_RTA_PREFSRC, b"")), table)
