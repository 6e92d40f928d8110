# SPDX-License-Identifier: Apache-2.0
"""What sockets receive: whose it is, and what no line has told of yet."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tracer.model.flow import EventKind, Flow
from tracer.model.process import Process
from tracer.trace.event import Event, merge

_MAX_SENDERS: Final = 16_384  # flows that sent; of more, the oldest are forgotten


class Received:
    """Finds the flows that answers belong to, and keeps what came until a line tells of it."""

    def __init__(self) -> None:
        self._senders: dict[object, Flow] = {}
        self._alone: dict[object, bytes] = {}
        self._untold: dict[bytes, Event] = {}

    def sent(self, flow: Flow) -> bytes | None:
        """Notes a flow that sends. Returns the ``struct flow`` of what it has received, if that was
        taken for a flow that only receives."""
        peer = _peer(flow)
        if peer is None or (flow.process is None and peer in self._senders):
            return None
        self._senders.pop(peer, None)
        self._senders[peer] = flow
        if len(self._senders) > _MAX_SENDERS:
            del self._senders[next(iter(self._senders))]
        return self._alone.pop(peer, None)

    def answered(self, received: Flow) -> Flow | None:
        """Returns the flow by which the same socket has sent where this came from, as the one that
        this is a volume of; None: it has sent nothing there."""
        sender = self._senders.get(_peer(received))
        return sender and sender._replace(kind=EventKind.VOLUME, icmp=None)

    def sender_of(self, flow: Flow) -> Process | None:
        """Returns who has sent there by the same socket last; None: nobody was seen to."""
        sender = self._senders.get(_peer(flow))
        return sender and sender.process

    def only_receives(self, flow: Flow, key: bytes) -> None:
        """Notes a flow that has not sent. ``key`` is its ``struct flow``."""
        if len(self._alone) >= _MAX_SENDERS:
            self._alone.clear()  # some that send later are told of as two
        self._alone[_peer(flow)] = key

    def keep(self, event: Event) -> None:
        """Keeps what was received until :meth:`take`."""
        merge(self._untold, [event])

    def take(self) -> Sequence[Event]:
        """Returns what was kept since the last call."""
        untold, self._untold = self._untold.values(), {}
        return [
            replace(event, time=event.last_time) if not event.count else event for event in untold
        ]


def _peer(flow: Flow) -> object | None:
    """Returns what a socket's flow, and what comes back, have in common; None: nothing is known."""
    if not flow.cookie:
        return None
    return flow.cookie, flow.proto, flow.dst.addr, flow.dst.port
