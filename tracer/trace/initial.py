# SPDX-License-Identifier: Apache-2.0
"""Existing sockets: those that already have a matching peer when tracing starts."""

import functools
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address
from typing import Final, NamedTuple

from tracer.clock import boot_now
from tracer.errors import SockwatchError
from tracer.filter.filters import Filters
from tracer.host.netlink import details
from tracer.inventory import dump, volumes
from tracer.inventory.selection import Selection
from tracer.kernel import abi
from tracer.kernel.abi import RingEntry
from tracer.model.flow import Endpoint, EventKind, Flow, Moved, Via
from tracer.model.process import Process
from tracer.model.socket import TALKING, Socket
from tracer.trace.connections import identities
from tracer.trace.enrich import Enricher, flow_from_record
from tracer.trace.process_table import ProcessTable

_BEGINNINGS: Final = (EventKind.CONNECT, EventKind.CONNECTED, EventKind.ACCEPT)


class Existing(NamedTuple):
    """The existing sockets: a flow for each; how many more may match, but their process is not
    known; and whether all could be listed."""

    flows: list[Flow]
    undecided: int
    complete: bool

    @property
    def number(self) -> int | None:
        """How many there are; None: not all could be listed."""
        return len(self.flows) if self.complete else None


def find(
    filters: Filters,
    enricher: Enricher,
    processes: ProcessTable,
    pending: Callable[[], Iterable[RingEntry]],
    warn: Callable[[str], None],
) -> Existing:
    """Finds the existing sockets. The hooks are attached already; ``pending`` returns what they
    have seen. It is called after the listing, so that a connection made meanwhile shows as new."""
    if filters.failed:
        return Existing([], 0, complete=True)
    found: list[Flow | None] = []
    complete = True
    try:
        for flow in _matching(filters, enricher, processes, warn):
            found.append(flow)  # noqa: PERF402  what came before an error stays
    except SockwatchError as error:
        warn(f"not shown: sockets from before the start, since {error.args[0]}")
        complete = False
    new = set(_new_connections(pending())) if found else set()
    flows = [flow for flow in found if flow and new.isdisjoint(identities(flow))]
    return Existing(flows, found.count(None), complete)


def _matching(
    filters: Filters,
    enricher: Enricher,
    processes: ProcessTable,
    warn: Callable[[str], None],
) -> Iterator[Flow | None]:
    """Yields the flow of each matching socket, None if its process cannot be decided on."""
    process_of = functools.cache(processes.now)  # each process is looked at once
    started = boot_now()
    where, selection = dump.namespaces(filters.netns, warn), Selection(TALKING, filters)
    for sock in dump.sockets(selection, where, "auto", warn, details.TCP_INFO):
        if sock.dst is None:
            continue
        enricher.look_at_holders(started)
        found: list[Process | None] = [
            who for pid in enricher.pids(sock) if (who := process_of(pid))
        ]
        candidates = [flow_of(sock, process) for process in found or [None]]
        flow = next(filter(filters.matches, candidates), None)
        if flow:
            yield enricher.complete(flow, sock)
        elif any(map(filters.may_match, candidates)):
            yield None


def flow_of(sock: Socket, process: Process | None) -> Flow:
    """Returns the flow of a socket that has a peer."""
    volume = volumes.of(sock)
    return Flow(
        kind=EventKind.EXISTING,
        proto=sock.proto,
        via=Via.SOCKET,
        process=process,
        src=Endpoint(ip_address(sock.src), sock.sport, sock.src_zone),
        dst=Endpoint(ip_address(sock.dst or ""), sock.dport, sock.dst_zone),
        cookie=sock.cookie,
        netns=sock.netns,
        interface=None,
        oif=sock.ifindex or None,
        before=volume and Moved(volume.sent, volume.received),
    )


def _new_connections(entries: Iterable[RingEntry]) -> Iterator[object]:
    """Yields what identifies the TCP connections that began since the hooks were attached."""
    for *_, tail in entries:
        fields = abi.unpack_flow(tail)
        if fields.kind in _BEGINNINGS:
            yield from identities(flow_from_record(fields, None))
