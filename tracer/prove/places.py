# SPDX-License-Identifier: Apache-2.0
"""A network namespace under watch: its devices, and what each had sent at first and at last.

The sockets that ask keep the namespace alive, with its devices, so that their counters can be read
once nothing else leads to it. Then they are closed, and it ends.
"""

import contextlib
import errno
from dataclasses import dataclass
from typing import Final

from tracer.host import netns
from tracer.host.netlink import devices
from tracer.host.netlink.devices import Counters, Link
from tracer.kernel.sent import Device, Sent, SentMap
from tracer.prove.reading import Comparison, Reading, compare, counts_segments

_TRIES: Final = 50  # readings of a device that is never quiet
# Their counters are not their own: a bond adds up its ports' (bond_get_stats()), which are compared
# themselves, and nlmon is handed copies of netlink messages, and counts them as received.
_NOT_COMPARED: Final = frozenset({"bond", "nlmon"})


@dataclass
class Watched:
    """A device. ``last`` is None as long as it is there. ``left``: what it had sent when its
    namespace was let go."""

    device: Device
    link: Link
    first: Reading
    last: Reading | None = None
    left: Sent | None = None

    @property
    def is_compared(self) -> bool:
        """Whether its counters are its own."""
        return self.link.kind not in _NOT_COMPARED

    def compare(self, last: Reading) -> Comparison:
        """Compares what it sent since the first reading."""
        return compare(self.first, last, segments=counts_segments(self.link))


class Place:
    """One namespace. Enter it before this is made."""

    def __init__(self, inode: int, sent: SentMap) -> None:
        """Raises OSError."""
        self.inode = inode
        self.devices: dict[int, Watched] = {}
        self._sent = sent
        with contextlib.ExitStack() as undo:
            self._changes = undo.enter_context(devices.connect_to_changes())
            self._asks = undo.enter_context(devices.connect())
            self._open = undo.pop_all()
        self.cookie = devices.netns_cookie(self._asks)

    def begin(self, *, is_new: bool) -> None:
        """Looks at all devices. ``is_new``: they were made after the hooks were attached, so that
        their counters began at 0. Raises OSError."""
        for link in devices.links(self._asks):
            watched = self._watch(link)
            if not is_new:
                watched.first = self._quiet_reading(watched)

    def resume(self, before: "Place") -> None:
        """Goes on with a namespace that nothing led to for a moment. Raises OSError."""
        for link in devices.links(self._asks):
            watched = before.devices.pop(link.ifindex, None) or self._watch(link)
            watched.last = None
            self.devices[link.ifindex] = watched
        self.devices |= before.devices  # gone meanwhile, with the readings that there are

    def hear(self) -> None:
        """Notes which devices came, and the last counters of those that went. What is missed
        (ENOBUFS) shows at the end: those that sent then have no counters."""
        try:
            for change in devices.changes(self._changes):
                watched = self.devices.get(change.link.ifindex) or self._watch(change.link)
                watched.link = change.link
                if change.last:
                    sent = self._sent.of(watched.device)
                    watched.last = Reading(sent, change.last, sent)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise

    def read(self, watched: Watched) -> Reading | None:
        """Reads a device; None if it is gone. Raises OSError."""
        before = self._sent.of(watched.device)
        try:
            found: Counters = devices.counters(self._asks, watched.link)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            return None
        return Reading(before, found, self._sent.of(watched.device))

    def end(self) -> None:
        """Takes the last readings: nothing leads here any more. Raises OSError."""
        self.hear()
        for watched in self.devices.values():
            watched.last = watched.last or self.read(watched)
        self.close()
        for watched in self.devices.values():
            watched.left = self._sent.of(watched.device)

    def close(self) -> None:
        """Lets the namespace go."""
        self._open.close()

    def _watch(self, link: Link) -> Watched:
        device = Device(self.cookie, self.inode, link.ifindex)
        watched = self.devices[link.ifindex] = Watched(device, link, Reading())
        return watched

    def _quiet_reading(self, watched: Watched) -> Reading:
        """Returns the most certain of some readings."""
        best: Reading | None = None
        for _ in range(_TRIES):
            reading = self.read(watched)
            if reading is None:
                break
            if best is None or reading.uncertain < best.uncertain:
                best = reading
            if not best.uncertain:
                break
        return best or Reading()


def enter(inode: int, path: str, sent: SentMap) -> Place:
    """Opens a namespace that a path leads to. Raises OSError."""
    if inode == netns.own():
        return Place(inode, sent)
    with netns.inside(path, inode):
        return Place(inode, sent)
