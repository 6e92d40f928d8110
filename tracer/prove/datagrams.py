# SPDX-License-Identifier: Apache-2.0
"""Compares how many UDP datagrams a network namespace says that it has sent with the calls that the
hooks saw there.

There may be more calls than datagrams: some fail, and several may make one datagram. There are
fewer only if a datagram was sent without a call, or by one that began before the hooks were
attached. So all calls since then are taken, those before the first reading, too.
"""

from typing import NamedTuple

from tracer.host.snmp import Datagrams, UdpCounters
from tracer.kernel.udp_calls import CallMap, Calls


class UdpDifference(NamedTuple):
    """A network namespace that has sent ``unseen`` UDP datagrams whose calls no hook saw."""

    netns: str  # its name, or its inode
    unseen: int


class Sending:
    """What one namespace sends by UDP. Make it inside. ``first`` is the first reading, by default
    that of a new namespace."""

    def __init__(self, calls: CallMap) -> None:
        """Raises OSError."""
        self._calls = calls
        self._counters = UdpCounters()
        self.first = Datagrams()

    def begin(self) -> None:
        """Takes the first reading. Raises OSError."""
        self.first = self._counters.sent()

    def unseen(self, cookie: int, inode: int) -> int:
        """Takes the last reading. Returns how many datagrams have no call. Raises OSError."""
        last = self._counters.sent()  # before the calls, since each is counted before it sends
        return compare(self.first, last, self._calls.of(cookie, inode))

    def close(self) -> None:
        """Lets the namespace go."""
        self._counters.close()


def compare(first: Datagrams, last: Datagrams, calls: Calls) -> int:
    """Returns how many datagrams were sent between two readings without a call."""
    numbers = zip(first, last, calls, strict=True)
    return sum(max(0, after - before - called) for before, after, called in numbers)
