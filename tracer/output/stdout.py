# SPDX-License-Identifier: Apache-2.0
"""Standard output: a write that fails must not end the tracing."""

import os
from collections.abc import Callable
from typing import TextIO

from tracer.errors import SockwatchError


class Screen:
    """Writes text at once. When the reader goes away (as ``head`` does), ``closed`` is set. Text
    that cannot be written otherwise (a full disk) is lost, and ``warn`` is told once."""

    def __init__(self, out: TextIO, warn: Callable[[str], None]) -> None:
        self.closed = False
        self._out = out
        self._warn = warn
        self._lost = False

    def write(self, text: str) -> None:
        """Writes whole lines; characters that the output's encoding lacks become escapes."""
        encoding = self._out.encoding or "utf-8"
        data = memoryview(text.encode(encoding, errors="backslashreplace"))
        try:
            while data and not self.closed:
                data = data[os.write(self._out.fileno(), data) :]
        except BrokenPipeError:
            self.closed = True
        except OSError as error:
            if not self._lost:
                self._warn(f"cannot write the output ({error.strerror})")
            self._lost = True


def fail(message: str) -> None:
    """Stands for ``warn`` where the output is all there is to do. Raises SockwatchError."""
    raise SockwatchError(message, "what is there is not all")
