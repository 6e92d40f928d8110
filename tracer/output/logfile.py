# SPDX-License-Identifier: Apache-2.0
"""The log file: appends whole lines, and counts those that cannot be written."""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from tracer.errors import SockwatchError
from tracer.folder import place_of
from tracer.output.backups import Backups, clean, successor_of

DEFAULT: Final = Path("/var/log/sockwatch/events.jsonl")
_SUCCESSORS: Final = 100  # other files that may take its name while it is opened
_FOLDER_MODE: Final = 0o750  # of the default one


class Rotation(NamedTuple):
    """The log becomes a backup at ``max_size`` bytes (0: never); so many ``backups`` are kept."""

    max_size: int
    backups: int
    compress: bool


class LogFile:
    """Appends lines to a file that nobody else writes to. A write that fails (a full disk) loses
    its lines, but does not end the tracer. ``lost_lines`` counts them; ``warn`` is told once."""

    def __init__(self, path: Path, rotation: Rotation, warn: Callable[[str], None]) -> None:
        """Opens or makes the file (0640) and, at the default path, its folder (0750).
        Raises SockwatchError."""
        self.path = path
        self.lost_lines = 0
        self._warn = warn
        self._max_size = self._full_at = rotation.max_size
        self._stuck = False  # whether it could not be rotated
        self._mid_line = False  # whether it ends in half a line that could not be removed
        self._backups = Backups(rotation.backups, compress=rotation.compress, warn=warn)
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

    def write(self, text: str) -> None:
        """Appends whole lines of ASCII."""
        self.reopen_if_asked()
        data = (b"\n" if self._mid_line else b"") + text.encode("ascii")
        self._mid_line = False
        while data:
            data = self._write_what_fits(data)

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
        self._start_on_a_new_line()

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

    def _write_what_fits(self, data: bytes) -> bytes:
        """Writes until the log is full; returns what is left for the next one."""
        end = len(data)
        if self._regular and self._max_size and self._size + end > self._full_at:
            end = data.rfind(b"\n", 0, max(0, self._full_at - self._size)) + 1
            if not end and self._size:
                return data if self._rotate() else self._append(data, len(data))
            end = end or data.index(b"\n") + 1  # a line longer than a log has one of its own
        return self._append(data, end)

    def _append(self, data: bytes, end: int) -> bytes:
        written = 0
        try:
            while written < end:
                written += os.write(self._fd, memoryview(data)[written:end])
        except OSError as error:
            self._lose(data[:end], written, error)
        if self._regular:
            self._size = os.fstat(self._fd).st_size
        return data[end:]

    def _rotate(self) -> bool:
        """Makes a new log, makes the old one a backup, and puts the new one in its place. Returns
        False if that fails: then the log goes on growing, and it is tried again later."""
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
            if not self._stuck:
                self._warn(
                    f"cannot rotate the log {self.path} ({error.strerror}): it goes on growing"
                )
            self._stuck = True
            return False
        os.close(self._fd)
        self._fd, self._size, self._full_at, self._stuck = descriptor, 0, self._max_size, False
        return True

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
