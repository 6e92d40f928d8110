# SPDX-License-Identifier: Apache-2.0
"""A log file's backups: FILE.1 is the youngest, or FILE.1.gz if it is compressed."""

import contextlib
import gzip
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from tracer.folder import Folder, Place

_COMPRESSED: Final = ".gz"
_UNFINISHED: Final = ".gz.tmp"
_SUCCESSOR: Final = ".new"
_CHUNK: Final = 1 << 20  # bytes: zlib lets other threads run meanwhile


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
    """Moves a full log away, keeping ``limit`` backups."""

    def __init__(self, limit: int, *, compress: bool, warn: Callable[[str], None]) -> None:
        self._limit = limit
        self._compress = compress
        self._warn = warn
        self._names = threading.Lock()  # held while files are renamed
        self._workers: list[threading.Thread] = []

    def add(self, log: Place, descriptor: int) -> None:
        """Makes the log, open as ``descriptor``, the youngest backup, then compresses it in the
        background. Raises OSError."""
        with self._names:
            self._shift(log)
            if self._limit:
                log.folder.rename(log.name, _numbered(log.name, 1))
            else:
                log.folder.unlink(log.name)
            if self._compress and self._limit:
                self._start_compressing(log, descriptor)

    def wait(self) -> None:
        """Waits until all backups are compressed."""
        for worker in self._workers:
            worker.join()

    def _shift(self, log: Place) -> None:
        names = _backups_in(log)
        for number, name in zip(range(len(names), 0, -1), names, strict=True):
            if number >= self._limit:
                log.folder.unlink(name)
            else:
                suffix = _COMPRESSED if name.endswith(_COMPRESSED) else ""
                log.folder.rename(name, _numbered(log.name, number + 1, suffix))

    def _start_compressing(self, log: Place, descriptor: int) -> None:
        """Compresses in the background; a backup that cannot be compressed stays as it is. It is
        read by a descriptor of its own: its name may be another file's by then."""
        self._workers = [worker for worker in self._workers if worker.is_alive()]
        try:
            plain = open(os.dup(descriptor), "rb")  # noqa: SIM115 (the thread closes it)
            worker = threading.Thread(target=self._compress_it, args=(log, plain), daemon=True)
            worker.start()
        except (OSError, RuntimeError) as error:  # no descriptor, no thread
            self._warn(f"cannot compress a backup of the log ({error})")
        else:
            self._workers.append(worker)

    def _compress_it(self, log: Place, plain: BinaryIO) -> None:
        """Compresses a backup. It may be renamed meanwhile, so its inode is what finds it again."""
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
