# SPDX-License-Identifier: Apache-2.0
"""The log file: appends whole lines, and counts those that cannot be written."""

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from tracer.errors import SockwatchError
from tracer.folder import place_of
from tracer.output.backups import Backups, Keep, clean, successor_of

DEFAULT: Final = Path("/var/log/sockwatch/events.jsonl")
_SUCCESSORS: Final = 100  # other files that may take its name while it is opened
_FOLDER_MODE: Final = 0o750  # of the default one
_TIME: Final = '{"time":"2026-11-24T01:31:46'  # how a log begins
_TIME_FORMAT: Final = '{"time":"%Y-%m-%dT%H:%M:%S'
_DAY: Final = 86_400  # seconds
_HOUR: Final = 3_600


class Rotation(NamedTuple):
    """The log becomes a backup at ``max_size`` bytes, or after a day (0: never); backups are kept
    so that all files together have at most ``keep`` bytes, and for so many ``days``."""

    max_size: int
    keep: int
    days: int
    compress: bool


class LogFile:
    """Appends lines to a file that nobody else writes to. A write that fails (a full disk) loses
    its lines, but does not end the tracer. ``lost_lines`` counts them; ``warn`` is told once.
    ``files`` counts the files that were written to: each begins anew for its reader."""

    def __init__(self, path: Path, rotation: Rotation, warn: Callable[[str], None]) -> None:
        """Opens or makes the file (0640) and, at the default path, its folder (0750).
        Raises SockwatchError."""
        self.path = path
        self.lost_lines = 0
        self.files = 0
        self.rotation = rotation
        self._warn = warn
        self._max_size = self._full_at = rotation.max_size
        self._stuck = False  # whether it could not be rotated
        self._mid_line = False  # whether it ends in half a line that could not be removed
        keep = Keep(max(0, rotation.keep - rotation.max_size), rotation.days * _DAY)
        self._backups = Backups(keep, compress=rotation.compress, warn=warn)
        self._next_look = 0.0  # for backups that are too old: monotonic
        self._when_reopened: Callable[[], None] | None = None  # set if that is asked for
        try:
            self._open()
            if self._regular:
                clean(self._place)
        except OSError as error:
            raise SockwatchError(
                f"cannot write the log {path} ({error.strerror})",
                "name another place with --log FILE, or use --no-log",
            ) from None

    @property
    def is_in_anothers_folder(self) -> bool:
        """Says whether another user owns the log's folder."""
        return self._place.folder.uid != os.geteuid()

    def has_room(self, size: int, pending: int = 0) -> bool:
        """Says whether so many bytes more belong into this file, with those that are ``pending``. A
        line that is longer than a log may be has one of its own."""
        if not (self._regular and self._max_size and self._size + pending):
            return True
        return self._size + pending + size <= self._full_at and time.time() - self._begun < _DAY

    def write(self, text: str) -> None:
        """Appends whole lines of ASCII."""
        data = (b"\n" if self._mid_line else b"") + text.encode("ascii")
        self._mid_line = False
        self._append(data)

    def check(self) -> None:
        """Removes backups that are too old; cheap enough to be called often."""
        now = time.monotonic()
        if self._regular and self._max_size and now >= self._next_look:
            self._next_look = now + _HOUR
            self._backups.remove_old(self._place)

    def reopen(self, then: Callable[[], None] = lambda: None) -> None:
        """Asks to open the log by its name again before the next write, as after logrotate(8),
        and to call ``then``. A signal handler may call this."""
        self._when_reopened = then

    def reopen_if_asked(self) -> None:
        """Reopens now if that was asked for: the next write may be a long time coming."""
        then = self._when_reopened
        if then:
            self._when_reopened = None
            self._reopen()
            then()

    def close(self) -> None:
        """Closes the log, and waits for the compression of its backups."""
        os.close(self._fd)
        self._backups.wait()

    def _open(self) -> None:
        """Opens the log. Raises OSError; SockwatchError if another process writes to it."""
        self._place = place_of(self.path, _FOLDER_MODE if self.path == DEFAULT else None)
        for _ in range(_SUCCESSORS):
            self._fd = self._place.folder.open_or_make(self._place.name)
            status = os.fstat(self._fd)
            if not stat.S_ISREG(status.st_mode):
                self._refuse_readers(status)
                self._regular = False
                return
            self._lock(status)
            self._regular = True
            if self._place.folder.has(self._place.name, status):
                break
            os.close(self._fd)  # another process was just moving its log away
        else:
            raise OSError(errno.EAGAIN, "it is replaced again and again")
        self._size = os.fstat(self._fd).st_size
        self._full_at = self._max_size
        self._begun = self._first_time()
        self._start_on_a_new_line()

    def _first_time(self) -> float:
        """Returns when the log begins, in seconds since the epoch: now, if it does not say."""
        first = os.pread(self._fd, len(_TIME), 0).decode(errors="replace")
        try:
            return datetime.strptime(first, _TIME_FORMAT).replace(tzinfo=UTC).timestamp()
        except ValueError:
            return time.time()

    def _refuse_readers(self, status: os.stat_result) -> None:
        """Raises SockwatchError if somebody has to read what is written: lines that nobody reads
        would be lost, or waited for."""
        if stat.S_ISFIFO(status.st_mode) or os.isatty(self._fd):
            os.close(self._fd)
            raise SockwatchError(
                f"the log {self.path} is a pipe or a terminal, not a file",
                "--json prints the same lines to standard output",
            )

    def _lock(self, status: os.stat_result) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise SockwatchError(
                f"the log {self.path} is being written by {_writer(status)}",
                "name another place with --log FILE, or use --no-log",
            ) from None

    def _append(self, data: bytes) -> None:
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, memoryview(data)[written:])
        except OSError as error:
            self._lose(data, written, error)
        if self._regular:
            self._size = os.fstat(self._fd).st_size

    def rotate(self) -> None:
        """Makes a new log, makes the old one a backup, and puts the new one in its place. If that
        fails, the log goes on growing, and it is tried again later."""
        folder, name = self._place
        fresh = successor_of(name)
        try:
            if not folder.has(name, os.fstat(self._fd)):
                raise OSError(errno.ENOENT, "another file has its name, or none")
            descriptor = folder.make(fresh)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._backups.add(self._place, self._fd)
                folder.rename(fresh, name)
            except OSError:
                os.close(descriptor)
                with contextlib.suppress(OSError):
                    folder.unlink(fresh)
                raise
        except OSError as error:
            self._full_at = self._size + self._max_size // 8 + 1
            self._begun = time.time()
            if not self._stuck:
                self._warn(
                    f"cannot rotate the log {self.path} ({error.strerror}): it goes on growing"
                )
            self._stuck = True
            return
        os.close(self._fd)
        self._fd, self._size, self._full_at, self._stuck = descriptor, 0, self._max_size, False
        self._begun = time.time()
        self.files += 1

    def _reopen(self) -> None:
        earlier = self._fd, self._place
        try:
            place = place_of(self.path)
            if place.folder.has(place.name, os.fstat(self._fd)):
                return
            self._open()
        except (OSError, SockwatchError) as error:
            self._fd, self._place = earlier
            reason = error.strerror if isinstance(error, OSError) else error
            self._warn(f"cannot open a new log ({reason}): writing goes on in the old one")
        else:
            os.close(earlier[0])
            self.files += 1

    def _lose(self, data: bytes, written: int, error: OSError) -> None:
        """Removes half a line and counts the lines that are lost."""
        whole = data.rfind(b"\n", 0, written) + 1
        if self._regular and written > whole:
            size = os.fstat(self._fd).st_size
            try:
                os.ftruncate(self._fd, size - (written - whole))
            except OSError:  # the log can only be appended to, chattr(1)
                self._mid_line = True
        if not self.lost_lines:
            self._warn(
                f"cannot write the log {self.path} ({error.strerror}): "
                "tracing goes on, lost lines are counted; free some space"
            )
        self.lost_lines += data.count(b"\n", whole)

    def _start_on_a_new_line(self) -> None:
        """Ends the half line that an earlier run may have left when it was killed."""
        if self._size and os.pread(self._fd, 1, self._size - 1) != b"\n":
            self._size += os.write(self._fd, b"\n")


def _writer(status: os.stat_result) -> str:
    """Names the process that has the lock, found by the inode in /proc/locks (proc(5))."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            _, kind, *_, pid, file, _, _ = line.split()
            if kind == "FLOCK" and int(file.split(":")[-1]) == status.st_ino:
                return f"process {pid}"
    return "another process"
