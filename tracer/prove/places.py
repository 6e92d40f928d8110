# SPDX-License-Identifier: Apache-2.0
"""A network namespace under watch: its devices, what each had sent at first and at last, and what
was sent by UDP.

The sockets and files that are asked keep the namespace alive, with its devices, so that counters
can be read once nothing else leads to it. Then they are closed, and it ends.
"""

import contextlib
import errno
import math
import time
from dataclasses import dataclass
from typing import Final

from tracer.host import netns
from tracer.host.netlink import devices, sock_diag
from tracer.host.netlink.devices import Counters, Link
from tracer.kernel.sent import Device, Sent, SentMap
from tracer.kernel.udp_calls import CallMap
from tracer.model.socket import FIN_WAIT_2, STATE_GROUPS
from tracer.prove.datagrams import Sending
from tracer.prove.reading import Comparison, Reading, compare, counts_segments

# Seconds. A closed socket lets its namespace go later (deferred_put_nlk_sk(), net/netlink).
_ENDS_WITHIN: Final = 1.0
_TRIES: Final = 50  # readings of a device that is never quiet
# Their counters are not their own: a bond adds up its ports' (bond_get_stats()), which are compared
# themselves, and nlmon is handed copies of netlink messages, and counts them as received.
_NOT_COMPARED: Final = frozenset({"bond", "nlmon"})

# Those in which TCP sends on its own, and keeps the namespace alive. Not FIN-WAIT-2: without a
# process it is a bucket like TIME-WAIT's (tcp_fin(), tcp_close(): net/ipv4).
_SENDING: Final = STATE_GROUPS["big"] - {FIN_WAIT_2}


@dataclass
class Watched:
    """A device. ``last`` is None as long as it is there. ``left``: what it had sent once its
    namespace had been let go; None if that was a moment ago, or not yet."""

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
    """One namespace. Enter it before this is made. ``udp`` is None where no calls are counted;
    ``unseen_datagrams``: how many it has sent by UDP without a call that a hook saw."""

    def __init__(self, inode: int, sent: SentMap, calls: CallMap | None) -> None:
        """``calls`` is None where none are counted. Raises OSError."""
        self.inode = inode
        self.devices: dict[int, Watched] = {}
        self.unseen_datagrams = 0
        self._let_go = math.inf
        self._sent = sent
        self.udp: Sending | None = None
        with contextlib.ExitStack() as undo:
            self._changes = undo.enter_context(devices.connect_to_changes())
            self._asks = undo.enter_context(devices.connect())
            if calls:
                self.udp = undo.enter_context(contextlib.closing(Sending(calls)))
            self._open = undo.pop_all()
        self.cookie = devices.netns_cookie(self._asks)

    def begin(self, *, is_new: bool) -> None:
        """Looks at all counters. ``is_new``: they began at 0 after the hooks were attached. Raises
        OSError."""
        if self.udp and not is_new:
            self.udp.begin()
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
        if self.udp and before.udp:
            self.udp.first = before.udp.first

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

    def has_connections(self) -> bool:
        """Says whether TCP connections keep the namespace alive: what their programs left to be
        sent is sent for minutes after these have ended, or the end itself again. Where that cannot
        be asked, none do; what is sent all the same is said (:meth:`note_left`)."""
        try:
            with netns.inside_of(self._asks), sock_diag.connect() as asks:
                return any(
                    True
                    for version in (4, 6)
                    for _ in sock_diag.dump(asks, "tcp", version, _SENDING, self.inode)
                )
        except OSError:  # a kernel without tcp_diag, for example
            return False

    def end(self) -> None:
        """Takes the last readings: nothing leads here any more. Raises OSError."""
        self.hear()
        for watched in self.devices.values():
            watched.last = watched.last or self.read(watched)
        self.hear()  # which of them have gone since
        self.count_datagrams()
        self.close()
        self._let_go = time.monotonic()

    def note_left(self) -> None:
        """Notes what its devices had sent when it was let go, once it has had time to end."""
        if time.monotonic() < self._let_go + _ENDS_WITHIN:
            return
        self._let_go = math.inf
        for watched in self.devices.values():
            watched.left = self._sent.of(watched.device)

    def count_datagrams(self) -> None:
        """Takes the last reading of what was sent by UDP. Raises OSError."""
        if self.udp:
            self.unseen_datagrams = self.udp.unseen(self.cookie, self.inode)

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


def enter(inode: int, path: str, sent: SentMap, calls: CallMap | None) -> Place:
    """Opens a namespace that a path leads to. Raises OSError."""
    if inode == netns.own():
        return Place(inode, sent, calls)
    with netns.inside(path, inode):
        return Place(inode, sent, calls)
