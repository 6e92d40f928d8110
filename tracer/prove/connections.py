# SPDX-License-Identifier: Apache-2.0
"""TCP connections from before the start: no hook tells what they send, but the kernel counts it."""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from tracer.errors import SockwatchError
from tracer.filter.filters import NO_FILTERS, Filters
from tracer.host.netlink import details
from tracer.inventory import dump
from tracer.inventory.selection import Selection
from tracer.model.flow import Flow
from tracer.model.socket import TALKING

_TCP: Final = frozenset({"tcp"})


class Volume(NamedTuple):
    """Payload of a connection so far, in bytes (what is sent again counts again: tcpi_bytes_sent,
    tcpi_bytes_received), and segments that it sent, with payload or without."""

    sent: int
    received: int
    segments: int


class Moved(NamedTuple):
    """A connection that was used meanwhile, and for how much: a keepalive or an acknowledgement is
    a segment without payload."""

    flow: Flow
    sent: int
    received: int
    segments: int


def of(flows: Iterable[Flow], filters: Filters, warn: Callable[[str], None]) -> dict[int, Volume]:
    """Asks the kernel for the volumes of these connections, by cookie. What is not there is not
    known: it has ended, or netlink cannot be used."""
    cookies = {flow.cookie for flow in flows if flow.proto == "tcp"}
    if not cookies:
        return {}
    asked = NO_FILTERS._replace(dst=filters.dst, proto=_TCP)
    found: dict[int, Volume] = {}
    try:
        where = dump.namespaces(filters.netns, warn)
        for sock in dump.sockets(Selection(TALKING, asked), where, "auto", warn, details.TCP_INFO):
            info = details.tcp_info(sock.details)
            segments = details.tcp_segments_sent(sock.details)
            if info and segments is not None and sock.cookie in cookies:
                assert sock.cookie is not None, "netlink tells it"
                volume = Volume(info["bytes_sent"], info["bytes_received"], segments)
                found[sock.cookie] = volume
    except SockwatchError as error:
        warn(str(error))
    return found


def compare(
    flows: Iterable[Flow], first: dict[int, Volume], last: dict[int, Volume]
) -> tuple[list[Moved], list[Flow]]:
    """Returns the connections that were used meanwhile, and those of which that is not known."""
    moved, unknown = [], []
    for flow in flows:
        if flow.proto != "tcp":
            continue  # each of its sends is an event
        before, after = first.get(flow.cookie or 0), last.get(flow.cookie or 0)
        if before is None or after is None:
            unknown.append(flow)
        elif before != after:
            changes = (new - old for new, old in zip(after, before, strict=True))
            moved.append(Moved(flow, *changes))
    return moved, unknown
