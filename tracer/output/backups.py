# SPDX-License-Identifier: Apache-2.0
"""A log file's backups: FILE.1 is the youngest, or FILE.1.gz if it is compressed."""

import contextlib
import gzip
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from tracer.folder import Folder, Place

_COMPRESSED: Final = ".gz"
_UNFINISHED: Final = ".gz.tmp"
_SUCCESSOR: Final = ".new"
_CHUNK: Final = 1 << 20  # bytes: zlib lets other threads run meanwhile
_NICE: Final = 19  # of a thread that compresses: nice(2) is of threads, on Linux
MAX_BACKUPS: Final = 1000  # each is renamed when one more comes


class Keep(NamedTuple):
    """Backups are kept up to so many bytes in all, and for so many seconds."""

    bytes: int
    seconds: float


def backups_of(path: Path) -> list[Path]:
    """Returns the backups that exist, oldest first."""
    names = _existing(path.name, lambda name: path.with_name(name).exists())
    return [path.with_name(name) for name in names]


def successor_of(name: str) -> str:
    """Returns what a new log is called until it gets the log's name."""
    return f"{name}{_SUCCESSOR}"


def clean(log: Place) -> None:
    """Removes the unfinished files of a run that was killed. Raises OSError."""
    for name in log.folder.names():
        unfinished = name.startswith(f"{log.name}.") and name.endswith(_UNFINISHED)
        if unfinished or name == successor_of(log.name):
            status = log.folder.status(name)
            if status and log.folder.is_ours(status):
                log.folder.unlink(name)


class Backups:
    """Moves a full log away, and removes the oldest backups."""

    def __init__(self, keep: Keep, *, compress: bool, warn: Callable[[str], None]) -> None:
        self._keep = keep
        self._compress = compress
        self._warn = warn
        self._names = threading.Lock()  # held while files are renamed
        self._workers: list[threading.Thread] = []

    def add(self, log: Place, descriptor: int) -> None:
        """Makes the log, open as ``descriptor``, the youngest backup, then compresses it in the
        background, and removes what is too much. Raises OSError."""
        with self._names:
            _shift(log)
            log.folder.rename(log.name, _numbered(log.name, 1))
        if not (self._compress and self._start_compressing(log, descriptor)):
            self.remove_old(log)

    def remove_old(self, log: Place) -> None:
        """Removes the backups that are too old, or too much in all. Raises no error: what cannot be
        removed stays."""
        with self._names, contextlib.suppress(OSError):
            for name in self._too_much(log):
                log.folder.unlink(name)

    def _too_much(self, log: Place) -> list[str]:
        """Returns the backups that are not kept, oldest first. Raises OSError."""
        now, room, found = time.time(), self._keep.bytes, []
        for name in reversed(_backups_in(log)):
            status = log.folder.status(name)
            if status:
                room -= status.st_size
                if room < 0 or now - status.st_mtime > self._keep.seconds:
                    found.append(name)
        return found[::-1]

    def wait(self) -> None:
        """Waits until all backups are compressed."""
        for worker in self._workers:
            worker.join()

    def _start_compressing(self, log: Place, descriptor: int) -> bool:
        """Compresses in the background; a backup that cannot be compressed stays as it is. It is
        read by a descriptor of its own: its name may be another file's by then."""
        self._workers = [worker for worker in self._workers if worker.is_alive()]
        try:
            plain = open(os.dup(descriptor), "rb")  # noqa: SIM115 (the thread closes it)
            worker = threading.Thread(target=self._compress_it, args=(log, plain), daemon=True)
            worker.start()
        except (OSError, RuntimeError) as error:  # no descriptor, no thread
            self._warn(f"cannot compress a backup of the log ({error})")
            return False
        self._workers.append(worker)
        return True

    def _compress_it(self, log: Place, plain: BinaryIO) -> None:
        """Compresses a backup. It may be renamed meanwhile, so its inode is what finds it again."""
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        try:
            with plain:  # open until the end: no other file gets its inode
                status = os.fstat(plain.fileno())
                unfinished = f"{log.name}.{status.st_ino}{_UNFINISHED}"
                plain.seek(0)
                _write_compressed(plain, log.folder, unfinished)
                with self._names:
                    _replace(log, status, unfinished)
        except OSError as error:
            self._warn(f"cannot compress a backup of the log ({error.strerror})")
        self.remove_old(log)


def _shift(log: Place) -> None:
    """Makes room for the youngest; one that is one too many is removed."""
    names = _backups_in(log)
    for number, name in zip(range(len(names), 0, -1), names, strict=True):
        if number >= MAX_BACKUPS:
            log.folder.unlink(name)
        else:
            suffix = _COMPRESSED if name.endswith(_COMPRESSED) else ""
            log.folder.rename(name, _numbered(log.name, number + 1, suffix))


def _replace(log: Place, plain: os.stat_result, compressed: str) -> None:
    for name in _backups_in(log):
        if log.folder.has(name, plain):
            log.folder.rename(compressed, f"{name}{_COMPRESSED}")
            log.folder.unlink(name)
            return
    log.folder.unlink(compressed)  # it was the oldest one, and is gone


def _write_compressed(plain: BinaryIO, folder: Folder, name: str) -> None:
    """Writes with the log's own permissions. Raises OSError, and then leaves no file."""
    descriptor = folder.make(name)
    try:
        with open(descriptor, "wb") as raw, gzip.GzipFile("", "wb", 6, raw) as packed:
            shutil.copyfileobj(plain, packed, _CHUNK)
    except OSError:
        with contextlib.suppress(OSError):
            folder.unlink(name)
        raise


def _backups_in(log: Place) -> list[str]:
    return _existing(log.name, lambda name: log.folder.status(name) is not None)


def _existing(log: str, is_there: Callable[[str], bool]) -> list[str]:
    """Returns the backups' names, oldest first."""
    found: list[str] = []
    while True:
        names = (_numbered(log, len(found) + 1, suffix) for suffix in ("", _COMPRESSED))
        name = next(filter(is_there, names), None)
        if name is None:
            return found[::-1]
        found.append(name)


def _numbered(log: str, number: int, suffix: str = "") -> str:
    return f"{log}.{number}{suffix}"
