# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: somebody wants the log reopened, or our terminal has gone away, tty(4)."""

import functools
import os
import signal
from collections.abc import Callable
from types import FrameType


def handle(reopen: Callable[[], None], end: Callable[[], None]) -> None:
    """From now on, SIGHUP calls ``end`` if our terminal has gone, else ``reopen``, in a signal
    handler. A process that is meant to outlive its terminal, as by nohup(1), never ends."""
    may_end = not was_ignored() and _has_terminal()

    def hang_up(_number: int, _frame: FrameType | None) -> None:
        if may_end and not _has_terminal():
            end()
        else:
            reopen()

    signal.signal(signal.SIGHUP, hang_up)


@functools.cache
def was_ignored() -> bool:
    """Says whether SIGHUP was ignored when this process started. Ask before it is handled."""
    return signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def _has_terminal() -> bool:
    """Says whether there is a controlling terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
