# SPDX-License-Identifier: Apache-2.0
"""The neighbours of a network device, and the ports of a bridge, by rtnetlink(7).

On a plain socket, as :mod:`tracer.host.netlink.devices`, of whose namespace they are. Layouts are
those of include/uapi/linux/neighbour.h, in the machine's own byte order.
"""

import contextlib
import socket
import struct
from typing import Final

from tracer.host.netlink import messages
from tracer.model.address import Address, address

_RTM_GETNEIGH: Final = 30
_NDA_DST: Final = 1
_NDA_LLADDR: Final = 2
_NDA_MASTER: Final = 9
_NDMSG: Final = struct.Struct("=BxxxIHBB")  # family, device, state, flags, type
_NUD_KNOWN: Final = 0xDE  # NUD_VALID, include/net/neighbour.h: it has an address


def ethernet_address(sock: socket.socket, ifindex: int, addr: Address) -> bytes | None:
    """Returns the Ethernet address of a device's neighbour; None if the kernel knows no such one
    (neigh_get(), net/core/neighbour.c). Raises OSError."""
    family = socket.AF_INET if addr.version == 4 else socket.AF_INET6
    request = _NDMSG.pack(family, ifindex, 0, 0, 0) + messages.attribute(_NDA_DST, addr.packed)
    found = _ask(sock, request)
    return _known(found) if found else None


def addresses(sock: socket.socket, ifindex: int, mac: bytes) -> list[Address]:
    """Returns the IP addresses of a device's neighbour. Raises OSError."""
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        for one in messages.dump(sock, _RTM_GETNEIGH, _NDMSG.pack(family, 0, 0, 0, 0)):
            addr = address(_attributes(one).get(_NDA_DST, b""))
            if addr and _device(one) == ifindex and _known(one) == mac:
                found.append(addr)
    return found


def bridge_port(sock: socket.socket, bridge: int, mac: bytes) -> int | None:
    """Returns the number of the port that a bridge has learned an address at; None if it has not
    (rtnl_fdb_get(), net/core/rtnetlink.c). Raises OSError."""
    request = _NDMSG.pack(socket.AF_BRIDGE, 0, 0, 0, 0)
    request += messages.attribute(_NDA_LLADDR, mac)
    request += messages.attribute(_NDA_MASTER, struct.pack("=I", bridge))
    found = _ask(sock, request)
    return _device(found) if found else None


def _ask(sock: socket.socket, request: bytes) -> messages.Message | None:
    with contextlib.suppress(FileNotFoundError):
        return messages.ask(sock, _RTM_GETNEIGH, request)
    return None


def _device(message: messages.Message) -> int:
    read, start, _ = message
    return int(_NDMSG.unpack_from(read, start)[1])


def _known(message: messages.Message) -> bytes | None:
    read, start, _ = message
    _, _, state, _, _ = _NDMSG.unpack_from(read, start)
    mac = _attributes(message).get(_NDA_LLADDR, b"")
    return mac if state & _NUD_KNOWN and any(mac) else None


def _attributes(message: messages.Message) -> dict[int, bytes]:
    read, start, end = message
    return messages.attributes(read[start + _NDMSG.size : end])
