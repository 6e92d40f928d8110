# SPDX-License-Identifier: Apache-2.0
"""Lists TCP and UDP sockets by sock_diag(7), with one ``struct`` call for each.

The layout is that of include/uapi/linux/inet_diag.h. Addresses and ports are in network byte
order there, the rest is in the machine's own.
"""

import errno
import socket
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from tracer.host.netlink import messages
from tracer.host.netns import interface_of
from tracer.model.address import IPV4_MAPPED, has_zone
from tracer.model.socket import BOUND_INACTIVE, PROTOCOLS, STATES, UNSPECIFIED, Socket

End = tuple[bytes, int]  # an address, 16 bytes in network order (IPv4-mapped for IPv4), a port

# protocols whose sockets :func:`dump` can list; "raw": raw sockets, whose port is their protocol
LISTED: Final = {**PROTOCOLS, "udplite": socket.IPPROTO_UDPLITE, "raw": socket.IPPROTO_RAW}

_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_INET_DIAG_REQ_BYTECODE: Final = 1
_INET_DIAG_PROTOCOL: Final = 10
_NO_COOKIE: Final = b"\xff" * 8  # INET_DIAG_NOCOOKIE, twice
_SO_RCVBUFFORCE: Final = 33
_ANNOUNCEMENTS: Final = 16 << 20  # bytes of announcements that may wait to be read
_DESTROY_GROUPS: Final = 0b1111  # SKNLGRP_INET_TCP_DESTROY to SKNLGRP_INET6_UDP_DESTROY

# struct inet_diag_req_v2: family, protocol, extensions, padding, states; then struct
# inet_diag_sockid: ports, addresses, interface, cookie
_REQUEST: Final = struct.Struct("=BBBxI2s2s16s16sI8s")
# struct inet_diag_msg: family, state, timer, retransmits, the same sockid, then expires, queues,
# uid, inode
_MESSAGE: Final = struct.Struct("=BBBBHH16s16sIQIIIII")

_ntohs: Final = socket.ntohs
_PROTO_NAMES: Final = {number: name for name, number in PROTOCOLS.items()}


def connect() -> socket.socket:
    """Opens a socket for requests in the caller's network namespace. Raises OSError."""
    return messages.connect(_NETLINK_SOCK_DIAG)


def connect_to_destroyed() -> socket.socket:
    """Opens a socket that hears of every TCP and UDP socket that is destroyed there; netlink
    announces nothing else (include/uapi/linux/sock_diag.h). Raises OSError."""
    sock = messages.connect(_NETLINK_SOCK_DIAG, _DESTROY_GROUPS)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ANNOUNCEMENTS)
    except PermissionError:  # without CAP_NET_ADMIN: as many as the system allows
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ANNOUNCEMENTS)
    return sock


def dump(
    sock: socket.socket,
    proto: str,
    version: int,
    states: frozenset[int],
    netns: int,
    *,
    extensions: int = 0,
    bytecode: bytes = b"",
    sport: int = 0,
) -> Iterator[Socket]:
    """Lists the sockets of a protocol and a family (4 or 6) that are in one of ``states``; if
    ``sport`` is given, only those of that local port.

    ``extensions`` is a bit mask of ``1 << (INET_DIAG_… - 1)``. Raises OSError, for example when
    the kernel has no sock_diag for the protocol.
    """
    mask = sum(1 << state for state in states)
    request = _REQUEST.pack(
        _FAMILIES[version], LISTED[proto], extensions, mask,
        sport.to_bytes(2), bytes(2), bytes(16), bytes(16), 0, _NO_COOKIE,
    )  # fmt: skip
    if bytecode:
        request += messages.attribute(_INET_DIAG_REQ_BYTECODE, bytecode)
    for message in messages.dump(sock, _SOCK_DIAG_BY_FAMILY, request):
        yield _decode(sock, message, proto, netns)


