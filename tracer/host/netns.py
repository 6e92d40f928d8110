# SPDX-License-Identifier: Apache-2.0
"""Lists the network namespaces of this machine, and enters one for a moment.

A netlink socket answers for the namespace that it was made in (net/core/sock_diag.c) and keeps
that namespace alive, so it is made inside, used, and closed.
"""

import contextlib
import ctypes
import fcntl
import itertools
import os
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tracer.filter.parse import NAMED_NETNS, OWN_NETNS, netns_inode
from tracer.host import procfs
from tracer.host.mounts import mounts
from tracer.model.process import text

_DOCKERS: Final = Path("/run/docker/netns")
_MOUNTED: Final = re.compile(r"net:\[(\d+)\]")  # ns_dname(), fs/nsfs.c
_CLONE_NEWNET: Final = 0x40000000
_SIOCGIFNAME: Final = 0x8910
_SIOCGSKNS: Final = 0x894C  # include/uapi/linux/sockios.h
_IFREQ: Final = struct.Struct("=16si20x")  # struct ifreq: a name, and what is asked for

_libc: Final = ctypes.CDLL(None, use_errno=True)


def own() -> int:
    """Returns the inode of the caller's network namespace."""
    return Path(OWN_NETNS).stat().st_ino


class Namespaces(NamedTuple):
    """Network namespaces: a path to each inode. ``unreadable`` counts processes that may be in
    others."""

    paths: dict[int, str]
    unreadable: int


def all_namespaces() -> Namespaces:
    """Finds all that have a name or a process, or are mounted."""
    found: dict[int, str] = {}
    for path in (OWN_NETNS, *_named()):
        _add(found, path)
    unreadable = sum(_add_process(found, pid) for pid in procfs.pids())
    for path in mounted().values():
        _add(found, path)
    return Namespaces(found, unreadable)


def mounted() -> dict[int, str]:
    """Returns the paths where namespaces are mounted, by inode, as those that have a name."""
    found = {}
    for at in mounts():
        inode = _MOUNTED.fullmatch(at.root)
        if at.kind == "nsfs" and inode:
            found[int(inode[1])] = at.path
    return found


def names() -> dict[int, str]:
    """Maps inodes to names, for those that ``ip netns`` or Docker has named."""
    found: dict[int, str] = {}
    for path in _named():
        _add(found, path)
    return {inode: os.path.basename(path) for inode, path in found.items()}  # noqa: PTH119


def path_of(inode: int, pid: int) -> str:
    """Returns a path to it, by this process or a name. Raises FileNotFoundError."""
    of_process = (f"{folder}/ns/net" for folder in procfs.folders(pid))
    for path in itertools.chain(of_process, _named()):
        if netns_inode(path) == inode:
            return path
    raise FileNotFoundError(f"nothing leads to the network namespace {inode}")


def interface(ifindex: int) -> str | None:
    """Returns a device's name in the caller's namespace; None if none has that number."""
    with contextlib.suppress(OSError):
        return text(os.fsencode(socket.if_indextoname(ifindex)))
    return None


def interface_of(sock: socket.socket, ifindex: int) -> str | None:
    """Does the same in the namespace that a socket was made in, wherever the caller is (dev_ioctl()
    of sock_do_ioctl(), net/socket.c)."""
    with contextlib.suppress(OSError):
        answer = fcntl.ioctl(sock, _SIOCGIFNAME, _IFREQ.pack(b"", ifindex))
        return text(_IFREQ.unpack(answer)[0])
    return None


def descriptor_of(sock: socket.socket) -> int:
    """Opens the namespace that a socket was made in (sock_ioctl(), net/socket.c); needs
    CAP_NET_ADMIN there. The caller closes it. Raises OSError."""
    return int(fcntl.ioctl(sock, _SIOCGSKNS))


@contextlib.contextmanager
def inside_of(sock: socket.socket) -> Iterator[None]:
    """Does as :func:`inside`, for the namespace that a socket was made in. Raises OSError."""
    there = descriptor_of(sock)
    try:
        with inside(f"/proc/self/fd/{there}", os.fstat(there).st_ino):
            yield
    finally:
        os.close(there)


@contextlib.contextmanager
def inside(path: str, inode: int) -> Iterator[None]:
    """Puts the calling thread into that namespace for the block; needs CAP_SYS_ADMIN. Raises
    OSError, for example when the path leads elsewhere by now."""
    back = os.open(OWN_NETNS, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(path, inode)
        try:
            yield
        finally:
            _set(back)
    finally:
        os.close(back)


def _enter(path: str, inode: int) -> None:
    there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(there).st_ino != inode:
            raise FileNotFoundError(f"{path} is another namespace by now")
        _set(there)
    finally:
        os.close(there)


def _set(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _named() -> Iterator[str]:
    """Yields the paths that have names, always in the same order."""
    for folder in (NAMED_NETNS, _DOCKERS):
        with contextlib.suppress(OSError):  # there is no such folder, or it is not ours to read
            yield from sorted(map(str, folder.iterdir()))


def _add(found: dict[int, str], path: str) -> None:
    inode = netns_inode(path)
    if inode is not None:
        found.setdefault(inode, path)


def _add_process(found: dict[int, str], pid: int) -> bool:
    """Adds a process's namespace; returns whether it could not be read. Of init, which may be
    closed to root, too, it is assumed that others are in its namespace."""
    path = f"/proc/{pid}/ns/net"
    try:
        found.setdefault(os.stat(path).st_ino, path)  # noqa: PTH116 (thousands of them)
    except PermissionError:
        return pid != 1
    except OSError:  # it has ended, or its first thread has
        for folder in procfs.folders(pid):
            _add(found, f"{folder}/ns/net")
    return False
