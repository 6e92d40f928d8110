# SPDX-License-Identifier: Apache-2.0
"""Standard input, output and error, of which whoever started us may have closed any."""

import io
import os
import sys
from typing import Final

# What a closed one becomes: to read from the first and to write to the second fails (EBADF), so
# that it can be told; the third is where it would be told.
_INSTEAD: Final = (os.O_WRONLY, os.O_RDONLY, os.O_RDWR)


def fill() -> None:
    """Opens the closed ones, so that no file that is opened later takes their numbers. Standard
    error is unbuffered, so that a write that fails is not tried again at exit."""
    for descriptor, flags in enumerate(_INSTEAD):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flags)  # the lowest number that is free: open(2)
    sys.stdout = sys.stdout or _writer(1)
    sys.stderr = _writer(2)


def _writer(descriptor: int) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(raw, errors="backslashreplace", write_through=True)
