# SPDX-License-Identifier: Apache-2.0
"""When a run that goes on until it is told to stop is told so."""

import signal
from types import FrameType

from tracer.clock import boot_now
from tracer.sinks.screen import Screen


class Stop:
    """Says when to end: a signal, the time, or a reader of our output that went away."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._asked = False
        self._end: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def after(self, seconds: float) -> None:
        """Not later than so long from now."""
        self._end = boot_now() + int(seconds * 1e9)

    def __call__(self) -> bool:
        """Is it time?"""
        late = self._end is not None and boot_now() >= self._end
        return self._asked or self._screen.closed or late

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
