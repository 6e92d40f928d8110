# SPDX-License-Identifier: Apache-2.0
"""TCP connections that no hook tells of, but the kernel counts what they send: those from before
the start, and those from elsewhere that no process has accepted."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, NamedTuple

from tracer.errors import SockwatchError
from tracer.filter.filters import Filters
from tracer.inventory import dump, volumes
from tracer.inventory.volumes import Volume
from tracer.model.flow import EventKind, Flow
from tracer.trace import initial
from tracer.trace.event import Event

_UNLESS_CLOSED: Final = ("ESTAB", "CLOSE-WAIT")  # states of a connection that no process has closed


class Used(NamedTuple):
    """A connection that was used meanwhile, and for how much, as a Volume: a keepalive or an
    acknowledgement is a segment without payload. Of one that no process has accepted, the flow
    is an ``accept``."""

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
    found: dict[int, Volume] = {}
    try:
        where = dump.namespaces(filters.netns, warn)
        for sock, volume in volumes.of_connections(filters, where, warn):
            if sock.cookie in cookies:
                assert sock.cookie is not None, "netlink tells it"
                found[sock.cookie] = volume
    except SockwatchError as error:
        warn(str(error))
    return found


def unaccepted(filters: Filters, warn: Callable[[str], None]) -> list[Used]:
    """Returns the open connections that belong to no process: they wait for accept()."""
    found: list[Used] = []
    try:
        where = dump.namespaces(filters.netns, warn)
        for sock, volume in volumes.of_connections(filters, where, warn):
            flow = initial.flow_of(sock, None)._replace(kind=EventKind.ACCEPT)
            if sock.state in _UNLESS_CLOSED and sock.inode is None and filters.matches(flow):
                found.append(Used(flow, *volume))
    except SockwatchError as error:
        warn(str(error))
    return found


class Ends:
    """Takes a run's events, and knows the connections by cookie whose end is one of them."""

    def __init__(self) -> None:
        self.cookies: set[int] = set()

    def write(self, events: Sequence[Event]) -> None:
        """Takes a batch."""
        flows = (event.tracked.flow for event in events if event.tracked.is_end)
        self.cookies |= {flow.cookie for flow in flows if flow.cookie}


def compare(
    flows: Iterable[Flow],
    first: dict[int, Volume],
    last: dict[int, Volume],
    ended: Collection[int] = (),
) -> tuple[list[Used], list[Flow]]:
    """Returns the connections that were used meanwhile, and those of which that is not known. The
    events tell of those that have ``ended`` (cookies)."""
    used, unknown = [], []
    for flow in flows:
        if flow.proto != "tcp" or flow.cookie in ended:
            continue  # each of its sends is an event, or its end is
        before, after = first.get(flow.cookie or 0), last.get(flow.cookie or 0)
        if before is None or after is None:
            unknown.append(flow)
        elif before != after:
            changes = (new - old for new, old in zip(after, before, strict=True))
            used.append(Used(flow, *changes))
    return used, unknown
