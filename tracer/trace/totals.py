# SPDX-License-Identifier: Apache-2.0
"""Totals of what each process sent to each destination in a run; memory is bounded."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from tracer.model import who
from tracer.model.flow import Endpoint, Flow
from tracer.model.process import Process
from tracer.trace import rhythm

# Beyond this, the least recent half are merged by role. If merged ones are more than a quarter of
# this, the least recent half of them are merged by program, then into "(others)".
MAX_TOTALS: Final = 4096
OTHERS: Final = "(others)"

_Key = tuple[object, ...]
_Lifetime = tuple[int | None, int | None, int]
_MERGED: Final = object()  # begins the keys of merged totals


@dataclass(slots=True)
class Total:
    """What one sender sent to one destination; times are CLOCK_BOOTTIME, nanoseconds.

    If ``process`` is None, ``sender`` names a device or says that it is unknown. If ``processes``
    are more than one, it is one of them, with the arguments that they share; ``others`` are the
    rest, and ``forgotten`` how many more there were that it has no room for. ``dst`` is None if
    several destinations are merged. ``nat_dst`` is what NAT made of ``dst`` last;
    ``more_nat_dst``: it has made several of it. ``received`` is payload in bytes, as ``bytes`` is
    what was sent; None: it is not known. ``arrived`` is how many of ``count`` are packets that came
    to a flow that had not sent. ``beats`` are the times of events after a pause, the first one's,
    too (:mod:`tracer.trace.rhythm`); ``last_event`` is when the last event was, while ``last`` may
    be when a connection was looked at.
    """

    process: Process | None
    sender: str
    proto: str
    dst: Endpoint | None
    first: int
    last: int
    count: int = 0
    bytes: int = 0
    received: int | None = None
    arrived: int = 0
    nat_dst: Endpoint | None = None
    more_nat_dst: bool = False
    others: set[_Lifetime] = field(default_factory=set)
    forgotten: int = 0
    beats: list[int] = field(default_factory=list)
    last_event: int = -rhythm.PAUSE - 1

    def note_nat(self, nat_dst: Endpoint | None) -> None:
        """Keeps what NAT made of the destination. It is not known of a TCP connection's attempt."""
        if nat_dst is not None:
            self.more_nat_dst |= self.nat_dst not in (None, nat_dst)
            self.nat_dst = nat_dst

    def add(self, count: int, size: int, first: int, last: int) -> None:
        """Adds events, in whatever order they come."""
        if count:
            if first - self.last_event > rhythm.PAUSE:
                self.beat(first)
            self.last_event = max(self.last_event, last)
        self.count += count
        self.bytes += size
        self.first, self.last = min(self.first, first), max(self.last, last)

    def beat(self, time: int) -> None:
        """Notes an event after a pause."""
        self.beats.append(time)
        if len(self.beats) > 2 * rhythm.MAX_BEATS:
            del self.beats[: rhythm.MAX_BEATS]

    def add_received(self, received: int | None) -> None:
        """Adds what was received, if that is known."""
        if received is not None:
            self.received = (self.received or 0) + received

    def merge(self, other: "Total") -> None:
        """Adds what another sender did."""
        self.beats = rhythm.joined([*self.beats, *other.beats])
        self.last_event = max(self.last_event, other.last_event)
        self.add(other.count, other.bytes, other.first, other.last)
        self.add_received(other.received)
        self.arrived += other.arrived
        self.note_nat(other.nat_dst)
        self.more_nat_dst |= other.more_nat_dst
        self.forgotten += other.forgotten
        if self.process and other.process:
            others = self.others | other.others | {_lifetime(other.process)}
            self.others = others - {_lifetime(self.process)}
            self.process = who.common(self.process, other.process)

    @property
    def processes(self) -> int:
        """How many processes it is about."""
        return (self.process is not None) + len(self.others) + self.forgotten

    @property
    def is_about(self) -> bool:
        """Whether a process that came back may be among ``processes`` twice."""
        return bool(self.forgotten)

    def forget(self) -> None:
        """Remembers no more than how many others there were."""
        self.forgotten += len(self.others)
        self.others = set()


