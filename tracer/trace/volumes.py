# SPDX-License-Identifier: Apache-2.0
"""Tells now and then how much the open TCP connections have moved."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from tracer.clock import boot_now
from tracer.errors import SockwatchError
from tracer.filter.filters import Filters
from tracer.inventory import volumes
from tracer.trace.event import Event
from tracer.trace.flow_table import FlowTable

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
        self._next = time.monotonic() + interval

    def check(self) -> None:
        """Looks if it is time to."""
        if time.monotonic() >= self._next:
            self.look()

    def look(self) -> None:
        """Tells what has been moved since the last look."""
        connections = self._flows.connections
        if len(connections):
            where = volumes.places(connections.netns)
            asked = self._filters
            if not all(asked.passes_dst(flow.dst.addr) for flow in connections.flows()):
                asked = asked._replace(dst=())  # matched by what NAT made of it
            try:
                found = list(volumes.of_connections(asked, where, lambda _: None))
                events = list(self._flows.volumes(found, boot_now()))
            except SockwatchError as error:
                self._warn(f"how much connections move is told at their end only: {error.args[0]}")
                self._next = float("inf")
                return
            if events:
                self._give(events)
        self._next = time.monotonic() + self._interval
