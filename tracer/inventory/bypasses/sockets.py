# SPDX-License-Identifier: Apache-2.0
"""Sockets that the hooks do not see, or in part: packet, AF_XDP, raw, ping, other protocols."""

import socket
from collections.abc import Iterator
from typing import Final, NamedTuple

from tracer.host import socket_copy
from tracer.host.netlink import packet_diag
from tracer.host.open_files import OpenFile
from tracer.inventory.bypasses.bypass import Way
from tracer.inventory.bypasses.here import Here, Machine, owners, read

_NOT_KNOWN: Final = "packet socket, which may bypass the queue or not"


class Kind(NamedTuple):
    """A kind of socket that nothing lists: ``lines`` are its names in /proc/net/protocols. It is
    told by its address family or its protocol. ``own`` is how many each namespace has for the
    kernel alone; None: the kernel does not count them (no sock_prot_inuse_add())."""

    kind: str
    words: str
    lines: tuple[str, ...]
    family: int | None = None
    protocol: int | None = None
    own: int | None = 0
    proto: str | None = None

    def has(self, family: int, protocol: int) -> bool:
        """Says whether a socket is of this kind."""
        return family == self.family or protocol == self.protocol


# families: include/linux/socket.h; protocols: include/uapi/linux/in.h
KINDS: Final = (
    Kind("af_xdp", "AF_XDP socket", ("XDP",), family=44),
    Kind("smc", "SMC socket", ("SMC", "SMC6"), family=43, protocol=256, proto="tcp"),
    Kind("rds", "RDS socket", ("RDS",), family=21, own=None),
    Kind("tipc", "TIPC socket", ("TIPC",), family=30, own=None),
    Kind("mptcp", "MPTCP socket", ("MPTCP", "MPTCPv6"), protocol=262, proto="tcp"),
    # each namespace has one to answer with: see sctp_ctl_sock_init(), net/sctp/protocol.c
    Kind("sctp", "SCTP socket", ("SCTP", "SCTPv6"), protocol=132, own=1, proto="sctp"),
    Kind("dccp", "DCCP socket", ("DCCP", "DCCPv6"), protocol=33, own=None, proto="dccp"),
    Kind("l2tp", "L2TP socket", ("L2TP/IP", "L2TP/IPv6"), protocol=115, own=None, proto="l2tp"),
    Kind("ppp", "PPTP, L2TP or PPPoE socket", ("PPTP", "PPPOL2TP"), family=24, own=None),
)


def packet_sockets(here: Here) -> Iterator[Way]:
    """Finds packet sockets: those that bypass the queue, that send from a ring, and others."""
    for found in packet_diag.sockets():
        by = here.machine.holders(found.inode)
        bypasses = _bypasses(here.machine, found.inode)
        if bypasses is None:
            yield Way("qdisc_bypass", _NOT_KNOWN, by, here.netns)
        elif bypasses:
            yield Way("qdisc_bypass", "packet socket with QDISC_BYPASS", by, here.netns)
        elif found.tx_ring is not False:
            what = (
                "packet socket with TX_RING" if found.tx_ring else "packet socket, TX_RING or not"
            )
            yield Way("packet_ring", what, by, here.netns)
        else:
            yield Way("packet_socket", "packet socket", by, here.netns)


def _bypasses(machine: Machine, inode: int) -> bool | None:
    """Asks a copy of the socket; None if it cannot be had, or nobody is found that holds it."""
    for holder in machine.opened.sockets.get(inode, ()):
        try:
            with socket_copy.copied(holder) as sock:
                if socket_copy.inode(sock) == inode:
                    return socket_copy.bypasses_queue(sock)
        except OSError:
            continue
    return None


def raw_sockets(here: Here) -> Iterator[Way]:
    """Finds raw IP sockets. Whatever its protocol, one may send others (IP_HDRINCL)."""
    for name in ("raw", "raw6"):
        for protocol, inode in parse(read(name)):
            named = "" if protocol == socket.IPPROTO_RAW else f", protocol {protocol}"
            by = here.machine.holders(inode)
            yield Way("raw_socket", f"raw socket{named}", by, here.netns)


def ping_sockets(here: Here) -> Iterator[Way]:
    """Finds ICMP datagram sockets, from their first packet on (ping_get_port(), net/ipv4/ping.c):
    one that has sent nothing yet is not listed."""
    for name, proto in (("icmp", "icmp"), ("icmp6", "ipv6-icmp")):
        for _, inode in parse(read(name)):
            by = here.machine.holders(inode)
            yield Way("ping_socket", "ping socket", by, here.netns, None, proto)


def parse(text: str) -> Iterator[tuple[int, int]]:
    """Yields the local port (a raw socket's protocol) and the inode of each line of /proc/net/raw
    and its like (raw_sock_seq_show(), net/ipv4/raw.c)."""
    for line in text.splitlines()[1:]:
        fields = line.split()
        yield int(fields[1].rpartition(":")[2], 16), int(fields[9])


def other_sockets(here: Here) -> Iterator[Way]:
    """Finds sockets of KINDS: by looking at every process's, where the kernel has any such."""
    counts = counted(read("protocols"))
    for kind in KINDS:
        lines = [counts[line] for line in kind.lines if line in counts]
        total = sum(max(count, 0) for count in lines)
        if not lines or (kind.own is not None and total <= kind.own):
            continue
        found = [
            held.by
            for held in here.machine.sockets
            if held.netns == here.netns and kind.has(held.family, held.protocol)
        ]
        for by in found:
            yield _way(kind, here.netns, by)
        if kind.own is not None and total - kind.own > len(found):
            missing = total - kind.own - len(found)
            what = f"{missing} {kind.words}{'s' if missing > 1 else ''}"
            yield Way(kind.kind, what, None, here.netns, None, kind.proto)


def _way(kind: Kind, netns: int, by: OpenFile) -> Way:
    return Way(kind.kind, kind.words, owners([by]), netns, None, kind.proto)


def counted(text: str) -> dict[str, int]:
    """Decodes /proc/net/protocols (proto_seq_printf(), net/core/sock.c): how many sockets of each
    name are in the namespace, -1 where that is not counted."""
    rows = (line.split() for line in text.splitlines()[1:])
    return {fields[0]: int(fields[2]) for fields in rows if len(fields) > 2}
