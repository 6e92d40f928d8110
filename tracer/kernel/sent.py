# SPDX-License-Identifier: Apache-2.0
"""What the witness has counted: bpf/witness.bpf.c, whose assertions hold these layouts."""

import struct
from typing import Final, NamedTuple

from tracer.kernel import syscall

_KEY: Final = struct.Struct("=QII")
_VALUE: Final = struct.Struct("=4Q")


class Device(NamedTuple):
    """A network device: its namespace's cookie (0 where the kernel has none) and inode, and its
    number in there."""

    cookie: int
    netns: int
    ifindex: int


class Sent(NamedTuple):
    """How many packets the driver was handed (``started``), how many it had taken or dropped
    (``ended``), and how many of these it said that it dropped (``failed``). ``segments``: what
    hardware makes of those that were handed over."""

    started: int = 0
    segments: int = 0
    ended: int = 0
    failed: int = 0


class SentMap:
    """The counts by device. ``cpus`` is how many CPUs are possible."""

    def __init__(self, map_fd: int, cpus: int) -> None:
        self._map = map_fd
        self._size = _VALUE.size * cpus

    def of(self, device: Device) -> Sent:
        """Returns the sums over all CPUs: no less than at the call, no more than at the return."""
        try:
            values = syscall.map_lookup(self._map, _KEY.pack(*device), self._size)
        except FileNotFoundError:
            return Sent()
        return Sent._make(map(sum, zip(*_VALUE.iter_unpack(values), strict=True)))

    def devices(self) -> list[Device]:
        """Returns all that have sent."""
        keys = syscall.map_keys(self._map, _KEY.size)
        return [Device._make(_KEY.unpack(key)) for key in keys]
