# SPDX-License-Identifier: Apache-2.0
"""Standard input, output and error, any of which may have been closed before we started."""

import io
import os
import sys
from collections.abc import Callable
from typing import Final

from tracer.output.stream import PATIENCE, Stream

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


def never_wait(gap: Callable[[int], str]) -> Stream:
    """Makes standard error one that never waits for its reader, and returns where it writes to;
    ``gap`` is that of :class:`tracer.output.stream.Stream`."""
    stream = Stream(2, sys.stderr.encoding, lambda _: None, gap)
    sys.stderr = _Messages(stream)
    return stream


class _Messages(io.TextIOBase):
    """A stream as Python writes to its files: messages, tracebacks."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Python calls this at exit: a reader has a moment for what is left."""
        self._stream.finish(PATIENCE)

    def fileno(self) -> int:
        return 2

    def isatty(self) -> bool:
        return os.isatty(2)


def _writer(descriptor: int) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(raw, errors="backslashreplace", write_through=True)
