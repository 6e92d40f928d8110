# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: somebody wants the log opened anew, or our terminal has gone away, tty(4)."""

import functools
import os
import signal
from collections.abc import Callable
from types import FrameType


def handle(reopen: Callable[[], None], end: Callable[[], None]) -> None:
    """From now on does the one or the other; both may be called by a signal handler. Never ends
    where it is to outlive its terminal, as nohup(1) has it."""
    may_end = not was_ignored() and _has_terminal()

    def hang_up(_number: int, _frame: FrameType | None) -> None:
        if may_end and not _has_terminal():
            end()
        else:
            reopen()

    signal.signal(signal.SIGHUP, hang_up)


@functools.cache
def was_ignored() -> bool:
    """Was SIGHUP ignored when this process started? To be asked before it is handled."""
    return signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def _has_terminal() -> bool:
    """Is there a controlling terminal?"""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