class Totals:
    """The totals by process (pid, start time and name), protocol and destination."""

    def __init__(self) -> None:
        self._totals: dict[_Key, Total] = {}

    def __len__(self) -> int:
        return len(self._totals)

    def has_room_for(self, flow: Flow) -> bool:
        """Says whether a flow's total has room; if not, call :meth:`merge_oldest` first."""
        return len(self._totals) < MAX_TOTALS or _key(flow) in self._totals

    def of(self, flow: Flow, time: int) -> Total:
        """Returns a flow's total, which is made if there is none."""
        key = _key(flow)
        total = self._totals.get(key)
        if total is None:
            total = Total(flow.process, flow.sender, flow.proto, flow.dst, time, time)
            self._totals[key] = total
        total.note_nat(flow.nat.dst)
        return total

    def most_first(self) -> list[Total]:
        """Returns all totals, most events first."""
        return _most_first(self._totals.values())

    def any_moved(self) -> bool:
        """Says whether anybody has sent or received, also by a connection from before."""
        return any(one.count or one.bytes or one.received for one in self._totals.values())

    def events(self) -> int:
        """Returns how many events all totals have."""
        return sum(total.count for total in self._totals.values())

    def arrived(self) -> int:
        """Returns how many of these are packets that came to flows that had not sent."""
        return sum(total.arrived for total in self._totals.values())

    def merge_oldest(self) -> set[int]:
        """Merges those that were active longest ago; returns the ids (id()) that are gone."""
        single = self._by_age(lambda key: key[0] is not _MERGED)
        oldest = single[: len(single) // 2]
        gone = {id(self._totals[key]) for key in oldest}
        self._merge(oldest, lambda total: total)
        while len(roles := self._by_age(_is_of_role)) > MAX_TOTALS // 4:
            self._merge(roles[: len(roles) // 2], _by_program)
        return gone

    def _by_age(self, wanted: Callable[[_Key], bool]) -> list[_Key]:
        """Returns the wanted keys, those that were active longest ago first."""
        return sorted(filter(wanted, self._totals), key=lambda key: self._totals[key].last)

    def _merge(self, keys: Iterable[_Key], coarser: Callable[[Total], Total]) -> None:
        """Merges each into the total that ``coarser`` makes of it, or into one like that."""
        for key in keys:
            _merge_into(self._totals, coarser(self._totals.pop(key))).forget()


def by_role(totals: Iterable[Total]) -> list[Total]:
    """Merges what processes of the same role (:class:`tracer.model.who.Role`) sent to the same
    destination; most events first."""
    merged: dict[_Key, Total] = {}
    for total in totals:
        _merge_into(merged, replace(total))
    return _most_first(merged.values())


def _lifetime(process: Process) -> _Lifetime:
    """Returns what tells processes apart, whatever their names are by then."""
    return process.identity[:3]


def _merge_into(merged: dict[_Key, Total], total: Total) -> Total:
    """Merges it into one that is there already; returns that, or itself."""
    process = total.process
    key = (_MERGED, who.role(process) if process else total.sender, total.proto, total.dst)
    known = merged.setdefault(key, total)
    if known is not total:
        known.merge(total)
    return known


def _is_of_role(key: _Key) -> bool:
    return key[0] is _MERGED and key[1] != OTHERS


def _by_program(total: Total) -> Total:
    """Returns it without its destination; if it has none, without its process."""
    if total.dst is None:
        return replace(total, process=None, sender=OTHERS, nat_dst=None)
    return replace(total, dst=None, nat_dst=None, more_nat_dst=False)


def _most_first(totals: Iterable[Total]) -> list[Total]:
    return sorted(totals, key=lambda total: (-total.count, total.first))


def _key(flow: Flow) -> _Key:
    sender = flow.process.identity if flow.process else flow.sender
    return sender, flow.proto, flow.dst
