# SPDX-License-Identifier: Apache-2.0
"""Finds which processes hold which sockets, by the links in /proc/PID/fd (proc(5)) and what
io_uring has registered. What only a message in flight holds (SCM_RIGHTS) shows nowhere."""

import marshal
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

from tracer.host import task_files

NO_DESCRIPTOR: Final = -1  # io_uring holds it for the process

_LINK: Final = "socket:["  # sockfs_dname(), net/socket.c
_RING: Final = "anon_inode:[io_uring]"
# A line of "UserFiles" in its fdinfo. An older kernel has a name without the inode there, a busy
# ring may have nothing (__io_uring_show_fdinfo(), io_uring/fdinfo.c).
_REGISTERED: Final = re.compile(rb"^ *\d+: socket:\[(\d+)\]$", re.MULTILINE)


# The holders of an inode: a pid, its lowest descriptor or NO_DESCRIPTOR, the next pid, …
Flat = tuple[int, ...]


class Holders(NamedTuple):
    """The holders of all sockets at one moment, each process once. ``unreadable`` counts the
    processes that could not be read; any of them may hold any socket. It is 0 for root."""

    by_inode: dict[int, Flat]
    unreadable: int


def find() -> Holders:
    """Scans the descriptors of all processes now."""
    return Holders(*_search())


def find_meanwhile() -> Callable[[], Holders]:
    """Scans in a child process while the caller does something else, because reading the links
    takes longest of all in a listing. Returns a function that waits for the answer."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)  # so that the child ends if the caller never reads the answer
        _answer(write_end)
    os.close(write_end)

    def wait() -> Holders:
        with open(read_end, "rb") as answer:
            data = answer.read()
        _, status = os.waitpid(child, 0)
        return Holders(*marshal.loads(data)) if status == 0 else find()

    return wait


def _answer(write_end: int) -> None:
    """Runs the child, without our output: whoever reads that must not wait for the child."""
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
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
        except OSError:  # not permitted, on opening the folder or reading its links: proc(5)
            unreadable += 1
            continue
        for inode, fd in sockets.items():
            found[inode] = (*found.get(inode, ()), pid, fd)
    return found, unreadable


def _pids() -> Iterable[int]:
    return sorted(int(folder.name) for folder in Path("/proc").glob("[0-9]*"))


def _sockets(pid: int) -> dict[int, int]:
    """Maps the inodes of one process to its lowest descriptors for them. Raises OSError."""
    sockets: dict[int, int] = {}
    rings: list[str] = []
    for folder in task_files.folders(pid):
        try:
            _read_table(folder, sockets, rings)
        except (FileNotFoundError, ProcessLookupError):  # this thread has ended
            continue
    for ring in rings:
        for inode in _registered(ring):
            sockets.setdefault(inode, NO_DESCRIPTOR)
    return sockets


def _read_table(folder: str, sockets: dict[int, int], rings: list[str]) -> None:
    """Adds the sockets and the io_uring instances of a thread's descriptor table."""
    readlink = os.readlink
    table = os.open(f"{folder}/fd", os.O_RDONLY | os.O_DIRECTORY)
    try:
        # in ascending order: proc_readfd_common(), fs/proc/fd.c
        for name in os.listdir(table):  # noqa: PTH208 (a descriptor)
            try:
                link = readlink(name, dir_fd=table)
            except FileNotFoundError:  # closed meanwhile
                continue
            if link.startswith(_LINK):
                sockets.setdefault(int(link[len(_LINK) : -1]), int(name))
            elif link == _RING:
                rings.append(f"{folder}/fdinfo/{name}")
    finally:
        os.close(table)


def _registered(ring: str) -> list[int]:
    """Returns the inodes of the sockets in the ring's file table, as far as it tells them."""
    try:
        return list(map(int, _REGISTERED.findall(Path(ring).read_bytes())))
    except OSError:  # closed meanwhile
        return []
