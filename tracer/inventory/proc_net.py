# SPDX-License-Identifier: Apache-2.0
"""Reads the same sockets from /proc/net/{tcp,tcp6,udp,udp6}, where sock_diag cannot be used.

What these files lack is None: the cookie, and how many connections may wait at a listening
socket. They do not list bound TCP sockets that neither listen nor connect. Addresses are printed
as words in the machine's own byte order (get_tcp4_sock(), net/ipv4/tcp_ipv4.c).
"""

import socket
import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

from tracer.model.address import IPV4_MAPPED
from tracer.model.socket import NEW_SYN_RECV, STATES, UNSPECIFIED, Socket

_FILES: Final = {("tcp", 4): "tcp", ("tcp", 6): "tcp6", ("udp", 4): "udp", ("udp", 6): "udp6"}


def dump(proto: str, version: int, states: frozenset[int], netns: int) -> Iterator[Socket]:
    """Yields the sockets of a protocol and a family (4 or 6) that are in one of ``states``, in the
    caller's network namespace. Raises OSError."""
    wanted = {STATES[state] for state in states if state in STATES}
    if NEW_SYN_RECV in states:
        wanted.add("SYN-RECV")
    with Path("/proc/thread-self/net", _FILES[proto, version]).open() as lines:
        next(lines)
        for line in lines:
            sock = _decode(line.split(), proto, version, netns)
            if sock.state in wanted:
                yield sock


def _decode(fields: list[str], proto: str, version: int, netns: int) -> Socket:
    _, local, remote, number, queues, _, _, uid, _, inode, *_ = fields
    state = STATES[int(number, 16)] if int(number, 16) != NEW_SYN_RECV else "SYN-RECV"
    src, sport = _end(local)
    dst, dport = _end(remote)
    send_q, recv_q = (int(size, 16) for size in queues.split(":"))
    return Socket(
        proto,
        state,
        recv_q,
        None if state == "LISTEN" else send_q,
        src,
        sport,
        None if dst in UNSPECIFIED else dst,
        dport,
        int(uid) if inode != "0" else None,
        int(inode) or None,
        None,
        version,
        0,
        netns,
        b"",
    )


@lru_cache(maxsize=4096)
def _end(text: str) -> tuple[str, int | None]:
    """Decodes address and port: ``0100007F:0035`` is 127.0.0.1, port 53."""
    words, _, port = text.partition(":")
    raw = b"".join(struct.pack("=I", int(words[at : at + 8], 16)) for at in range(0, len(words), 8))
    if raw[:12] == IPV4_MAPPED:
        raw = raw[12:]
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, raw), int(port, 16) or None
