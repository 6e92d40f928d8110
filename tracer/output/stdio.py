# SPDX-License-Identifier: Apache-2.0
"""Standard input, output and error, any of which may have been closed before we started."""

import io
import os
import sys
from typing import Final

# What a closed one becomes. Reading from the first and writing to the second fail (EBADF), so that
# this can be reported; the third is where it would be reported.
_INSTEAD: Final = (os.O_WRONLY, os.O_RDONLY, os.O_RDWR)


def fill() -> None:
    """Opens the closed ones, so that no file opened later takes their numbers. Makes standard
    error unbuffered, so that a write that fails is not tried again at exit."""
    for descriptor, flags in enumerate(_INSTEAD):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flags)  # takes the lowest free number: open(2)
    sys.stdout = sys.stdout or _writer(1)
    sys.stderr = _writer(2)


def _writer(descriptor: int) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(raw, errors="backslashreplace", write_through=True)
