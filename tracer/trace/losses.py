# SPDX-License-Identifier: Apache-2.0
"""Looks for losses now and then and reports them at once."""

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from tracer.clock import boot_now
from tracer.model.counts import in_words

_PERIOD: Final = 0.1  # seconds between two looks
_QUIET: Final = 1.0  # seconds between two messages to the user; the log has all


class Counted(Protocol):
    """What counts the losses (:class:`tracer.kernel.session.Session`)."""

    def losses(self) -> dict[str, int]:
        """Returns how many of each kind there were since the start."""


class Marks(Protocol):
    """What writes them down (:class:`tracer.trace.jsonl.JsonLines`)."""

    def mark(self, event: str, boot_ns: int, fields: dict[str, Any]) -> None:
        """Writes a line about the run itself."""


class Losses:
    """Writes a ``lost`` line whenever more has been lost."""

    def __init__(
        self,
        counted: Counted,
        marks: Marks,
        warn: Callable[[str], None],
        recover: Callable[[int], None],
    ) -> None:
        """``recover`` is called with the time (CLOCK_BOOTTIME, nanoseconds) when ends of processes
        have been missed."""
        self._counted = counted
        self._marks = marks
        self._warn = warn
        self._recover = recover
        self._known = dict.fromkeys(counted.losses(), 0)
        self._next_look = 0.0
        self._next_message = 0.0

    @property
    def any(self) -> bool:
        """Whether anything has been lost."""
        return any(self._known.values())

    def check(self, *, at_once: bool = False) -> None:
        """Looks for losses, unless it did so a moment ago."""
        now = time.monotonic()
        if now < self._next_look and not at_once:
            return
        self._next_look = now + _PERIOD
        found = self._counted.losses()
        more = {name: count - self._known[name] for name, count in found.items()}
        self._known = found
        if not any(more.values()):
            return
        if more["processes_lost"]:
            self._recover(boot_now())
        self._marks.mark("lost", boot_now(), more)
        if now >= self._next_message:
            self._next_message = now + _QUIET
            hint = "; --buffer-pages gives more room" if more["lost"] else ""
            if more["unfollowed"]:
                hint += "; not all descendants are followed"
            self._warn(f"not recorded: {in_words(more)}{hint}")
