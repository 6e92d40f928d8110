# SPDX-License-Identifier: Apache-2.0
"""Sockets from before: those that have a matching peer already when tracing starts."""

import functools
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address
from typing import Final

from tracer import record, snapshot
from tracer.clock import boot_now
from tracer.enrich import Enricher
from tracer.errors import SockwatchError
from tracer.event import Endpoint, Flow, Process, flow_from_record
from tracer.filters import Filters
from tracer.process.table import ProcessTable
from tracer.record import EventKind, RingEntry, Via
from tracer.sockets import TALKING, Selection, Socket

_BEGINNINGS: Final = (EventKind.CONNECT, EventKind.CONNECTED, EventKind.ACCEPT)


def flows(
    filters: Filters,
    enricher: Enricher,
    processes: ProcessTable,
    pending: Callable[[], Iterable[RingEntry]],
    complain: Callable[[str], None],
) -> list[Flow]:
    """A flow for each. The hooks are attached already; ``pending`` gives what they have seen, and
    is asked after the sockets, so that a connection made meanwhile shows as what it is: new."""
    if filters.failed:
        return []
    try:
        found = list(_matching(filters, enricher, processes, complain))
    except SockwatchError as error:
        complain(f"not shown: sockets from before the start, since {error.args[0]}")
        return []
    new = set(_begun(pending())) if found else set()
    return [flow for flow in found if new.isdisjoint(_identities(flow))]


def _matching(
    filters: Filters,
    enricher: Enricher,
    processes: ProcessTable,
    complain: Callable[[str], None],
) -> Iterator[Flow]:
    process_of = functools.cache(processes.now)  # each is looked at once
    started = boot_now()
    where = snapshot.places(filters.netns, everywhere=True)
    for sock in snapshot.sockets(Selection(TALKING, filters), where, "auto", complain):
        if sock.dst is None:
            continue
        enricher.look_at_holders(started)
        found: list[Process | None] = [
            who for pid in enricher.pids(sock) if (who := process_of(pid))
        ]
        candidates = (_flow(sock, process) for process in found or [None])
        flow = next(filter(filters.matches, candidates), None)
        if flow:
            yield enricher.complete(flow, sock)


def _flow(sock: Socket, process: Process | None) -> Flow:
    return Flow(
        kind=EventKind.EXISTING,
        proto=sock.proto,
        via=Via.SOCKET,
        process=process,
        src=Endpoint(ip_address(sock.src), sock.sport),
        dst=Endpoint(ip_address(sock.dst or ""), sock.dport),
        cookie=sock.cookie,
        netns=sock.netns,
        interface=None,
    )


def _begun(entries: Iterable[RingEntry]) -> Iterator[object]:
    """What identifies the TCP connections that began since the hooks were attached."""
    for *_, tail in entries:
        fields = record.unpack_flow(tail)
        if fields.kind in _BEGINNINGS:
            yield from _identities(flow_from_record(fields, None))


def _identities(flow: Flow) -> tuple[object, ...]:
    """A cookie; and both ends, where the kernel's record has no cookie. UDP has no beginning
    that could be told."""
    if flow.proto != "tcp":
        return ()
    return (flow.cookie or object(), (flow.netns, flow.src, flow.dst))
