# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: somebody wants the log opened anew, or our terminal has gone away, tty(4)."""

import os
import signal
from collections.abc import Callable
from types import FrameType


def handle(reopen: Callable[[], None], end: Callable[[], None]) -> None:
    """From now on does the one or the other; both may be called by a signal handler."""
    had_terminal = _has_terminal()

    def hang_up(_number: int, _frame: FrameType | None) -> None:
        if had_terminal and not _has_terminal():
            end()
        else:
            reopen()

    signal.signal(signal.SIGHUP, hang_up)


def _has_terminal() -> bool:
    """Is there a controlling terminal?"""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
