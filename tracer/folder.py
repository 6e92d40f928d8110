# SPDX-License-Identifier: Apache-2.0
"""Files in folders that other users may write to: what these put there is never taken for ours.

A folder is walked to name by name and then held open, so that whoever renames it, or puts a link in
its place, changes nothing. No sysctl (fs.protected_symlinks and its like, proc(5)) is relied upon.
"""

import contextlib
import errno
import os
import re
import stat
from pathlib import Path
from typing import Final, NamedTuple

_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH  # may write
_FILE_MODE: Final = 0o640  # whatever the umask is
_ABOVE: Final = 0o755  # mode of folders that are made above one that is made
_NO_PATH: Final = re.compile(r"\w+:\[\d+\]")  # where links of /proc/PID/fd lead, as for a pipe
_MAX_LINKS: Final = 40  # MAXSYMLINKS, include/linux/namei.h
_TRIES: Final = 100  # a name may come and go, as while another process rotates its log

_NAME: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_HELD: Final = _NAME | os.O_DIRECTORY
# without O_NONBLOCK, opening a pipe or a device may wait
_FILE: Final = os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class Folder:
    """A folder that is held open. ``uid`` owns it; ``heir`` is the user whom files made here
    belong to: its owner, because different users may trace (a service with a user of its own, root
    by hand); but this user in a sticky folder, or where somebody else may have put the folder
    there. ``is_shared``: others than root and this user may write to it."""

    def __init__(self, path: Path, mode: int | None = None) -> None:
        """Walks there, and makes it with that ``mode`` if it is missing. Links are followed if root
        or this user made them. Raises OSError."""
        self._fd = os.open("/" if path.is_absolute() else ".", _HELD)
        self._can_be_foisted = False
        self._walk(path, mode)
        status = os.fstat(self._fd)
        self.uid, self._gid = status.st_uid, status.st_gid
        for_each_his_own = self._can_be_foisted or status.st_mode & stat.S_ISVTX
        self.heir = os.geteuid() if for_each_his_own else self.uid
        self.is_shared = bool(status.st_mode & _BY_OTHERS) or not _is_trusted(self.uid)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # it was never opened
            os.close(self._fd)

    def make(self, name: str, mode: int = _FILE_MODE) -> int:
        """Makes a file, to append to and read. Raises OSError."""
        flags = _FILE | os.O_RDWR | os.O_CREAT | os.O_EXCL
        made = os.open(name, flags, mode, dir_fd=self._fd)
        with contextlib.suppress(PermissionError):  # a file system without modes or owners
            os.fchmod(made, mode)
            if self.heir != os.geteuid():
                os.fchown(made, self.heir, self._gid)
        return made

    def open(self, name: str, access: int = os.O_RDWR) -> int:
        """Opens what is there, without waiting: a file, a FIFO or a character device. Raises
        OSError, and with the reason as its ``strerror``, if it is not ours alone."""
        try:
            opened = os.open(name, _FILE | access, dir_fd=self._fd)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _refusal("it is a symbolic link") from None
            raise
        objection = self._objection(os.fstat(opened))
        if objection:
            os.close(opened)
            raise _refusal(objection)
        return opened

    def open_or_make(self, name: str, access: int = os.O_RDWR) -> int:
        """Opens a file; makes it if there is none. Raises OSError as :meth:`open` does."""
        for _ in range(_TRIES):
            with contextlib.suppress(FileExistsError):
                return self.make(name)
            with contextlib.suppress(FileNotFoundError):
                return self.open(name, access)
        raise _refusal("it comes and goes")

    def read_only(self, name: str) -> int:
        """Opens a file to be read, without following a link or waiting. Raises OSError."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(name, flags, dir_fd=self._fd)

    def status(self, name: str) -> os.stat_result | None:
        """Returns what has this name, a link itself; None if nothing has. Raises OSError."""
        try:
            return os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def has(self, name: str, status: os.stat_result) -> bool:
        """Says whether this file, and no other, has the name. Raises OSError."""
        found = self.status(name)
        return found is not None and os.path.samestat(found, status)

    def is_ours(self, status: os.stat_result) -> bool:
        """Says whether it is a file that we could have made here."""
        return stat.S_ISREG(status.st_mode) and status.st_uid in (os.geteuid(), self.heir)

    def names(self) -> list[str]:
        """Returns the names of all that is in the folder. Raises OSError."""
        readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._fd)
        try:
            with os.scandir(readable) as found:
                return [entry.name for entry in found]
        finally:
            os.close(readable)

    def rename(self, name: str, to: str) -> None:
        """Gives a file another name; what had that is gone. Raises OSError."""
        os.rename(name, to, src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def unlink(self, name: str) -> None:
        """Removes a name. Raises OSError."""
        os.unlink(name, dir_fd=self._fd)

    def sync(self) -> None:
        """Waits until all names in the folder are on the disk. Raises OSError."""
        readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._fd)
        try:
            os.fsync(readable)
        finally:
            os.close(readable)

    def target(self, name: str) -> Path | None:
        """Returns where a link leads; None if it is none, or not there. Raises OSError if neither
        root nor this user made it."""
        try:
            link = os.open(name, _NAME, dir_fd=self._fd)
        except FileNotFoundError:
            return None
        try:
            status = os.fstat(link)
            if not stat.S_ISLNK(status.st_mode):
                return None
            if not _is_trusted(status.st_uid):
                raise _refusal("a symbolic link of another user leads there")
            target = os.readlink("", dir_fd=link)
            if _NO_PATH.fullmatch(target):
                raise _refusal("it is not a regular file")
            return Path(target)
        finally:
            os.close(link)

    def _walk(self, path: Path, mode: int | None) -> None:
        names, links = _names(path), 0
        while names:
            name = names.pop()
            target = self.target(name)
            if target is None:
                self._enter(self._below(name, mode if mode is None or not names else _ABOVE))
                continue
            links += 1
            if links > _MAX_LINKS:
                raise _too_many_links()
            names += _names(target)
            if target.is_absolute():
                self._enter(os.open("/", _HELD))

    def _below(self, name: str, mode: int | None) -> int:
        """Opens a folder; with a mode, makes it if nothing has that name."""
        if mode is not None and self.status(name) is None:
            with contextlib.suppress(FileExistsError):  # another process was just making it
                os.mkdir(name, mode, dir_fd=self._fd)
        return os.open(name, _HELD, dir_fd=self._fd)

    def _enter(self, below: int) -> None:
        """Steps into a folder. Others may have put it there if they may write to this one and it
        is neither root's nor ours."""
        above, status = os.fstat(self._fd), os.fstat(below)
        os.close(self._fd)
        self._fd = below
        if not _is_trusted(status.st_uid) and (
            above.st_mode & _BY_OTHERS
            or not (_is_trusted(above.st_uid) or above.st_uid == status.st_uid)
        ):
            self._can_be_foisted = True

    def _objection(self, status: os.stat_result) -> str | None:
        """Says why a file that was there is not taken; None if nothing speaks against it."""
        if stat.S_ISCHR(status.st_mode):  # only root can make one
            return None
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode)):
            return "it is not a regular file"
        if status.st_uid not in (os.geteuid(), self.heir):
            return f"it belongs to user {status.st_uid}"
        if status.st_mode & _BY_OTHERS:
            return "other users may write to it"
        if self.is_shared and status.st_nlink > 1:
            return "it is a hard link"
        return None


class Place(NamedTuple):
    """Where a file is, or will be."""

    folder: Folder
    name: str


def place_of(path: Path, folder_mode: int | None = None) -> Place:
    """Returns a file's place, following links at its name as :class:`Folder` does. ``folder_mode``:
    makes its folder if that is missing. Raises OSError."""
    for _ in range(_MAX_LINKS):
        folder = Folder(path.parent, folder_mode)
        target = folder.target(path.name)
        if target is None:
            return Place(folder, path.name)
        path = path.parent / target
    raise _too_many_links()


def _names(path: Path) -> list[str]:
    """Returns the names on the way, the first one last."""
    return list(reversed(path.parts[path.is_absolute() :]))


def _is_trusted(uid: int) -> bool:
    return uid in (0, os.geteuid())


def _refusal(reason: str) -> PermissionError:
    return PermissionError(errno.EPERM, reason)


def _too_many_links() -> OSError:
    return OSError(errno.ELOOP, os.strerror(errno.ELOOP))
