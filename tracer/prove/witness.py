# SPDX-License-Identifier: Apache-2.0
"""The witness: do the devices' own counters agree with what the hooks saw of each? And has no
network namespace sent more datagrams by UDP than the hooks saw calls?

In every network namespace, also of devices and namespaces that come and go meanwhile. It looks at
all devices of this machine, whatever the filter, because a packet that no hook sees has no address.
"""

import errno
import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

from tracer.errors import SockwatchError
from tracer.host import netns
from tracer.kernel.newcomers import LeftOut
from tracer.kernel.sent import Device, SentMap
from tracer.kernel.udp_calls import CallMap
from tracer.model.counts import counted
from tracer.prove.datagrams import UdpDifference
from tracer.prove.newcomers import Newcomers
from tracer.prove.places import Place, Watched, enter
from tracer.prove.reading import Reading

_PERIOD: Final = 0.1  # seconds between two looks for namespaces that come and go
_LOOKS: Final = 5  # at once, for a device that is not known
_SETTLE: Final = 2.0  # seconds for drivers that count when a packet has left
_PAUSE: Final = 0.005


class Difference(NamedTuple):
    """A device whose counter disagrees. ``unseen``, ``missing``: see
    :class:`tracer.prove.reading.Comparison`."""

    device: str
    netns: str  # the namespace's name, or its inode
    unseen: int
    missing: int


class Findings(NamedTuple):
    """What the witness says. ``packets`` were handed to ``devices`` in ``namespaces``;
    ``uncertain``: how many were sent while counters were read. ``unread``, each in words: what
    could not be compared."""

    packets: int
    devices: int
    namespaces: int
    uncertain: int
    differences: list[Difference]
    unread: list[str]
    udp_differences: list[UdpDifference]


