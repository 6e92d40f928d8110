# SPDX-License-Identifier: Apache-2.0
"""Converts the kernel's boot clock to wall-clock time."""

import bisect
import time
from pathlib import Path
from typing import Final

_STEP: Final = 50_000_000  # nanoseconds from which on a change of the difference is remembered


class WallClock:
    """Maps CLOCK_BOOTTIME to CLOCK_REALTIME, both in nanoseconds.

    The boot clock keeps running during a suspend, and :meth:`measure` measures the mapping
    again, so neither a suspend nor a stepped clock shifts later events. What began earlier keeps
    the mapping of that time.
    """

    def __init__(self) -> None:
        self._offset = 0
        self._second = -1
        self._prefix = ""
        self._since: list[int] = []  # boot times from which on another mapping holds
        self._offsets: list[int] = []  # these mappings, rounded to 10 ms
        self.measure()

    def measure(self) -> None:
        """Measures the difference of the two clocks now; cheap enough for ten times a second."""
        before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        wall = time.clock_gettime_ns(time.CLOCK_REALTIME)
        after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._offset = wall - (before + after) // 2
        if not self._offsets or abs(self._offset - self._offsets[-1]) >= _STEP:
            self._since.append(after)
            self._offsets.append(round(self._offset, -7))

    def wall(self, boot_ns: int) -> int:
        """Returns nanoseconds since the epoch."""
        return boot_ns + self._offset

    def iso_start(self, boot_ns: int) -> str:
        """Formats the start of a process as :meth:`iso` does, but by the mapping that was measured
        last when it started (or first of all), so that the text is the same wherever that process
        appears."""
        at = max(0, bisect.bisect_right(self._since, boot_ns) - 1)
        second, nanoseconds = divmod(boot_ns + self._offsets[at], 1_000_000_000)
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


def boot_id() -> str:
    """Returns what tells this boot from all others: random(4)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
