# SPDX-License-Identifier: Apache-2.0
"""Lists packet sockets, by sock_diag or /proc/net/packet.

Layout: include/uapi/linux/packet_diag.h. Neither says whether a socket bypasses the queue.
"""

import errno
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tracer.host.netlink import messages

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_AF_PACKET: Final = 17
_SHOW_RINGS: Final = 4  # PACKET_SHOW_RING_CFG
_TX_RING: Final = 3  # PACKET_DIAG_TX_RING

_REQUEST: Final = struct.Struct("=BBHII8s")  # struct packet_diag_req
_MESSAGE: Final = struct.Struct("=BBHI8x")  # struct packet_diag_msg: family, type, protocol, inode


class PacketSocket(NamedTuple):
    """A packet socket; ``tx_ring``: it sends from shared memory (None: not known)."""

    inode: int
    tx_ring: bool | None


def sockets() -> list[PacketSocket]:
    """Lists the packet sockets of the caller's network namespace; none where the kernel has no such
    sockets. Raises OSError."""
    try:
        return list(_by_netlink())
    except OSError as error:
        # no CONFIG_PACKET_DIAG: __sock_diag_cmd(), net/core/sock_diag.c; no sock_diag at all
        if error.errno not in (errno.ENOENT, errno.EPROTONOSUPPORT):
            raise
    file = Path("/proc/thread-self/net/packet")
    return list(parse(file.read_text())) if file.exists() else []


def parse(text: str) -> Iterator[PacketSocket]:
    """Decodes /proc/net/packet (packet_seq_show(), net/packet/af_packet.c)."""
    for line in text.splitlines()[1:]:
        yield PacketSocket(int(line.split()[8]), None)


def _by_netlink() -> Iterator[PacketSocket]:
    request = _REQUEST.pack(_AF_PACKET, 0, 0, 0, _SHOW_RINGS, b"\xff" * 8)
    with messages.connect(_NETLINK_SOCK_DIAG) as sock:
        for read, start, end in messages.dump(sock, _SOCK_DIAG_BY_FAMILY, request):
            _, _, _, inode = _MESSAGE.unpack_from(read, start)
            found = messages.attributes(read[start + _MESSAGE.size : end])
            yield PacketSocket(inode, _TX_RING in found)
