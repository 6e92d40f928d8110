# SPDX-License-Identifier: Apache-2.0
"""Totals of what each process sent to each destination in a run; memory is bounded."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from tracer.model.flow import Endpoint, Flow
from tracer.model.process import Process

# Beyond this, the least recent half are merged by program. If programs are more than a quarter of
# this, the least recent half of them are merged into "(others)".
MAX_TOTALS: Final = 4096
OTHERS: Final = "(others)"

_Key = tuple[object, ...]


@dataclass(slots=True)
class Total:
    """What one sender sent to one destination; times are CLOCK_BOOTTIME, nanoseconds.

    If ``process`` is None, ``sender`` names a device or says that it is unknown. ``dst`` is None
    if several processes of one program, and several destinations, are merged. ``nat_dst`` is what
    NAT made of ``dst`` last; ``more_nat_dst``: it has made several of it. ``received`` is payload
    in bytes, as ``bytes`` is what was sent; None: it is not known. ``arrived`` is how many of
    ``count`` are packets that came to a flow that had not sent.
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

    def note_nat(self, nat_dst: Endpoint | None) -> None:
        """Keeps what NAT made of the destination. It is not known of a TCP connection's attempt."""
        if nat_dst is not None:
            self.more_nat_dst |= self.nat_dst not in (None, nat_dst)
            self.nat_dst = nat_dst

    def add(self, count: int, size: int, first: int, last: int) -> None:
        """Adds events, in whatever order they come."""
        self.count += count
        self.bytes += size
        self.first, self.last = min(self.first, first), max(self.last, last)

    def add_received(self, received: int | None) -> None:
        """Adds what was received, if that is known."""
        if received is not None:
            self.received = (self.received or 0) + received


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
        return sorted(self._totals.values(), key=lambda total: (-total.count, total.first))

    def events(self) -> int:
        """Returns how many events all totals have."""
        return sum(total.count for total in self._totals.values())

    def arrived(self) -> int:
        """Returns how many of these are packets that came to flows that had not sent."""
        return sum(total.arrived for total in self._totals.values())

    def merge_oldest(self) -> set[int]:
        """Merges those that were active longest ago; returns the ids (id()) that are gone."""
        single = self._by_age(lambda total: total.dst is not None)
        oldest = single[: len(single) // 2]
        gone = {id(self._totals[key]) for key in oldest}
        self._merge(oldest)
        programs = self._by_age(lambda total: total.dst is None)
        if len(programs) > MAX_TOTALS // 4:
            self._merge(programs[: len(programs) // 2])
        return gone

    def _by_age(self, wanted: Callable[[Total], bool]) -> list[_Key]:
        """Returns the keys of wanted totals, those that were active longest ago first."""
        return sorted(
            (key for key, total in self._totals.items() if wanted(total)),
            key=lambda key: self._totals[key].last,
        )

    def _merge(self, keys: Iterable[_Key]) -> None:
        """Merges totals by program, and those that are by program already into "(others)"."""
        for key in keys:
            total = self._totals.pop(key)
            exe = total.process.shown_exe if total.process else None
            sender = total.sender if total.dst else OTHERS
            merged = self._totals.setdefault(
                (sender, exe, total.proto),
                Total(None, sender, total.proto, None, total.first, total.last),
            )
            merged.add(total.count, total.bytes, total.first, total.last)
            merged.add_received(total.received)
            merged.arrived += total.arrived


def _key(flow: Flow) -> _Key:
    who = flow.process.identity if flow.process else flow.sender
    return who, flow.proto, flow.dst