def lists_bound_inactive() -> bool:
    """Says whether this kernel can list TCP sockets that are only bound (inet_diag_dump_icsk(),
    since Linux 6.8), by asking for one of our own. Raises OSError."""
    with connect() as sock, socket.socket(socket.AF_INET, socket.SOCK_STREAM) as own:
        own.bind(("", 0))
        rows = dump(sock, "tcp", 4, frozenset({BOUND_INACTIVE}), 0, sport=own.getsockname()[1])
        return len(list(rows)) > 0


def find(
    sock: socket.socket,
    proto: str,
    local: End,
    remote: End,
    ifindex: int,
    cookie: int | None,
    netns: int,
) -> Socket | None:
    """Finds the socket that a packet from ``remote`` to ``local`` would reach by the device with
    that number (0: any). None if there is none, or if its cookie is not ``cookie``. Raises OSError
    for any other failure."""
    version = 4 if IPV4_MAPPED in (local[0][:12], remote[0][:12]) else 6
    ends = [
        (_wire_address(address, version), port.to_bytes(2)) for address, port in (local, remote)
    ]
    if proto == "udp":  # udp_dump_one() takes the packet's view
        ends.reverse()
    (src, sport), (dst, dport) = ends
    asked = _NO_COOKIE if cookie is None else struct.pack("=Q", cookie)
    request = _REQUEST.pack(
        _FAMILIES[version], PROTOCOLS[proto], 0, 0, sport, dport, src, dst, ifindex, asked
    )
    try:
        return _decode(sock, messages.ask(sock, _SOCK_DIAG_BY_FAMILY, request), proto, netns)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESTALE):
            return None
        raise


def destroyed(sock: socket.socket, netns: int) -> Iterator[Socket]:
    """Yields what one read of a socket of :func:`connect_to_destroyed` reports; holders, queues
    and state mean nothing by then. Raises OSError: ENOBUFS if some were missed."""
    for message in messages.messages(sock.recv(messages.LARGEST_READ)):
        read, start, end = message
        protocol = messages.attributes(read[start + _MESSAGE.size : end])[_INET_DIAG_PROTOCOL]
        if protocol[0] in _PROTO_NAMES:
            yield _decode(sock, message, _PROTO_NAMES[protocol[0]], netns)


def _wire_address(address: bytes, version: int) -> bytes:
    """Returns an address as a request of its family has it: IPv4 in the first four bytes."""
    return address[12:] + bytes(12) if version == 4 else address


def _decode(sock: socket.socket, message: messages.Message, proto: str, netns: int) -> Socket:
    read, start, end = message
    (
        family, state, _, _, sport, dport, src, dst, ifindex, cookie,
        _, recv_q, send_q, uid, inode,
    ) = _MESSAGE.unpack_from(read, start)  # fmt: skip
    peer = _text(family, dst)
    return Socket(
        proto,
        STATES[state],
        recv_q,
        send_q,
        _text(family, src),
        _ntohs(sport) or None,
        None if peer in UNSPECIFIED else peer,
        _ntohs(dport) or None,
        uid if inode else None,
        inode or None,
        cookie,
        4 if family == socket.AF_INET else 6,
        ifindex,
        netns,
        read[start + _MESSAGE.size : end],
        *(_zones(sock, src, dst, ifindex) if ifindex and family == socket.AF_INET6 else ()),
    )


def _zones(
    sock: socket.socket, src: bytes, dst: bytes, ifindex: int
) -> tuple[str | None, str | None]:
    """Returns the zones of both ends: a socket with a link-local address is bound to its device."""
    local, remote = has_zone(src), has_zone(dst)
    name = interface_of(sock, ifindex) if local or remote else None
    return name if local else None, name if remote else None


@lru_cache(maxsize=4096)
def _text(family: int, raw: bytes) -> str:
    if family == socket.AF_INET:
        return socket.inet_ntop(family, raw[:4])
    if raw[:12] == IPV4_MAPPED:
        return socket.inet_ntop(socket.AF_INET, raw[12:])
    return socket.inet_ntop(family, raw)
