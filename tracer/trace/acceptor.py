# SPDX-License-Identifier: Apache-2.0
"""Finds who accepted a connection where no hook tells: it arrives in whatever context its last
packet is worked off in, and belongs to nobody before a process calls accept()."""

import socket
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Final

from tracer.host.fd_holders import Holders
from tracer.host.netlink import sock_diag
from tracer.model.flow import Flow
from tracer.model.process import Process
from tracer.model.socket import LISTEN, UNSPECIFIED, Socket

_CLOSED: Final = 1  # processes that may be closed to root, too: init, in some containers
_LISTENING: Final = frozenset({LISTEN})


def find(
    diag: socket.socket,
    flow: Flow,
    accepted: Socket | None,
    held: Holders,
    process_of: Callable[[int], Process | None],
    time: int,
) -> Process | None:
    """Returns who accepted a connection that arrived at ``time`` (CLOCK_BOOTTIME, nanoseconds);
    None: not known. ``process_of`` returns the process that has a pid now. The caller is in the
    flow's network namespace. Raises OSError.

    While the ``accepted`` socket waits for accept() it has no inode: nobody has it, and who holds
    the listening socket by now may not be who will (a service may be started for it). Later, it is
    who holds the listening socket alone; if several do, one of them that holds the accepted socket,
    or else who holds that; but no process that began later: its parent may have accepted."""
    if held.unreadable > _CLOSED or (accepted and not accepted.inode):
        return None  # any of them may have it, or nobody has
    listening = [holders(sock, held) for sock in _listening(diag, flow)]
    may_accept = {pid for some in listening for pid in some}
    have: Iterable[int] = holders(accepted, held) if accepted else ()
    if len(may_accept) == 1 and all(listening):
        have = may_accept
    likely_first = sorted(have, key=lambda pid: pid not in may_accept)
    found = filter(None, map(process_of, likely_first))
    return next((process for process in found if process.start_time <= time), None)


def holders(sock: Socket, held: Holders) -> tuple[int, ...]:
    """Returns the processes that hold a socket."""
    return held.by_inode.get(sock.inode or 0, ())[::2]


def _listening(diag: socket.socket, flow: Flow) -> list[Socket]:
    """Returns the sockets that the connection may have come to: with its local port, and its
    address or none."""
    return [
        sock
        for version in (4, 6)
        for sock in sock_diag.dump(
            diag, flow.proto, version, _LISTENING, flow.netns, sport=flow.src.port or 0
        )
        if sock.src in UNSPECIFIED or ip_address(sock.src) == flow.src.addr
    ]
