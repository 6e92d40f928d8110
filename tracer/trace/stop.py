# SPDX-License-Identifier: Apache-2.0
"""Decides when a run stops."""

import signal
from types import FrameType

from tracer.clock import boot_now
from tracer.output.stream import Stream
from tracer.trace.child import Command


class Stop:
    """Says when to stop: on a signal, after a time, when the reader of our output goes away, or
    when the traced command ends. The command gets the first signal; ``signalled`` is the number of
    the one that was for us, 0 if there was none."""

    def __init__(self, screen: Stream, command: Command | None = None) -> None:
        self._screen = screen
        self._command = command
        self._told = False
        self.signalled = 0
        self._end: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def after(self, seconds: float | None) -> None:
        """Stops so many seconds from now at the latest; None: no limit."""
        self._end = None if seconds is None else boot_now() + int(seconds * 1e9)

    def hang_up(self) -> None:
        """Stops because our terminal has gone away."""
        self.signalled = signal.SIGHUP

    def __call__(self) -> bool:
        """Says whether it is time to stop."""
        late = self._end is not None and boot_now() >= self._end
        over = self._command is not None and self._command.ended()
        return bool(self.signalled) or self._screen.closed or late or over

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._command and not self._told:
            self._told = True  # first: the next signal may come before this one is passed on
            self._command.signal(number)
        else:
            self.signalled = number
