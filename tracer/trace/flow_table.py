# SPDX-License-Identifier: Apache-2.0
"""The flow table: maps the constant bytes of an event to everything known about its flow, which
is looked up once."""

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Final

from tracer.inventory.volumes import Volume
from tracer.kernel.abi import FlowRecord, RingEntry, unpack_flow
from tracer.model import protocols
from tracer.model.flow import ERROR_NOT_OBSERVED, EventKind, Flow, Moved
from tracer.model.protocols import ReceivedOf
from tracer.model.socket import Socket
from tracer.trace.connections import Connections
from tracer.trace.event import Event, FlowAggregate, TrackedFlow
from tracer.trace.received import Received, as_told
from tracer.trace.rhythm import PAUSE
from tracer.trace.totals import Total, Totals

_BEGINNINGS: Final = (EventKind.CONNECTED, EventKind.ACCEPT, EventKind.EXISTING)
_PREFERRED: Final = {True: 2, None: 1, False: 0}  # of several verdicts, the one that counts
MAX_FLOWS: Final = 4096  # beyond this, the least recent half are dropped, to be looked up anew


class FlowTable:
    """The recent flows, and the totals of a run. ``flow_of`` is called once for each flow, with
    the time of its first event. ``wanted`` says whether a flow is shown; None: undecided.
    ``left_out`` counts events that are not shown, ``undecided`` those of undecided flows,
    ``forwards_left_out`` forwarded packets, which the kernel has aggregated. What is received and
    not shown is in none but ``undecided``."""

    def __init__(
        self,
        flow_of: Callable[[FlowRecord, int], Flow],
        wanted: Callable[[Flow], bool | None] = lambda _: True,
        receivers: Callable[[Flow, int], Sequence[Flow]] = lambda flow, _: [flow],
        received_of: ReceivedOf = ReceivedOf.NONE,
    ) -> None:
        """``receivers`` returns a flow that has not sent with each process that has its socket.
        ``received_of``: for which sockets all is told that comes."""
        self.left_out = 0
        self.undecided = 0
        self.forwards_left_out = 0
        self.totals = Totals()
        self.connections = Connections()
        self._received = Received()
        self._skip_lookups = False
        self._flow_of = flow_of
        self._wanted = wanted
        self._receivers = receivers
        self._received_of = received_of
        self._flows: dict[bytes, TrackedFlow] = {}

    def __len__(self) -> int:
        return len(self._flows)

    @property
    def only_received(self) -> int:
        """How many packets came for flows that are shown and had not sent."""
        return self.totals.arrived()

    def before_batch(self, *, skip_lookups: bool) -> None:
        """Prepares for a batch. ``skip_lookups``: ``flow_of`` skips some lookups; such flows are
        looked up again once there is time."""
        if self._skip_lookups and not skip_lookups:
            self._flows = {
                key: tracked for key, tracked in self._flows.items() if not tracked.lookups_skipped
            }
        self._skip_lookups = skip_lookups

    def events(self, entries: Iterable[RingEntry]) -> list[Event]:
        """Returns the ring's entries as events and updates their totals."""
        flows = self._flows
        events: list[Event] = []
        for _, _, time, size, received, elapsed, segments, error, key in entries:
            tracked = flows.get(key)
            if tracked is None:
                tracked = self._track(key, time)
            total = tracked.total
            if total is None:
                self._leave_out(tracked, 1)
                continue
            if time - total.last_event > PAUSE:
                total.beat(time)
            total.count += 1
            total.last = total.last_event = time
            event = Event(time, time, 1, size, received, elapsed, segments, error, tracked)
            if tracked.is_end:
                self._end(event, total)
            else:
                total.bytes += size
            events.append(event)
        return events

    def aggregated(self, aggregates: Iterable[FlowAggregate]) -> list[Event]:
        """Returns an event for each aggregate and updates their totals."""
        events: list[Event] = []
        for key, (count, size, received, elapsed, first, last, segments, error) in aggregates:
            tracked = self._flows.get(key) or self._track(key, first)
            if tracked.is_received:
                events += self._receive(tracked, count, received, first, last)
                continue
            if tracked.total is None:
                self._leave_out(tracked, count)
                continue
            tracked.total.add(count, 0 if tracked.is_end else size, first, last)
            event = Event(first, last, count, size, received, elapsed, segments, error, tracked)
            if tracked.is_end:
                self._end(event, tracked.total)
            events.append(event)
        return events

    def received(self) -> Sequence[Event]:
        """Returns what was received, and not told of yet."""
        return self._received.take()

    def existing(self, flow: Flow, time: int) -> Event:
        """Returns the event that reports an existing socket, at ``time``."""
        tracked = TrackedFlow(flow, self._total(flow, time))
        self._begin(tracked)
        return Event(time, time, 0, 0, 0, 0, 0, ERROR_NOT_OBSERVED, tracked)

    def volumes(
        self, found: Iterable[tuple[Socket, Volume]], looked_into: Container[int], time: int
    ) -> Iterator[Event]:
        """Yields an event for each open connection that has moved something since it was told of,
        by what the kernel says at ``time`` of all sockets in the namespaces ``looked_into``."""
        for flow, moved in self.connections.look(found, looked_into):
            total = self._total(flow, time)
            total.add_received(moved.received)
            if any(moved):
                total.add(0, moved.sent, time, time)
                tracked = TrackedFlow(flow, total)
                yield Event(time, time, 0, *moved, 0, 0, ERROR_NOT_OBSERVED, tracked)

    def _receive(
        self, tracked: TrackedFlow, packets: int, size: int, first: int, last: int
    ) -> Iterator[Event]:
        """Adds received packets; yields what is told at once: the first ones of a flow that has not
        sent."""
        alone = tracked.flow.kind is EventKind.RECEIVE
        if tracked.total is None:
            self.undecided += packets * tracked.undecided
            return
        tracked.total.add(packets * alone, 0, first, last)
        tracked.total.add_received(size)
        tracked.total.arrived += packets * alone
        count = packets if alone else 0
        event = Event(first, last, count, 0, size, 0, 1, ERROR_NOT_OBSERVED, tracked)
        first_of_it = alone and not tracked.told
        tracked.told = True
        if first_of_it or not self._received.keep(event):
            yield as_told(event)

    def _begin(self, tracked: TrackedFlow) -> None:
        if tracked.flow.kind in _BEGINNINGS and tracked.flow.proto == "tcp" and tracked.total:
            self.connections.begin(tracked.flow)

    def _end(self, event: Event, total: Total) -> None:
        """Adds what was not told of a connection by its end."""
        whole = Moved(event.bytes, event.received)
        event.since = self.connections.end(event.tracked.flow, whole)
        if event.since:
            total.bytes += event.since.sent
            total.add_received(event.since.received)

    def _leave_out(self, tracked: TrackedFlow, count: int) -> None:
        self.left_out += count
        self.undecided += count * tracked.undecided
        self.forwards_left_out += count * (tracked.flow.kind is EventKind.FORWARD)

    def _track(self, key: bytes, time: int) -> TrackedFlow:
        if len(self._flows) >= MAX_FLOWS:
            self._forget_flows()
        flow = self._flow_of(unpack_flow(key), time)
        if flow.kind is EventKind.CLOSE and not flow.process:  # of one from before
            flow = flow._replace(process=self.connections.process_of(flow))
        if flow.kind is EventKind.SEND and not flow.process and flow.proto in protocols.SENT_LATER:
            flow = flow._replace(process=self._received.sender_of(flow))
        flow, wanted = self._of_receiver(flow, time)
        tracked = self._flows[key] = TrackedFlow(
            flow,
            self._total(flow, time) if wanted else None,
            key,
            lookups_skipped=self._skip_lookups or _is_nobodys(flow),
            undecided=wanted is None,
        )
        self._begin(tracked)
        self._note(tracked)
        return tracked

    def _of_receiver(self, flow: Flow, time: int) -> tuple[Flow, bool | None]:
        """Returns a flow, and whether it is wanted; of what is received, the flow that has sent
        before, or that of the first process that is wanted."""
        if flow.kind is not EventKind.RECEIVE:
            return flow, self._wanted(flow)
        sender = self._received.answered(flow)
        if sender:
            return sender, True
        flows = self._receivers(flow, time)
        verdicts = [self._wanted(one) for one in flows]
        best = max(range(len(flows)), key=lambda at: _PREFERRED[verdicts[at]])
        return flows[best], verdicts[best]

    def _note(self, tracked: TrackedFlow) -> None:
        """Notes whether a flow sends, or only receives."""
        flow, total = tracked.flow, tracked.total
        if total and flow.shows_answers and self._received_of.has(flow.proto):
            total.add_received(0)
        if flow.kind is EventKind.SEND and total:
            for key in self._received.sent(flow):
                self._flows.pop(key, None)
        elif tracked.is_received:
            self._received.note(flow, tracked.key)

    def _forget_flows(self) -> None:
        """Drops the half whose totals were active longest ago; of equals, the oldest first."""
        by_age = sorted(self._flows, key=self._last_active)
        for key in by_age[: MAX_FLOWS // 2]:
            del self._flows[key]

    def _last_active(self, key: bytes) -> int:
        total = self._flows[key].total
        return total.last if total else 0

    def _total(self, flow: Flow, time: int) -> Total:
        if not self.totals.has_room_for(flow):
            gone = self.totals.merge_oldest()
            # if such a flow comes back, it gets a new total
            for key in [key for key, one in self._flows.items() if id(one.total) in gone]:
                del self._flows[key]
        return self.totals.of(flow, time)


def _is_nobodys(flow: Flow) -> bool:
    """Says whether it is not known who receives: there may have been no time to look."""
    return flow.kind is EventKind.RECEIVE and not flow.process
