# SPDX-License-Identifier: Apache-2.0
"""Selects the sockets that a user asked for."""

from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from tracer.filter.filters import NO_FILTERS, Filters
from tracer.model.address import Address
from tracer.model.flow import Endpoint
from tracer.model.process import Process, text
from tracer.model.socket import (
    ALL_STATES,
    Held,
    Processes,
    Socket,
)

# filter parts that are decided without looking at processes or namespaces
_OF_SOCKETS: Final = ("dst", "not_dst", "src", "dport", "sport", "port", "uid", "version")

# describes the process that has a pid
ProcessOf = Callable[[int], Process | None]


class Selection:
    """Selects sockets by state (the kernel's numbers), and by the filters that tracing has."""

    def __init__(
        self,
        states: frozenset[int] = ALL_STATES,
        filters: Filters = NO_FILTERS,
        process_of: ProcessOf = lambda _: None,
    ) -> None:
        """``process_of`` describes the process that has a pid now."""
        self.states = states
        self.filters = filters
        self.process_of = process_of
        self._by_process = bool(filters.pid or filters.comm or filters.by_process)
        self._takes_every_socket = all(
            getattr(filters, name) == getattr(NO_FILTERS, name) for name in _OF_SOCKETS
        )

    def takes(self, sock: Socket) -> bool:
        """Decides by all but the processes, which :meth:`takes_holders` looks at."""
        filters = self.filters
        return self._takes_every_socket or (
            (not filters.uid or sock.uid in filters.uid)
            and filters.passes_ports(sock.dport, sock.sport)
            and self._takes_addresses(sock)
        )

    def takes_holders(
        self, processes: Processes, process_of: ProcessOf | None = None
    ) -> bool | None:
        """Says whether one of the holders is asked for; None if that is not known. ``process_of``:
        what describes these holders, if they are others than those of now."""
        if not self._by_process:
            return True
        if processes is None:
            return None
        pids, names = self.filters.pid, set(map(text, self.filters.comm))
        if pids and not any(one.by.pid in pids for one in processes):
            return False
        if names and not any(one.by.comm in names for one in processes):
            return False
        if not self.filters.by_process:
            return True
        return self._selects_any(processes, process_of or self.process_of)

    def _selects_any(self, held: tuple[Held, ...], process_of: ProcessOf) -> bool | None:
        verdicts = {self.filters.selects(process_of(one.by.pid)) for one in held}
        return True if True in verdicts else None if None in verdicts else False

    def _takes_addresses(self, sock: Socket) -> bool:
        filters = self.filters
        peer, local = _address(sock.dst), _address(sock.src)
        shown = peer or local
        return (
            filters.passes_dst(peer)
            and filters.passes_src(local)
            and (shown is None or shown.version in filters.version)
            and filters.selects_zones(
                Endpoint(local, sock.sport, sock.src_zone),
                Endpoint(peer, sock.dport, sock.dst_zone),
                sock.ifindex,
            )
            is True
        )


@lru_cache(maxsize=4096)
def _address(text: str | None) -> Address | None:
    return None if text is None else ip_address(text)
