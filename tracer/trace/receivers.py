# SPDX-License-Identifier: Apache-2.0
"""Whose the sockets are that only receive. One may receive from many, and is looked for once."""

from typing import Final, NamedTuple

from tracer.model.flow import Flow, SocketDetails
from tracer.model.process import Holder, Process

_MAX_SOCKETS: Final = 4096  # beyond this, the oldest are looked for again


class Receiver(NamedTuple):
    """A socket that receives: its network namespace, what is known of it, the interface that is the
    zone of link-local addresses, and the processes that hold it."""

    netns: int
    details: SocketDetails | None
    holders: tuple[Holder, ...] | None
    zone: str | None
    processes: tuple[Process, ...]

    def of(self, flow: Flow) -> list[Flow]:
        """Returns a flow of this socket with each of its processes; with none, if none is known."""
        flow = flow._replace(
            netns=self.netns,
            details=self.details,
            holders=self.holders,
            src=flow.src.in_zone(self.zone),
            dst=flow.dst.in_zone(self.zone),
        )
        return [flow._replace(process=process) for process in self.processes] or [flow]


class Receivers:
    """Those that were found, by cookie, and by the interface of link-local addresses."""

    def __init__(self) -> None:
        self._found: dict[object, Receiver] = {}

    def get(self, flow: Flow) -> Receiver | None:
        """Returns the socket of a flow; None: it was not found."""
        return self._found.get((flow.cookie, flow.oif))

    def add(self, flow: Flow, found: Receiver) -> None:
        """Adds it."""
        if len(self._found) >= _MAX_SOCKETS:
            del self._found[next(iter(self._found))]
        self._found[flow.cookie, flow.oif] = found
