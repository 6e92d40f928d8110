# SPDX-License-Identifier: Apache-2.0
"""How much TCP connections have moved so far, as the kernel counts it."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from tracer.filter.filters import NO_FILTERS, Filters
from tracer.host import netns
from tracer.host.netlink import details
from tracer.inventory import dump
from tracer.inventory.selection import Selection
from tracer.model.socket import TALKING, Socket

_TCP: Final = frozenset({"tcp"})
# the states of a connection whose other end has said that it sends no more
_ENDED_BY_PEER: Final = ("CLOSE-WAIT", "LAST-ACK", "CLOSING")


class Volume(NamedTuple):
    """Payload in bytes: sent (what is sent again counts once) and received; and how many segments
    it has sent, with payload or without."""

    sent: int
    received: int
    segments: int


def of(sock: Socket) -> Volume | None:
    """Returns what a listed socket has moved; None: it was not asked for (details.TCP_INFO), or
    the kernel does not tell it (before Linux 4.19). A FIN counts as a byte received
    (tcp_data_queue(), net/ipv4/tcp_input.c)."""
    info = details.tcp_info(sock.details)
    segments = details.tcp_segments_sent(sock.details)
    if info is None or segments is None:
        return None
    sent = info["bytes_sent"] - info["bytes_retransmitted"]
    return Volume(sent, info["bytes_received"] - (sock.state in _ENDED_BY_PEER), segments)


def of_connections(
    filters: Filters, where: dump.Where, warn: Callable[[str], None]
) -> Iterator[tuple[Socket, Volume]]:
    """Yields the TCP connections to the filter's destinations and ports, and what each has moved.
    Raises SockwatchError where netlink cannot be used."""
    asked = NO_FILTERS._replace(
        dst=filters.dst, dport=filters.dport, sport=filters.sport, port=filters.port, proto=_TCP
    )
    selection = Selection(TALKING, asked)
    for sock in dump.sockets(selection, where, "netlink", warn, details.TCP_INFO):
        volume = of(sock)
        if volume:
            yield sock, volume


def places(inodes: Iterable[int]) -> dump.Where:
    """Returns where these network namespaces are, of those that something leads to."""
    own, wanted = netns.own(), set(inodes)
    found: dump.Where = {own: None} if own in wanted else {}
    if wanted <= {own}:
        return found
    paths = netns.all_namespaces().paths
    return found | {inode: paths[inode] for inode in wanted & paths.keys() if inode != own}
