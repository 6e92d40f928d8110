# SPDX-License-Identifier: Apache-2.0
"""Tells the log now and then how far a run has come: a run that is killed has no ``stop`` line."""

from collections.abc import Callable
from typing import Any, Final

from tracer.clock import boot_now
from tracer.trace.losses import Marks

PERIOD: Final = 60_000_000_000  # nanoseconds between two lines


class Alive:
    """Writes an ``alive`` line every minute. It is asked in passing, and wakes nobody by itself."""

    def __init__(
        self,
        marks: Marks,
        complete_until: Callable[[], int],
        fields: Callable[[], dict[str, Any]],
    ) -> None:
        """``complete_until`` returns the time (CLOCK_BOOTTIME, nanoseconds) before which all events
        are in the log."""
        self._marks = marks
        self._complete_until = complete_until
        self._fields = fields
        self._next = boot_now() + PERIOD

    def check(self) -> None:
        """Writes a line if it is time to."""
        now = boot_now()
        if now < self._next:
            return
        self._next = now + PERIOD
        self._marks.mark("alive", min(now, self._complete_until()), self._fields())
