# SPDX-License-Identifier: Apache-2.0
"""Writes messages for the user to standard error, apart from the data on standard output."""

import contextlib
import sys

from tracer.printable import safe


def warn(message: str) -> None:
    """Writes a line that begins with the program's name; what is not safe to show is escaped."""
    to_stderr(f"sockwatch: {safe(message)}\n")


def to_stderr(text: str) -> None:
    """Writes the text as it is."""
    with contextlib.suppress(OSError):  # nobody reads it
        sys.stderr.write(text)  # it has no buffer: see tracer.output.stdio
