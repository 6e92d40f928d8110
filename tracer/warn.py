# SPDX-License-Identifier: Apache-2.0
"""Standard error: what is for the user, apart from the data on standard output."""

import contextlib
import sys


def warn(message: str) -> None:
    """A line with the program's name."""
    to_stderr(f"sockwatch: {message}\n")


def to_stderr(text: str) -> None:
    """As it is."""
    with contextlib.suppress(OSError):  # nobody is there to read it
        sys.stderr.write(text)
        sys.stderr.flush()
