# SPDX-License-Identifier: Apache-2.0
"""Tells now and then how much the open TCP connections have moved, and what other sockets have
received."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from tracer.clock import boot_now
from tracer.errors import SockwatchError
from tracer.filter.filters import Filters
from tracer.inventory import volumes
from tracer.model.flow import Flow
from tracer.trace.event import Event
from tracer.trace.flow_table import FlowTable
from tracer.trace.pipeline import AT_ONCE

_REST: Final = 20  # pause between looks, in multiples of a look's time
INTERVAL: Final = 10.0  # seconds between two looks, unless the user asks for another


class Volumes:
    """Asks the kernel for the volumes of the flow table's connections, once for each network
    namespace and look, and for nothing if none is open."""

    def __init__(
        self,
        flows: FlowTable,
        filters: Filters,
        interval: float,
        give: Callable[[Sequence[Event]], None],
        warn: Callable[[str], None],
    ) -> None:
        """``interval`` is in seconds; ``give`` takes the events, ``warn`` is told once if nothing
        can be asked for."""
        self._flows = flows
        self._filters = filters
        self._interval = interval
        self._give = give
        self._warn = warn
        self._may_ask = True
        self._next = time.monotonic() + interval

    def check(self) -> None:
        """Looks if it is time to."""
        if time.monotonic() >= self._next:
            self.look()

    def look(self, until: int | None = None) -> None:
        """Tells what has been moved since the last look: as of now, or of ``until``
        (CLOCK_BOOTTIME, nanoseconds), when the run ended a moment ago."""
        began = time.monotonic()
        self._give_all(self._flows.received())
        if self._may_ask and len(self._flows.connections):
            self._tell(until)
        ended = time.monotonic()
        self._next = ended + max(self._interval, _REST * (ended - began))

    def _tell(self, until: int | None) -> None:
        where, asked = volumes.places(self._flows.connections.netns), self._filters
        if not all(map(self._is_to_destination, self._flows.connections.flows())):
            asked = asked._replace(dst=())  # of the two, the kernel may know the other one
        try:
            found = list(volumes.of_connections(asked, where, lambda _: None))
        except SockwatchError as error:
            self._may_ask = False
            self._warn(f"how much connections move is told at their end only: {error.args[0]}")
            return
        self._give_all(list(self._flows.volumes(found, where, until or boot_now())))

    def _give_all(self, events: Sequence[Event]) -> None:
        for at in range(0, len(events), AT_ONCE):
            self._give(events[at : at + AT_ONCE])

    def _is_to_destination(self, flow: Flow) -> bool:
        """Says whether a connection is to what the filter asks for, both as the process has named
        it and as NAT, or a program of its cgroup, has made it."""
        return all(self._filters.passes_dst(end.addr) for end in (flow.dst, flow.nat.dst) if end)
