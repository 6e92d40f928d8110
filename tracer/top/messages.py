# SPDX-License-Identifier: Apache-2.0
"""Messages to the user while the screen is taken: kept for its last line, and for the end."""

import io
import time
from collections import deque
from typing import Final

from tracer.warn import INDENT

_MOST: Final = 100  # lines that are kept
_SHOWN: Final = 10.0  # seconds that one stands on the screen


class Messages(io.TextIOBase):
    """Stands for standard error."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_MOST)
        self._newest = ""
        self._until = 0.0

    def write(self, text: str) -> int:
        """Keeps whole lines, which are safe to show; a message may be several."""
        for line in text.splitlines():
            self._lines.append(line)
            goes_on = line.startswith(INDENT)
            self._newest = f"{self._newest} {line.strip()}" if goes_on else line
        self._until = time.monotonic() + _SHOWN
        return len(text)

    @property
    def newest(self) -> str:
        """The last one in a line, while it is new."""
        return self._newest if time.monotonic() < self._until else ""

    @property
    def text(self) -> str:
        """All of them."""
        return "".join(f"{line}\n" for line in self._lines)
