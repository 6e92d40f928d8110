# SPDX-License-Identifier: Apache-2.0
"""Lines for a reader that may pause, stop or go away: writing them never waits for it."""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from tracer.output import nonblocking

BUFFER: Final = 8 << 20  # bytes kept for a reader that pauses; beyond this, lines are dropped
PATIENCE: Final = 0.5  # seconds that a reader has at the end
_MOMENT: Final = 0.02  # seconds that a write gives a reader who reads, before lines are dropped
# Seconds from "writable" to the write: it may mean a byte, and a newline takes two on a terminal.
_BREATH: Final = 0.001


class _Piece(NamedTuple):
    """Whole lines, but for what is written already."""

    data: bytes
    lines: int
    missing: int = 0  # dropped lines that it tells of


class Stream:
    """Writes lines as the reader takes them. Beyond a buffer's worth they are dropped and counted;
    once half of the buffer is free, a line says how many were. ``lost`` counts them, and those that
    cannot be written otherwise (a full disk; ``warn`` is told once)."""

    def __init__(
        self,
        descriptor: int,
        encoding: str,
        warn: Callable[[str], None],
        gap: Callable[[int], str],
        limit: int = BUFFER,
    ) -> None:
        """``gap`` makes the line that says how many are missing; ``limit`` is in bytes."""
        self.lost = 0
        self.taken = 0  # times that text was taken to write
        self._out = nonblocking.writer(descriptor)
        self._poller = select.poll()
        self._poller.register(self._out.descriptor, select.POLLOUT)
        # a terminal that has gone away ends nothing: nohup(1)
        self._ends = 0 if os.isatty(descriptor) else select.POLLERR | select.POLLHUP
        self._encoding = encoding
        self._warn = warn
        self._gap = gap
        self._limit = limit
        self._queue: deque[_Piece] = deque()
        self._size = 0  # bytes in it
        self._missing = 0  # lines dropped since the last line that said so
        self._used = False
        self._reading = True  # whether the reader took something when it was last waited for
        self._gone = False
        self._mid_line = False  # whether half a line was the last that was written
        self._warned = False
        self._lock = threading.RLock()  # backups of the log are compressed in a thread, which warns

    @property
    def pending(self) -> bool:
        """Whether lines wait for the reader."""
        return bool(self._queue)

    @property
    def closed(self) -> bool:
        """Whether the reader has gone away, as ``head`` does, from what has ever had lines."""
        if self._used and not self._gone and self._ends:
            self._gone = any(events & self._ends for _, events in self._poller.poll(0))
        return self._gone

    def write(self, text: str) -> None:
        """Takes whole lines; characters that the encoding lacks become escapes."""
        self._used = True
        self.taken += 1
        until = time.monotonic() + _MOMENT
        with self._lock:
            self._tell_of_gap()
            for data in _pieces(self._encoded(text)):
                if self._reading and self._size + len(data) > self._limit // 2:
                    self.flush(until - time.monotonic())
                self._add(_Piece(data, data.count(b"\n")))
            self.flush(0)

    def flush(self, seconds: float) -> None:
        """Writes what the reader takes within so many seconds."""
        until = time.monotonic() + seconds
        with self._lock:
            while self._queue:
                try:
                    written = self._out.write(self._queue[0].data)
                except BlockingIOError:
                    if not self._wait(until - time.monotonic()):
                        break
                except ConnectionError:  # of a pipe or a socket
                    self._gone = True
                    self._clear()
                except OSError as error:
                    self._fail(error)
                else:
                    self._advance(written)

    def finish(self, seconds: float) -> None:
        """Does the same with what is left; what is still left then is lost."""
        with self._lock:
            self._tell_of_gap(at_once=True)
            self.flush(seconds)
            self.lost += sum(piece.lines for piece in self._queue)
            self._clear()

    def _encoded(self, text: str) -> bytes:
        return text.encode(self._encoding, errors="backslashreplace")

    def _add(self, piece: _Piece) -> None:
        if self._gone:
            return
        if self._missing or self._size + len(piece.data) > self._limit:
            self._drop(piece)
        else:
            self._append(piece)

    def _append(self, piece: _Piece) -> None:
        self._queue.append(piece)
        self._size += len(piece.data)

    def _drop(self, piece: _Piece) -> None:
        self.lost += piece.lines
        self._missing += piece.lines + piece.missing

    def _clear(self) -> None:
        self._queue.clear()
        self._size = 0

    def _tell_of_gap(self, *, at_once: bool = False) -> None:
        """Lets lines flow again if half of the buffer is free."""
        if self._missing and (at_once or self._size <= self._limit // 2):
            # what is missing may have begun within a line
            before = "\n" if self._mid_line and not self._queue else ""
            data = self._encoded(f"{before}{self._gap(self._missing)}")
            self._append(_Piece(data, 0, self._missing))
            self._missing = 0

    def _wait(self, seconds: float) -> bool:
        """Waits until the reader takes more; returns False if it does not, or if there is no time
        to wait."""
        if seconds <= 0:
            return False
        self._reading = bool(self._poller.poll(seconds * 1000))
        if self._reading:
            time.sleep(_BREATH)
        return self._reading

    def _advance(self, written: int) -> None:
        piece = self._queue.popleft()
        self._size -= written
        rest = piece.data[written:]
        self._mid_line = not piece.data.endswith(b"\n", 0, written)
        if rest:
            lines = rest.count(b"\n") if piece.lines else 0
            self._queue.appendleft(_Piece(rest, lines, piece.missing))
        self._reading = True
        self._tell_of_gap()

    def _fail(self, error: OSError) -> None:
        """Drops all that waits: what cannot be written now would have to wait for a full disk."""
        for piece in self._queue:
            self._drop(piece)
        self._clear()
        if not self._warned:
            self._warned = True
            self._warn(f"cannot write the output ({error.strerror})")


def _pieces(data: bytes) -> Iterator[bytes]:
    """Yields whole lines: as many as a pipe takes at once, at least one."""
    start = 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + nonblocking.ATOMIC) + 1
        end = end or data.find(b"\n", start) + 1 or len(data)
        yield data[start:end]
        start = end