class Witness:
    """Watches all devices from construction to :meth:`finish`. The hooks are attached."""

    def __init__(
        self, sent: SentMap, calls: CallMap | None, left_out: LeftOut, newcomers: Newcomers
    ) -> None:
        """``calls`` is None by a probe that hooks none."""
        self._sent = sent
        self._calls = calls
        self._left_out = left_out
        self._newcomers = newcomers
        self._before = {device: sent.of(device) for device in sent.devices()}
        self._places: dict[int, Place] = {}
        self._ended: list[Place] = []
        self._not_found: set[int] = set()
        self._refused: dict[int, str] = {}
        self._unreadable = 0
        self._looked_for: Counter[Device] = Counter()
        self._next_look = 0.0
        self._sent_until: list[Device] = []
        self._look(at_start=True)

    def check(self) -> None:
        """Looks for what came and went, unless it did so a moment ago."""
        self._meet_newcomers(at_start=False)
        now = time.monotonic()
        if now >= self._next_look or self._sees_new():
            self._next_look = now + _PERIOD
            self._look(at_start=False)

    def _sees_new(self) -> bool:
        """Says whether a device has sent that is not known: it may be of a new namespace, which may
        end soon."""
        known = {one.device for one in self._devices()}
        new = [one for one in self._sent.devices() if one not in known]
        new = [one for one in new if self._looked_for[one] < _LOOKS]
        self._looked_for.update(new)
        return bool(new)

    def _devices(self) -> Iterator[Watched]:
        for place in (*self._ended, *self._places.values()):
            yield from place.devices.values()

    def finish(self) -> Findings:
        """Compares, as soon as a device is quiet and has counted all; waits for that a while. The
        hooks are still attached. What has sent nothing until this call is not asked for."""
        self._sent_until = self._sent.devices()
        self._look(at_start=False)
        self._settle()
        for place in self._places.values():
            place.count_datagrams()
        findings = self._findings()
        for place in self._places.values():
            place.close()
        return findings

    def _meet_newcomers(self, *, at_start: bool) -> None:
        """Begins with the namespaces that have been opened meanwhile."""
        for inode, descriptor in self._newcomers.opened():
            try:
                if inode not in self._places:
                    self._begin(inode, f"/proc/self/fd/{descriptor}", at_start=at_start)
            finally:
                os.close(descriptor)

    def _look(self, *, at_start: bool) -> None:
        # first, so that the paths that lead there are found
        self._meet_newcomers(at_start=at_start)
        paths, self._unreadable = netns.all_namespaces()
        missing = self._places.keys() - paths.keys()
        for inode in missing & self._not_found:
            if not self._places[inode].has_connections():
                self._end(inode)
        self._not_found = missing  # of a process that forks and ends meanwhile, none may be found
        for inode, path in paths.items():
            if inode not in self._places:
                self._begin(inode, path, at_start=at_start)
        for place in self._places.values():
            place.hear()
        for place in self._ended:
            place.note_left()

    def _end(self, inode: int) -> None:
        place = self._places.pop(inode)
        place.end()
        self._left_out.remove(place.cookie, inode)
        self._ended.append(place)

    def _begin(self, inode: int, path: str, *, at_start: bool) -> None:
        try:
            place = enter(inode, path, self._sent, self._calls)
            before = self._ended_before(place)
            if before:
                place.resume(before)
            else:
                place.begin(is_new=not at_start)
        except FileNotFoundError:  # it has ended
            return
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise SockwatchError(
                    f"{len(self._places)} network namespaces are watched, and there are more than "
                    f"can be opened ({error.strerror})",
                    "raise the limit, as with 'ulimit -n 4096'",
                ) from None
            self._refused[inode] = f"{path} ({error.strerror})"
            return
        self._refused.pop(inode, None)
        self._places[inode] = place
        self._left_out.add(place.cookie, inode)

    def _ended_before(self, place: Place) -> Place | None:
        """Takes a namespace that was taken for ended, if it is this one; else returns None."""
        for ended in self._ended:
            if place.cookie and ended.cookie == place.cookie:
                self._ended.remove(ended)
                return ended
        return None

    def _settle(self) -> None:
        """Reads each device until it agrees to the packet; else keeps what agrees best."""
        until = time.monotonic() + _SETTLE
        pending = [(place, one) for place in self._places.values() for one in place.devices.values()
                   if one.last is None and one.is_compared]  # fmt: skip
        while pending:
            pending = [(place, one) for place, one in pending if not _settled(place, one)]
            if time.monotonic() >= until:
                return
            if pending:
                time.sleep(_PAUSE)
                for place in self._places.values():
                    place.hear()

    def _findings(self) -> Findings:
        names = netns.names()
        places = [*self._ended, *self._places.values()]
        devices = list(self._devices())
        packets = sum(
            self._sent.of(device).started - before.started
            for device in self._sent.devices()
            for before in (self._before.get(device, Reading().before),)
        )
        differences, uncertain = [], 0
        for one in devices:
            if one.last is None or not one.is_compared:
                continue
            found = one.compare(one.last)
            uncertain += found.uncertain
            if not found.agrees:
                where = names.get(one.device.netns, str(one.device.netns))
                differences.append(Difference(one.link.name, where, found.unseen, found.missing))
        by_udp = [UdpDifference(names.get(place.inode, str(place.inode)), place.unseen_datagrams)
                  for place in places if place.unseen_datagrams]  # fmt: skip
        unread = self._unread(devices)
        return Findings(packets, len(devices), len(places), uncertain, differences, unread, by_udp)

    def _unread(self, devices: list[Watched]) -> list[str]:
        """Says in words what could not be compared."""
        said = [f"the network namespace {reason} cannot be entered, so that its counters are not "
                "known" for reason in self._refused.values()]  # fmt: skip
        if self._unreadable:
            said.append(f"{self._unreadable} processes cannot be looked into: network namespaces "
                        "that only they are in are not known")  # fmt: skip
        said += [f"{one.link.name} was gone before its counters could be read"
                 for one in devices if one.last is None and one.is_compared]  # fmt: skip
        fleeting = self._not_watched(devices)
        if fleeting:
            packets = sum(self._sent.of(device).started for device in fleeting)
            said.append(f"{counted(packets, 'packet')} on {counted(len(fleeting), 'device')} were "
                        "looked at, but no counter confirms it: nothing leads to their network "
                        "namespace, or it had ended before it was found")  # fmt: skip
        said += [f"{one.link.name} went on sending in the network namespace {place.inode}, which "
                 "nothing leads to" for place in self._ended
                 for one in place.devices.values()
                 if one.left and self._sent.of(one.device) != one.left]  # fmt: skip
        return said

    def _not_watched(self, devices: list[Watched]) -> list[Device]:
        known = {one.device for one in devices}
        return [
            device
            for device in self._sent_until
            if device not in known and self._sent.of(device) != self._before.get(device)
        ]


def _settled(place: Place, one: Watched) -> bool:
    """Reads a device once more; says whether that is enough."""
    reading = place.read(one)
    if reading is None:  # it is gone: its last counters come with the notification
        place.hear()
        return True
    if one.last is None or _doubt(one, reading) < _doubt(one, one.last):
        one.last = reading
    found = one.compare(one.last)
    return not (found.uncertain or found.missing)  # what no hook saw stays so


def _doubt(one: Watched, reading: Reading) -> tuple[int, int]:
    """A certain difference counts for more than an uncertain agreement."""
    found = one.compare(reading)
    return found.uncertain, found.unseen + found.missing
