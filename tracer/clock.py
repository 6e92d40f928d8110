# SPDX-License-Identifier: Apache-2.0
"""From the kernel's boot clock to wall-clock time."""

import time


class WallClock:
    """Maps CLOCK_BOOTTIME to CLOCK_REALTIME, both in nanoseconds.

    The boot clock runs on through a suspend, and the mapping is measured again by
    :meth:`measure`, so that neither a suspend nor a stepped clock shifts later events.
    """

    def __init__(self) -> None:
        self._offset = 0
        self._second = -1
        self._prefix = ""
        self.measure()
        self._first_offset = round(self._offset, -7)

    def measure(self) -> None:
        """Takes the difference of the two clocks now; cheap enough for every batch."""
        before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        wall = time.clock_gettime_ns(time.CLOCK_REALTIME)
        after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._offset = wall - (before + after) // 2

    def wall(self, boot_ns: int) -> int:
        """Nanoseconds since the epoch."""
        return boot_ns + self._offset

    def iso_start(self, boot_ns: int) -> str:
        """As :meth:`iso`, for the start of a process: with the first mapping, to 10 ms, so that
        the text, with the pid, is the same wherever that process appears."""
        second, nanoseconds = divmod(boot_ns + self._first_offset, 1_000_000_000)
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{text}.{nanoseconds:09d}Z"

    def iso(self, boot_ns: int) -> str:
        """As ``2026-11-23T17:00:00.123456789Z``; the text is made once a second."""
        second, nanoseconds = divmod(boot_ns + self._offset, 1_000_000_000)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        return f"{self._prefix}{nanoseconds:09d}Z"

    def local(self, boot_ns: int) -> str:
        """Local time of day as ``17:00:00.123``."""
        second, nanoseconds = divmod(boot_ns + self._offset, 1_000_000_000)
        clock = time.strftime("%H:%M:%S", time.localtime(second))
        return f"{clock}.{nanoseconds // 1_000_000:03d}"


def boot_now() -> int:
    """CLOCK_BOOTTIME in nanoseconds, what ``bpf_ktime_get_boot_ns()`` gives."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
