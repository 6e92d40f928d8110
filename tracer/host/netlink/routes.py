# SPDX-License-Identifier: Apache-2.0
"""Asks the kernel which route it would use, as ``ip route get`` does.

A tracer asks for the route of every new flow, so this uses ``struct`` and not pyroute2, for the
reasons that :mod:`tracer.host.netlink.messages` gives. Constants are from
include/uapi/linux/rtnetlink.h.
"""

import socket
import struct
from typing import Final

from tracer.host.netlink import messages
from tracer.model.address import Address, address
from tracer.model.flow import Route

_NETLINK_ROUTE: Final = 0
_RTM_GETROUTE: Final = 26
_RTA_DST: Final = 1
_RTA_OIF: Final = 4
_RTA_GATEWAY: Final = 5
_RTA_PREFSRC: Final = 7
_RTA_MARK: Final = 16
_RTA_VIA: Final = 18  # a gateway of the other family: struct rtvia, family and address

# struct rtmsg: family, lengths of destination and source in bits; the rest is 0 in a request
_RTMSG: Final = struct.Struct("=BBBBBBBBI")


def get(dst: Address, ifindex: int = 0, mark: int = 0) -> Route:
    """Returns the route to ``dst`` in the caller's network namespace, for a socket that is bound
    to a device (its number) or marked. Raises OSError if there is none."""
    family = socket.AF_INET if dst.version == 4 else socket.AF_INET6
    request = _RTMSG.pack(family, dst.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    request += messages.attribute(_RTA_DST, dst.packed)
    if ifindex:
        request += messages.attribute(_RTA_OIF, struct.pack("=I", ifindex))
    if mark:
        request += messages.attribute(_RTA_MARK, struct.pack("=I", mark))
    with messages.connect(_NETLINK_ROUTE) as sock:
        read, start, end = messages.ask(sock, _RTM_GETROUTE, request)
    found = messages.attributes(read[start + _RTMSG.size : end])
    (device,) = struct.unpack("=I", found[_RTA_OIF])
    gateway = found.get(_RTA_GATEWAY) or found.get(_RTA_VIA, b"")[2:]
    return Route(
        socket.if_indextoname(device), address(gateway), address(found.get(_RTA_PREFSRC, b""))
    )
