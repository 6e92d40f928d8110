# SPDX-License-Identifier: Apache-2.0
"""Which processes hold which sockets: what the links in /proc/PID/fd say (proc(5))."""

import marshal
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

_LINK: Final = "socket:["  # sockfs_dname(), net/socket.c


# Of an inode: pid, the lowest of its descriptors, the next pid, …
Flat = tuple[int, ...]


class Holders(NamedTuple):
    """A moment's answer, each process once. ``unreadable`` counts the processes that could not be
    looked into, of which any may hold any socket; 0 for root."""

    by_inode: dict[int, Flat]
    unreadable: int


def find() -> Holders:
    """Looks now."""
    return Holders(*_search())


def find_meanwhile() -> Callable[[], Holders]:
    """Looks in a child process while the caller does something else, and returns what waits for
    the answer: reading the links takes longest of all that listing sockets takes."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)  # so that it ends if the caller does without the answer
        _answer(write_end)
    os.close(write_end)

    def wait() -> Holders:
        with open(read_end, "rb") as answer:
            data = answer.read()
        _, status = os.waitpid(child, 0)
        return Holders(*marshal.loads(data)) if status == 0 else find()

    return wait


def _answer(write_end: int) -> None:
    """The child's life; what reads our output must not wait for it."""
    status = 1
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        with open(write_end, "wb") as answer:
            marshal.dump(_search(), answer)
        status = 0
    finally:
        os._exit(status)


def _search() -> tuple[dict[int, Flat], int]:
    found: dict[int, Flat] = {}
    unreadable = 0
    for pid in _pids():
        try:
            sockets = _sockets(pid)
        except PermissionError:  # to open the folder, or to read its links: proc(5)
            unreadable += 1
            continue
        except OSError:  # it has ended
            continue
        for inode, fd in sockets.items():
            found[inode] = (*found.get(inode, ()), pid, fd)
    return found, unreadable


def _pids() -> Iterable[int]:
    return sorted(int(folder.name) for folder in Path("/proc").glob("[0-9]*"))


def _sockets(pid: int) -> dict[int, int]:
    """Inode to the lowest descriptor, of one process. Raises OSError."""
    sockets: dict[int, int] = {}
    readlink = os.readlink
    folder = os.open(f"/proc/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY)
    try:
        # ascending: proc_readfd_common(), fs/proc/fd.c
        for name in os.listdir(folder):  # noqa: PTH208 (a descriptor)
            try:
                link = readlink(name, dir_fd=folder)
            except FileNotFoundError:  # closed meanwhile
                continue
            if link.startswith(_LINK):
                sockets.setdefault(int(link[len(_LINK) : -1]), int(name))
    finally:
        os.close(folder)
    return sockets
