# SPDX-License-Identifier: Apache-2.0
"""What sockets receive: which flow it belongs to, and what no line has told of yet."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from tracer.model.flow import EventKind, Flow
from tracer.model.process import Process
from tracer.trace.event import Event, merge

_MAX_SENDERS: Final = 16_384  # flows that sent; of more, the oldest are forgotten
_MAX_NOTED: Final = 16_384  # flows that receive; of more, all earlier ones are forgotten
_MAX_UNTOLD: Final = 4096  # events that wait for their line


class Received:
    """Finds the flows that answers belong to, and keeps what came until a line tells of it."""

    def __init__(self) -> None:
        self._senders: dict[object, Flow] = {}
        self._received: dict[object, set[bytes]] = {}  # by whom it came from
        self._noted = 0  # entries of all these sets
        self._untold: dict[int, dict[bytes, Event]] = {}  # by the tracked flow

    def sent(self, flow: Flow) -> Iterable[bytes]:
        """Notes a flow that sends. Returns the ``struct flow`` of what was received by it and taken
        for another's: of nobody who had sent, or of who sent before."""
        stale: set[bytes] = set()
        for peer in _peers(flow):
            earlier = self._senders.pop(peer, None)
            if earlier and not flow.process:
                self._senders[peer] = earlier
                continue
            self._senders[peer] = flow
            if not (earlier and _who(earlier) == _who(flow)):
                stale |= self._forget_received(peer)
        while len(self._senders) > _MAX_SENDERS:
            del self._senders[next(iter(self._senders))]
        return stale

    def answered(self, received: Flow) -> Flow | None:
        """Returns the flow by which the same socket has sent where this came from, as the one that
        this is a volume of; None: it has sent nothing there."""
        sender = self._sender(received)
        return sender and sender._replace(kind=EventKind.VOLUME, icmp=None)

    def sender_of(self, flow: Flow) -> Process | None:
        """Returns who has sent there by the same socket last; None: nobody was seen to."""
        sender = self._sender(flow)
        return sender and sender.process

    def note(self, received: Flow, key: bytes) -> None:
        """Notes a flow that receives; ``key`` is its ``struct flow``."""
        if self._noted >= _MAX_NOTED:
            self._received.clear()  # what they send later does not change whose they are
            self._noted = 0
        for peer in _peers(received):
            keys = self._received.setdefault(peer, set())
            self._noted += key not in keys
            keys.add(key)

    def keep(self, event: Event) -> bool:
        """Keeps what was received until :meth:`take`; False: too much is kept."""
        if len(self._untold) >= _MAX_UNTOLD:
            return False
        merge(self._untold.setdefault(id(event.tracked), {}), [event])
        return True

    def take(self) -> Sequence[Event]:
        """Returns what was kept since the last call, oldest first."""
        untold = [event for events in self._untold.values() for event in events.values()]
        self._untold = {}
        return sorted(map(as_told, untold), key=lambda event: event.time)

    def _forget_received(self, peer: object) -> set[bytes]:
        """Forgets what was received from a peer, and returns that."""
        keys = self._received.pop(peer, set())
        self._noted -= len(keys)
        return keys

    def _sender(self, flow: Flow) -> Flow | None:
        return next(filter(None, map(self._senders.get, _peers(flow))), None)


def as_told(event: Event) -> Event:
    """Returns an event as its line says it: of a volume, the time is the last packet's."""
    return event if event.count else replace(event, time=event.last_time)


def _peers(flow: Flow) -> Iterator[object]:
    """Yields what a socket's flow, and what comes back, have in common: whom it has named, and what
    a program of its cgroup may have made of that. Nothing, where the socket is not known."""
    for end in (flow.dst, flow.nat.dst):
        if flow.cookie and end:
            yield flow.cookie, flow.proto, end.addr, end.port


def _who(flow: Flow) -> object:
    return flow.process and flow.process.identity
