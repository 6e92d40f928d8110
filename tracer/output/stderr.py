# SPDX-License-Identifier: Apache-2.0
"""Standard error that never waits for its reader."""

import io
import os
import sys
from collections.abc import Callable

from tracer.output.stream import PATIENCE, Stream


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
