# SPDX-License-Identifier: Apache-2.0
"""The log file: whole lines, appended; what cannot be written is counted."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tracer.errors import SockwatchError

DEFAULT: Final = Path("/var/log/sockwatch/events.jsonl")


class LogFile:
    """Appends lines to a file. A write that fails (a full disk) loses its lines, which
    ``lost_lines`` counts, and never the tracer; ``complain`` is told once, in words."""

    def __init__(self, path: Path, complain: Callable[[str], None]) -> None:
        """Opens or makes the file (0640) and, for the default place, its folder (0750).
        Raises SockwatchError."""
        self.path = path
        self.lost_lines = 0
        self._complain = complain
        try:
            if path == DEFAULT:
                path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
            self._fd = os.open(path, flags, 0o640)
            self._regular = stat.S_ISREG(os.fstat(self._fd).st_mode)
            self._start_on_a_new_line()
        except OSError as error:
            raise SockwatchError(
                f"cannot write the log {path} ({error.strerror})",
                "name another place with --log FILE, or use --no-log",
            ) from None

    def write(self, text: str) -> None:
        """Appends whole lines of ASCII."""
        data = memoryview(text.encode("ascii"))
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError as error:
            self._lose(bytes(data), written, error)

    def close(self) -> None:
        """Ends writing."""
        os.close(self._fd)

    def _lose(self, data: bytes, written: int, error: OSError) -> None:
        """Takes back half a line and counts what is missing."""
        whole = data.rfind(b"\n", 0, written) + 1
        if self._regular and written > whole:
            size = os.fstat(self._fd).st_size
            os.ftruncate(self._fd, size - (written - whole))
        if not self.lost_lines:
            self._complain(
                f"cannot write the log {self.path} ({error.strerror}): "
                "tracing goes on, lost lines are counted; free some space"
            )
        self.lost_lines += data.count(b"\n", whole)

    def _start_on_a_new_line(self) -> None:
        """An earlier run that was killed may have left half a line."""
        size = os.fstat(self._fd).st_size if self._regular else 0
        if size and os.pread(self._fd, 1, size - 1) != b"\n":
            os.write(self._fd, b"\n")
