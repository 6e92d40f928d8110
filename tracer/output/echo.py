# SPDX-License-Identifier: Apache-2.0
"""Keeps a terminal from showing what is typed, where lines on it are rewritten: a key would move
them. Ctrl-C and the like work as ever."""

import os
import termios
from collections.abc import Callable
from typing import Final

_ECHO_FLAGS: Final = 3  # of termios.tcgetattr(): c_lflag


def off(descriptor: int) -> Callable[[], None]:
    """Turns echo off, if that is our terminal and we are in its foreground; returns what turns it
    on again."""
    try:
        before = termios.tcgetattr(descriptor)
        # in the background it would stop us: tcsetattr(3)
        ours = os.tcgetpgrp(descriptor) == os.getpgrp() and before[_ECHO_FLAGS] & termios.ECHO
    except (OSError, termios.error):
        return lambda: None
    if not ours:
        return lambda: None
    without = [*before]
    without[_ECHO_FLAGS] &= ~termios.ECHO
    termios.tcsetattr(descriptor, termios.TCSANOW, without)
    return lambda: _set(descriptor, before)


def _set(descriptor: int, attributes: list[object]) -> None:
    try:
        if os.tcgetpgrp(descriptor) == os.getpgrp():
            termios.tcsetattr(descriptor, termios.TCSANOW, attributes)  # type: ignore[arg-type]
    except (OSError, termios.error):  # the terminal has gone
        pass
