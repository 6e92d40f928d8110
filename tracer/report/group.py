# SPDX-License-Identifier: Apache-2.0
"""A group of a report, and the order of several."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tracer.model.process import Process
from tracer.model.who import Who, common, who_of
from tracer.report.keys import Sender, Shape

LATER: Final = b"~"  # than any time


@dataclass(slots=True, weakref_slot=True, eq=False)
class Group:
    """What one group did; times are as in the log, ``activity`` is by a timeline's parts.

    Of a role or a process, ``sender`` is one of those that sent, and ``process`` has the arguments
    that all share. What sent without a process is named by ``device``, and a forwarded packet's
    ``origin``. ``processes`` are the hashes of what tells its processes apart; None: they are
    not counted, or too many.
    """

    keys: dict[str, Any]
    processes: Set[int] | None = None
    sender: Sender | None = None
    process: Process | None = None
    device: str = ""
    origin: str | None = None
    first: bytes = LATER
    last: bytes = b""
    count: int = 0
    bytes: int = 0
    received: int | None = None  # bytes
    activity: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def who(self) -> Who:
        """Says who it was."""
        if self.sender and self.sender.process is self.process:
            return self.sender.who
        return who_of(self.process, self.device)

    def name(self, shape: Shape) -> None:
        """Says who is behind it."""
        if shape.sender:
            process = shape.sender.process
            if process is not self.process:
                self.process = common(process, self.process) if self.process else process
        else:
            self.device = shape.flow.sender
            self.origin = shape.flow.origin and str(shape.flow.origin)
        self.sender = shape.sender

    def add(self, other: "Group") -> None:
        """Adds what another one did, and who was behind it."""
        if self.process and other.process:
            self.process = common(other.process, self.process)
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.count += other.count
        self.bytes += other.bytes
        if other.received is not None:
            self.received = (self.received or 0) + other.received
        for part, count in other.activity.items():
            self.activity[part] += count

    def reset(self) -> None:
        """Forgets what it did, but not who it is."""
        self.first, self.last = LATER, b""
        self.count = self.bytes = 0
        self.received = None
        self.activity.clear()


class Rest(NamedTuple):
    """What so many groups did, of which each by itself is not told."""

    number: int
    sums: Group


class _Order(NamedTuple):
    """By what groups are ordered, and which of these that is: bytes, received bytes, events."""

    key: Callable[[Group], Any]
    measured: int


_ORDERS: Final = {
    "events": _Order(lambda group: group.count, 2),
    "bytes": _Order(lambda group: group.bytes, 0),
    "received": _Order(lambda group: -1 if group.received is None else group.received, 1),
    "last": _Order(lambda group: group.last, 2),
}
ORDERS: Final = tuple(_ORDERS)


def ordered(groups: Iterable[Group], order: str) -> list[Group]:
    """Returns the groups, those with the most, or the last, first; of equals, who was first."""
    return sorted(
        sorted(groups, key=lambda group: group.first), key=_ORDERS[order].key, reverse=True
    )


def measured_by(order: str) -> int:
    """Returns which number of a line tells how active it was: what groups are ordered by, or
    events, if that is a time."""
    return _ORDERS[order].measured


def measure(group: Group, order: str) -> int:
    """Returns the sum of that number."""
    return (group.bytes, group.received or 0, group.count)[measured_by(order)]


def merged(groups: Iterable[Group], rest: Rest | None) -> Rest | None:
    """Returns what several groups and a rest did; None: there are none."""
    number, sums = 0, Group({})
    for group in groups:
        number += 1
        sums.add(group)
    if rest:
        number += rest.number
        sums.add(rest.sums)
    return Rest(number, sums) if number else None
