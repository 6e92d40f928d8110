# SPDX-License-Identifier: Apache-2.0
"""Finds a log's files and reads on where it was left: through rotation, compression and restarts.

A file is known by a hash of its first line, whatever its name is by then, and a place in it by the
bytes before it, uncompressed.
"""

import contextlib
import gzip
import hashlib
import os
import re
import stat
import zlib
from collections import deque
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast

from tracer.errors import SockwatchError
from tracer.folder import Folder, place_of

MAX_LINE: Final = 1 << 20  # bytes; a longer line is damaged
_BLOCK: Final = 1 << 16  # bytes read at once
_MAX_HEAD: Final = 1 << 16  # bytes in which a file's first good line must be
_GOOD: Final = b'{"time":"'  # how such a line begins
_COMPRESSED: Final = ".gz"
_TRIES: Final = 100  # to list files while they are renamed
_CUT_SHORT: Final = (EOFError, zlib.error, gzip.BadGzipFile)


class Found(NamedTuple):
    """A file of the log: its name, and what it is known by."""

    name: str
    identity: str


class LogFile:
    """An open file of the log. ``position`` is the place after the last line that was taken."""

    def __init__(self, file: BinaryIO, identity: str, *, compressed: bool) -> None:
        self.identity = identity
        self.position = 0
        self.is_cut_short = False  # what is compressed has no proper end
        self._compressed = compressed
        self._file = file
        self._content = cast("BinaryIO", gzip.GzipFile(fileobj=file)) if compressed else file
        self._ready: deque[tuple[bytes, int]] = deque()  # lines that were read, with their sizes
        self._rest = b""  # after them, half a line
        self._skipped = 0  # bytes before that, of a line that is too long

    def close(self) -> None:
        """Closes it."""
        self._file.close()

    def seek(self, position: int) -> None:
        """Goes to a place, or to the end if that comes before it."""
        self._ready.clear()
        self._rest, self._skipped = b"", 0
        if not self._compressed:
            position = min(position, self.size())
        try:
            self.position = self._content.seek(position)
        except _CUT_SHORT:
            self.is_cut_short = True
            self.position = position

    def take(self) -> bytes | None:
        """Returns the next whole line; an empty one if it is too long, None if there is none."""
        while not self._ready:
            if not self._read():
                return None
        line, size = self._ready.popleft()
        self.position += size
        return line

    def rest(self) -> int:
        """Returns how many bytes there are after the last whole line, once all were taken."""
        return len(self._rest) + self._skipped

    def is_same(self) -> bool:
        """Says whether it has its first line and all that was read of it still: a log may be
        truncated. What is compressed does not change any more."""
        if self._compressed:
            return True
        at = self._file.tell()
        same = _identity(self._file) == self.identity
        self._file.seek(at)
        return same and self.size() >= at

    def unread(self) -> int:
        """Returns how many bytes are still to be taken, but for half a line that is known; 0 of
        what is compressed."""
        known = 0 if self._ready else self.rest()
        return 0 if self._compressed else max(0, self.size() - self.position - known)

    def size(self) -> int:
        """Returns how many bytes the file has by now."""
        return self.status().st_size

    def status(self) -> os.stat_result:
        """Returns what tells it from other files."""
        return os.fstat(self._file.fileno())

    def _read(self) -> bool:
        """Reads some more. Returns False at the end."""
        try:
            block = self._content.read1(_BLOCK)  # type: ignore[attr-defined]
        except _CUT_SHORT:
            self.is_cut_short = True
            return False
        if not block:
            return False
        *lines, self._rest = (self._rest + block).split(b"\n")
        for line in lines:
            good = line if not self._skipped and len(line) <= MAX_LINE else b""
            self._ready.append((good, len(line) + 1 + self._skipped))
            self._skipped = 0
        if len(self._rest) > MAX_LINE:  # only its end is looked for
            self._skipped += len(self._rest)
            self._rest = b""
        return True


class Log:
    """The files of a log that is written meanwhile. ``path`` is the youngest."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def files(self) -> list[Found]:
        """Returns the files that have a first line, the oldest first. Raises SockwatchError."""
        try:
            folder, name = place_of(self.path)
            for _ in range(_TRIES):
                before = _numbered(folder, name)
                found = [Found(one, known) for one in before if (known := _known(folder, one))]
                if _numbered(folder, name) == before:  # none was renamed meanwhile
                    return _each_once(found)
        except FileNotFoundError:  # not there yet
            return []
        except OSError as error:
            raise _unreadable(self.path, error) from None
        return []

    def is_youngest(self, file: LogFile) -> bool:
        """Says whether a file has the log's own name: then none is younger."""
        with contextlib.suppress(OSError):
            folder, name = place_of(self.path)
            return folder.has(name, file.status())
        return False

    def open(self, found: Found) -> LogFile | None:
        """Opens one of its files; None if it has another name by now. Raises SockwatchError."""
        try:
            file = _open(place_of(self.path).folder, found.name)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(self.path, error) from None
        compressed = found.name.endswith(_COMPRESSED)
        if _identity_of(file, compressed=compressed) != found.identity:
            file.close()
            return None
        file.seek(0)
        return LogFile(file, found.identity, compressed=compressed)


def _numbered(folder: Folder, log: str) -> dict[str, int]:
    """Returns the names that the log and its backups have, the oldest first, with their inodes. A
    backup that is compressed by now, but not removed yet, comes before the compressed one."""
    pattern = re.compile(rf"{re.escape(log)}(?:\.([0-9]{{1,9}})(?:\.gz)?)?")
    numbers = {
        name: int(found[1] or 0) for name in folder.names() if (found := pattern.fullmatch(name))
    }
    ordered = sorted(numbers, key=lambda name: (-numbers[name], name))
    statuses = ((name, folder.status(name)) for name in ordered)
    return {name: status.st_ino for name, status in statuses if status}


def _known(folder: Folder, name: str) -> str | None:
    """Returns what a file is known by; None if it has no first line yet, or another name."""
    try:
        file = _open(folder, name)
    except FileNotFoundError:
        return None
    with file:
        return _identity_of(file, compressed=name.endswith(_COMPRESSED))


def _open(folder: Folder, name: str) -> BinaryIO:
    descriptor = folder.read_only(name)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "it is not a regular file")
    return open(descriptor, "rb", _BLOCK)


def _identity_of(file: BinaryIO, *, compressed: bool) -> str | None:
    if not compressed:
        return _identity(file)
    with contextlib.suppress(*_CUT_SHORT):
        return _identity(cast("BinaryIO", gzip.GzipFile(fileobj=file)))
    return None


def _identity(content: BinaryIO) -> str | None:
    """Returns the hash of the first line that looks like one of a log, with what is before it."""
    content.seek(0)
    head = b""
    while len(head) < _MAX_HEAD:
        line = content.readline(MAX_LINE)
        head += line
        if not line.endswith(b"\n") and len(line) < MAX_LINE:
            return None
        if line.startswith(_GOOD):
            break
    return hashlib.sha256(head).hexdigest()[:32]


def _each_once(found: list[Found]) -> list[Found]:
    return list({one.identity: one for one in reversed(found)}.values())[::-1]


def _unreadable(path: Path, error: OSError) -> SockwatchError:
    hint = "run it as a user who may" if isinstance(error, PermissionError) else "see --log"
    return SockwatchError(f"cannot read the log {path} ({error.strerror})", hint)
