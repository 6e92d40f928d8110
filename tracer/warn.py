# SPDX-License-Identifier: Apache-2.0
"""Writes messages for the user to standard error, apart from the data on standard output."""

import contextlib
import os
import sys
from typing import Final

from tracer.printable import safe

INDENT: Final = "  "  # of a line that goes on


def warn(message: str) -> None:
    """Writes a line that begins with the program's name; what is not safe to show is escaped. On a
    terminal, it is broken between words."""
    to_stderr(f"{_broken(f'sockwatch: {safe(message)}')}\n")


def _broken(line: str) -> str:
    try:
        columns = os.get_terminal_size(2).columns
    except OSError:  # it is none
        return line
    if len(line) <= columns or columns <= len(INDENT):
        return line
    import textwrap  # noqa: PLC0415 (few runs need it)

    return textwrap.fill(
        line,
        columns,
        subsequent_indent=INDENT,
        replace_whitespace=False,
        break_on_hyphens=False,
    )


def to_stderr(text: str) -> None:
    """Writes the text as it is."""
    with contextlib.suppress(OSError):  # nobody reads it
        sys.stderr.write(text)  # it has no buffer: see tracer.output.stdio
