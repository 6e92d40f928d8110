# SPDX-License-Identifier: Apache-2.0
"""Errors that are shown to a user, each with what to do about it; caught once, in cli."""

from typing import Final

NOT_PROVEN: Final = 4  # exit status of ``prove``, also when it fails
# Exit status of a command that Ctrl-C ends before there was anything to stop; else 0.
INTERRUPTED: Final = {"prove": NOT_PROVEN}


class SockwatchError(Exception):
    """A failure that is not a bug: its message says what is wrong, then what to do.

    ``hint`` is the second part, an instruction.
    """

    exit_status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = str(self.args[0])
        return f"{message}: {self.hint}" if self.hint else message


class UsageError(SockwatchError):
    """An option's value makes no sense."""

    exit_status = 2


class ProbeError(SockwatchError):
    """No probe could be attached."""
