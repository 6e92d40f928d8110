# SPDX-License-Identifier: Apache-2.0
"""Errors that are shown to a user, each with what to do about it; caught once, in cli."""

from collections.abc import Sequence
from typing import Final

FAILED: Final = 2  # exit status, also of bad usage: as of grep(1), 1 says that nothing was found
NOT_PROVEN: Final = 4  # exit status of what asks for a proof, also when it fails or is stopped


def asks_for_proof(words: Sequence[str]) -> bool:
    """Says whether a command line, without the program's name, asks whether anybody did."""
    return words[:1] == ["prove"] or (words[:1] == ["report"] and "--prove" in words)


def failed(words: Sequence[str]) -> int:
    """Returns the exit status of a failure other than bad usage."""
    return NOT_PROVEN if asks_for_proof(words) else FAILED


def interrupted(words: Sequence[str]) -> int:
    """Returns the exit status where Ctrl-C ends a command before there was anything to stop."""
    return NOT_PROVEN if asks_for_proof(words) else 0


class SockwatchError(Exception):
    """A failure that is not a bug: its message says what is wrong, then what to do.

    ``hint`` is the second part, an instruction.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = str(self.args[0])
        return f"{message}: {self.hint}" if self.hint else message


class UsageError(SockwatchError):
    """An option's value makes no sense."""


class ProbeError(SockwatchError):
    """No probe could be attached."""
