# SPDX-License-Identifier: Apache-2.0
"""Counts traffic for the metrics: by program, unit, protocol, outcome and ``--dst``."""

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from tracer.filter.endpoints import Endpoints
from tracer.filter.filters import NO_FILTERS, Filters
from tracer.model import who
from tracer.model.flow import EventKind, Flow, outcome
from tracer.output.prometheus import Metric, label_value
from tracer.trace.event import Event

MAX_SETS: Final = 200  # label sets; what comes then is counted together, to the end
OTHER: Final = "other"

# A value of --dst, as it was given, and what it stands for.
NamedDestination = tuple[str, Endpoints]


class Labels(NamedTuple):
    """What events are counted by; empty where there is none. ``program`` is an executable's path,
    or in brackets the device of what the kernel sends or hands on; ``dst`` the first value of
    ``--dst`` that it matches."""

    program: str
    unit: str
    proto: str
    outcome: str
    dst: str


_OTHERS: Final = Labels(*[OTHER] * len(Labels._fields))


class Sums:
    """What events of the same labels add up to. ``received`` is None if nothing has told of it."""

    __slots__ = ("events", "received", "sent")

    def __init__(self) -> None:
        self.events = 0
        self.sent = 0
        self.received: int | None = None

    def add(self, other: "Sums") -> None:
        """Adds what others add up to."""
        self.events += other.events
        self.sent += other.sent
        if other.received is not None:
            self.received = (self.received or 0) + other.received


class Traffic:
    """Counts events by their labels; others, for which there is no room, by ``--dst`` only."""

    def __init__(self, destinations: Sequence[NamedDestination]) -> None:
        self._destinations = [
            (label_value(value), NO_FILTERS._replace(dst=to.networks, dport=to.ports))
            for value, to in destinations
        ]
        self._sums: dict[Labels, Sums] = {}
        self._others: dict[str, Sums] = {}

    def write(self, events: Sequence[Event]) -> None:
        """Adds a batch."""
        for event in events:
            tracked = event.tracked
            sums = tracked.sums.get(event.error) if tracked.sums else None
            if sums is None:
                sums = self._sums_of(event)
            sums.events += event.count
            if tracked.is_end:
                if event.since:
                    sums.sent += event.since.sent
                    sums.received = (sums.received or 0) + event.since.received
            else:
                sums.sent += event.bytes
                if tracked.is_received:
                    sums.received = (sums.received or 0) + event.received

    def metrics(self) -> Iterator[Metric]:
        """Yields what was counted until now."""
        yield from _by_destination(self._by_destination())
        yield from _by_labels(self._sums | self._all_others())

    def _by_destination(self) -> dict[str, Sums]:
        """Returns the sums of each destination, those of the first ones from the start: a counter
        that begins with 1 has not increased, for Prometheus."""
        values = dict.fromkeys(value for value, _ in self._destinations)
        sums = {value: Sums() for value in list(values)[:MAX_SETS]}
        if sums:
            by_value = [(labels.dst, found) for labels, found in self._sums.items()]
            for value, found in (*by_value, *self._others.items()):
                sums.setdefault(value if value in sums else OTHER, Sums()).add(found)
        return sums

    def _all_others(self) -> dict[Labels, Sums]:
        together = Sums()
        for sums in self._others.values():
            together.add(sums)
        return {_OTHERS: together} if self._others else {}

    def _sums_of(self, event: Event) -> Sums:
        """Returns where an event is counted, and notes that for its flow."""
        tracked = event.tracked
        if tracked.flow.kind is EventKind.EXISTING:
            return Sums()  # it has moved nothing: that is counted when it does
        labels = self._labels(tracked.flow, event.error)
        sums = self._with_room(labels)
        tracked.sums = {**(tracked.sums or {}), event.error: sums}
        return sums

    def _with_room(self, labels: Labels) -> Sums:
        if labels in self._sums or len(self._sums) < MAX_SETS:
            return self._sums.setdefault(labels, Sums())
        return self._others.setdefault(labels.dst, Sums())

    def _labels(self, flow: Flow, error: int) -> Labels:
        return Labels(
            label_value(_program(flow)),
            label_value(_unit(flow)),
            flow.proto,
            outcome(flow.kind, error) or "",
            self._destination(flow),
        )

    def _destination(self, flow: Flow) -> str:
        matching = (value for value, asked in self._destinations if _is_to(flow, asked))
        return next(matching, "")


def _by_labels(sums: Mapping[Labels, Sums]) -> Iterator[Metric]:
    each = [(labels._asdict(), found) for labels, found in sums.items()]
    for name, meaning, get in (
        ("events", "Events that match, as the log has them.", attrgetter("events")),
        ("sent_bytes", "Payload that was sent.", attrgetter("sent")),
        (
            "received_bytes",
            "Payload that was received, where that is measured.",
            attrgetter("received"),
        ),
    ):
        known = [(labels, get(found)) for labels, found in each if get(found) is not None]
        yield Metric(f"sockwatch_{name}_total", "counter", meaning, known)


def _by_destination(sums: Mapping[str, Sums]) -> Iterator[Metric]:
    each = [({"dst": value}, found) for value, found in sums.items()]
    yield Metric(
        "sockwatch_dst_events_total",
        "counter",
        "Events by the first value of --dst that they match.",
        [(labels, found.events) for labels, found in each],
    )
    yield Metric(
        "sockwatch_dst_bytes_total",
        "counter",
        "Payload sent and received, likewise.",
        [(labels, found.sent + (found.received or 0)) for labels, found in each],
    )


def _is_to(flow: Flow, asked: Filters) -> bool:
    """Says whether a flow is to what a value of ``--dst`` stands for."""
    nat = flow.nat.dst
    return asked.passes_dst(flow.dst.addr, nat.addr if nat else flow.hop) and asked.may_match(flow)


def _program(flow: Flow) -> str:
    if flow.process:
        return who.role(flow.process).program
    device = flow.origin.device if flow.origin else flow.interface
    return f"[{device or 'unknown'}]"


def _unit(flow: Flow) -> str:
    """Returns the systemd unit; none for a container's, which has another name each time, nor for
    who is logged in."""
    process = flow.process
    return (process and not process.container and who.role(process).place) or ""
