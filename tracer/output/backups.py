# SPDX-License-Identifier: Apache-2.0
"""A log file's backups: FILE.1 is the youngest, or FILE.1.gz if it is compressed."""

import contextlib
import glob
import gzip
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

_COMPRESSED: Final = ".gz"
_UNFINISHED: Final = ".gz.tmp"
_SUCCESSOR: Final = ".new"
_CHUNK: Final = 1 << 20  # bytes: zlib lets other threads run meanwhile


def backups_of(path: Path) -> list[Path]:
    """Returns the backups that exist, oldest first."""
    found = []
    number = 1
    while at := _existing(path, number):
        found.append(at)
        number += 1
    return found[::-1]


class Backups:
    """Moves a full log away, keeping ``limit`` backups."""

    def __init__(
        self, path: Path, limit: int, *, compress: bool, warn: Callable[[str], None]
    ) -> None:
        self.successor = path.with_name(f"{path.name}{_SUCCESSOR}")  # until it gets the log's name
        self._path = path
        self._limit = limit
        self._compress = compress
        self._warn = warn
        self._names = threading.Lock()  # held while files are renamed
        self._workers: list[threading.Thread] = []

    def add(self) -> None:
        """Makes the log the youngest backup, then compresses it in the background.
        Raises OSError."""
        with self._names:
            self._shift()
            if self._limit:
                self._path.rename(_numbered(self._path, 1))
            else:
                self._path.unlink()
            if self._compress and self._limit:
                self._start_compressing(_numbered(self._path, 1))

    def clean(self) -> None:
        """Removes the unfinished files of a run that was killed. Raises OSError."""
        self.successor.unlink(missing_ok=True)
        for unfinished in self._path.parent.glob(f"{glob.escape(self._path.name)}.*{_UNFINISHED}"):
            unfinished.unlink()

    def wait(self) -> None:
        """Waits until all backups are compressed."""
        for worker in self._workers:
            worker.join()

    def _shift(self) -> None:
        for number in range(len(backups_of(self._path)), 0, -1):
            at = _existing(self._path, number)
            if at is None:
                continue
            if number >= self._limit:
                at.unlink()
            else:
                suffix = _COMPRESSED if at.name.endswith(_COMPRESSED) else ""
                at.rename(_numbered(self._path, number + 1, suffix))

    def _start_compressing(self, backup: Path) -> None:
        """Compresses in the background; a backup that cannot be compressed stays as it is."""
        self._workers = [worker for worker in self._workers if worker.is_alive()]
        try:
            plain = backup.open("rb")
            worker = threading.Thread(target=self._compress_it, args=(plain,), daemon=True)
            worker.start()
        except (OSError, RuntimeError) as error:  # no descriptor, no thread
            self._warn(f"cannot compress a backup of the log ({error})")
        else:
            self._workers.append(worker)

    def _compress_it(self, plain: BinaryIO) -> None:
        """Compresses a backup. It may be renamed meanwhile, so its inode is what finds it again."""
        try:
            with plain:  # open until the end: no other file gets its inode
                inode = os.fstat(plain.fileno()).st_ino
                unfinished = self._path.with_name(f"{self._path.name}.{inode}{_UNFINISHED}")
                _write_compressed(plain, unfinished)
                with self._names:
                    self._replace(inode, unfinished)
        except OSError as error:
            self._warn(f"cannot compress a backup of the log ({error.strerror})")

    def _replace(self, inode: int, compressed: Path) -> None:
        for at in backups_of(self._path):
            if at.stat().st_ino == inode:
                compressed.rename(f"{at}{_COMPRESSED}")
                at.unlink()
                return
        compressed.unlink()  # it was the oldest one, and is gone


def _write_compressed(plain: BinaryIO, to: Path) -> None:
    """Writes with the log's own permissions. Raises OSError, and then leaves no file."""
    descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        with open(descriptor, "wb") as raw, gzip.GzipFile("", "wb", 6, raw) as packed:
            shutil.copyfileobj(plain, packed, _CHUNK)
    except OSError:
        with contextlib.suppress(OSError):
            to.unlink()
        raise


def _existing(path: Path, number: int) -> Path | None:
    plain, compressed = _numbered(path, number), _numbered(path, number, _COMPRESSED)
    return next((at for at in (plain, compressed) if at.exists()), None)


def _numbered(path: Path, number: int, suffix: str = "") -> Path:
    return path.with_name(f"{path.name}.{number}{suffix}")
