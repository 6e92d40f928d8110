# SPDX-License-Identifier: Apache-2.0
"""The network devices of a namespace, and how much each has sent, by rtnetlink(7).

On a plain socket, unlike other questions about devices: a counter is read while packets are sent,
and each microsecond that it takes leaves it less certain. Layouts are those of
include/uapi/linux/rtnetlink.h and if_link.h, in the machine's own byte order.
"""

import socket
import struct
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

from tracer.host.netlink import messages

_NETLINK_ROUTE: Final = 0
_RTM_NEWLINK: Final = 16
_RTM_DELLINK: Final = 17
_RTM_GETLINK: Final = 18
_RTM_GETSTATS: Final = 94
_RTNLGRP_LINK: Final = 1  # as a bit mask, too
_IFLA_IFNAME: Final = 3
_IFLA_LINK: Final = 5
_IFLA_MASTER: Final = 10
_IFLA_LINKINFO: Final = 18
_IFLA_STATS64: Final = 23
_IFLA_EXT_MASK: Final = 29
_IFLA_LINK_NETNSID: Final = 37
_IFLA_INFO_KIND: Final = 1
_SKIP_STATS: Final = struct.pack("=I", 1 << 3)  # RTEXT_FILTER_SKIP_STATS
_STATS_LINK_64: Final = 1  # IFLA_STATS_LINK_64, and its bit in a request's mask
_LOOPBACK: Final = 772  # ARPHRD_LOOPBACK, include/uapi/linux/if_arp.h
_SO_NETNS_COOKIE: Final = 71
_SO_RCVBUFFORCE: Final = 33
_ANNOUNCEMENTS: Final = 4 << 20  # bytes of announcements that may wait to be read

_IFINFOMSG: Final = struct.Struct("=BxHiII")  # family, type, number, flags, change
_IF_STATS_MSG: Final = struct.Struct("=BxxxII")  # family, number, mask
# struct rtnl_link_stats64: packets, bytes, errors, dropped, received and sent in turn
_STATS: Final = struct.Struct("=8Q")


class Link(NamedTuple):
    """A network device. ``kind`` is what ``ip link add … type`` calls it, "loopback", or None for
    hardware and its like. ``master`` is the number of the device that it is a port of, ``lower`` of
    the one that it is on, or joined to; 0: none, or in another namespace."""

    ifindex: int
    name: str
    kind: str | None
    master: int = 0
    lower: int = 0


class Counters(NamedTuple):
    """What a device says of itself: packets that it has sent, and how many it dropped at most (sent
    or, on loopback, received)."""

    packets: int = 0
    dropped: int = 0


class Change(NamedTuple):
    """A device that came, changed, or went (``last``: its counters at the end)."""

    link: Link
    last: Counters | None


def connect() -> socket.socket:
    """Opens a socket for questions about the caller's network namespace, which it keeps alive.
    Raises OSError."""
    return messages.connect(_NETLINK_ROUTE)


def connect_to_changes() -> socket.socket:
    """Opens a socket that hears of devices that come and go. Raises OSError."""
    sock = messages.connect(_NETLINK_ROUTE, _RTNLGRP_LINK)
    sock.setblocking(False)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ANNOUNCEMENTS)
    except PermissionError:  # without CAP_NET_ADMIN: as many as the system allows
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ANNOUNCEMENTS)
    return sock


def netns_cookie(sock: socket.socket) -> int:
    """Returns the number of the namespace that a socket is in, which no other one gets; 0 before
    Linux 5.14 (commit e8b9eab99232)."""
    try:
        cookie = sock.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
    except OSError:
        return 0
    return int.from_bytes(cookie, sys.byteorder)


def links(sock: socket.socket) -> list[Link]:
    """Lists the devices. Raises OSError."""
    request = _IFINFOMSG.pack(0, 0, 0, 0, 0) + messages.attribute(_IFLA_EXT_MASK, _SKIP_STATS)
    return [_link(message)[0] for message in messages.dump(sock, _RTM_GETLINK, request)]


def counters(sock: socket.socket, link: Link) -> Counters:
    """Reads a device's counters (rtnl_stats_get(), net/core/rtnetlink.c). Raises OSError: ENODEV if
    it is gone."""
    request = _IF_STATS_MSG.pack(0, link.ifindex, _STATS_LINK_64)
    read, start, end = messages.ask(sock, _RTM_GETSTATS, request)
    found = messages.attributes(read[start + _IF_STATS_MSG.size : end])
    return _counters(link, found[_STATS_LINK_64])


def changes(sock: socket.socket) -> Iterator[Change]:
    """Yields what a socket of :func:`connect_to_changes` has heard. Of a device that goes, or goes
    to another namespace, the counters are final: it is closed by then
    (unregister_netdevice_many_notify(), net/core/dev.c). Raises OSError: ENOBUFS if some were
    missed."""
    while True:
        try:
            read = sock.recv(messages.LARGEST_READ)
        except BlockingIOError:
            return
        for message in messages.messages(read):
            if message[0][message[1]] != socket.AF_UNSPEC:
                continue  # of a bridge's port, not of the device
            link, stats = _link(message)
            gone = messages.kind_of(message) == _RTM_DELLINK
            yield Change(link, _counters(link, stats) if gone and stats else None)


def _link(message: messages.Message) -> tuple[Link, bytes | None]:
    """Decodes a device, and its counters if they are there."""
    read, start, end = message
    _, arphrd, ifindex, _, _ = _IFINFOMSG.unpack_from(read, start)
    found = messages.attributes(read[start + _IFINFOMSG.size : end])
    info = messages.attributes(found.get(_IFLA_LINKINFO, b""))
    kind = "loopback" if arphrd == _LOOPBACK else _text(info.get(_IFLA_INFO_KIND)) or None
    lower = 0 if _IFLA_LINK_NETNSID in found else _number(found.get(_IFLA_LINK))
    master = _number(found.get(_IFLA_MASTER))
    link = Link(ifindex, _text(found.get(_IFLA_IFNAME)), kind, master, lower)
    return link, found.get(_IFLA_STATS64)


def _counters(link: Link, stats: bytes) -> Counters:
    """loopback_xmit() counts as received what it drops: enqueue_to_backlog(), net/core/dev.c."""
    _, sent, _, _, _, errors, received_dropped, dropped = _STATS.unpack_from(stats)
    return Counters(sent, errors + dropped + received_dropped * (link.kind == "loopback"))


def _number(raw: bytes | None) -> int:
    return int.from_bytes(raw or b"", sys.byteorder)


def _text(raw: bytes | None) -> str:
    return (raw or b"").rstrip(b"\0").decode(errors="backslashreplace")
