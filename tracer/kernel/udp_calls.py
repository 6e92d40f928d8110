# SPDX-License-Identifier: Apache-2.0
"""How many calls began to send by UDP in each network namespace: bpf/udp_calls.bpf.c, whose
assertions hold these layouts."""

import struct
from typing import Final, NamedTuple

from tracer.kernel import syscall

_KEY: Final = struct.Struct("=QQ")
_VALUE: Final = struct.Struct("=QQ")


class Calls(NamedTuple):
    """Calls of udp_sendmsg() and of udpv6_sendmsg(), since the hooks were attached."""

    ipv4: int = 0
    ipv6: int = 0


class CallMap:
    """The counts by network namespace. ``cpus`` is how many CPUs are possible."""

    def __init__(self, map_fd: int, cpus: int) -> None:
        self._map = map_fd
        self._size = _VALUE.size * cpus

    def of(self, cookie: int, inode: int) -> Calls:
        """Returns the sums over all CPUs: no less than at the call. A cookie is 0 where the kernel
        has none."""
        try:
            values = syscall.map_lookup(self._map, _KEY.pack(cookie, inode), self._size)
        except FileNotFoundError:
            return Calls()
        return Calls._make(map(sum, zip(*_VALUE.iter_unpack(values), strict=True)))
