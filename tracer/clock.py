# SPDX-License-Identifier: Apache-2.0
"""Converts the kernel's boot clock to wall-clock time."""

import time


class WallClock:
    """Maps CLOCK_BOOTTIME to CLOCK_REALTIME, both in nanoseconds.

    The boot clock keeps running during a suspend, and :meth:`measure` measures the mapping
    again, so neither a suspend nor a stepped clock shifts later events.
    """

    def __init__(self) -> None:
        self._offset = 0
        self._second = -1
        self._prefix = ""
        self.measure()
        self._first_offset = round(self._offset, -7)

    def measure(self) -> None:
        """Measures the difference of the two clocks now; cheap enough for every batch."""
        before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        wall = time.clock_gettime_ns(time.CLOCK_REALTIME)
        after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._offset = wall - (before + after) // 2

    def wall(self, boot_ns: int) -> int:
        """Returns nanoseconds since the epoch."""
        return boot_ns + self._offset

    def iso_start(self, boot_ns: int) -> str:
        """Formats the start of a process as :meth:`iso` does, but by the first mapping, rounded
        to 10 ms, so that text and pid are the same wherever that process appears."""
        second, nanoseconds = divmod(boot_ns + self._first_offset, 1_000_000_000)
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{text}.{nanoseconds:09d}Z"

    def iso(self, boot_ns: int) -> str:
        """Formats as ``2026-11-23T17:00:00.123456789Z``; whole seconds are formatted once."""
        second, nanoseconds = divmod(boot_ns + self._offset, 1_000_000_000)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        return f"{self._prefix}{nanoseconds:09d}Z"

    def local(self, boot_ns: int) -> str:
        """Formats the local time of day as ``17:00:00.123``."""
        second, nanoseconds = divmod(boot_ns + self._offset, 1_000_000_000)
        clock = time.strftime("%H:%M:%S", time.localtime(second))
        return f"{clock}.{nanoseconds // 1_000_000:03d}"


def boot_now() -> int:
    """Returns CLOCK_BOOTTIME in nanoseconds, as ``bpf_ktime_get_boot_ns()`` does."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
