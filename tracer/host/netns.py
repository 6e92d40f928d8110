# SPDX-License-Identifier: Apache-2.0
"""Lists the network namespaces of this machine, and enters one for a moment.

A netlink socket answers for the namespace that it was made in (net/core/sock_diag.c) and keeps
that namespace alive, so it is made inside, used, and closed.
"""

import contextlib
import ctypes
import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tracer.filter.parse import NAMED_NETNS, OWN_NETNS, netns_inode
from tracer.host.mounts import mounts

_CLONE_NEWNET: Final = 0x40000000

_libc: Final = ctypes.CDLL(None, use_errno=True)


def own() -> int:
    """Returns the inode of the caller's network namespace."""
    return Path(OWN_NETNS).stat().st_ino


def all_namespaces() -> dict[int, str]:
    """Maps inodes to paths, for all namespaces that have a name or a process, or are mounted."""
    found: dict[int, str] = {}
    for path in _candidates():
        inode = netns_inode(path)
        if inode is not None:
            found.setdefault(inode, path)
    return found


def path_of(inode: int, pid: int) -> str:
    """Returns a path to it, by this process or a name. Raises FileNotFoundError."""
    for path in itertools.chain([f"/proc/{pid}/ns/net"], _named()):
        if netns_inode(path) == inode:
            return path
    raise FileNotFoundError(f"nothing leads to the network namespace {inode}")


def interface(ifindex: int) -> str | None:
    """Returns a device's name in the caller's namespace; None if none has that number."""
    with contextlib.suppress(OSError):
        return socket.if_indextoname(ifindex)
    return None


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
    with contextlib.suppress(OSError):  # there is no such folder
        yield from map(str, NAMED_NETNS.iterdir())


def _candidates() -> Iterator[str]:
    yield "/proc/self/ns/net"
    yield from _named()
    yield from (str(folder / "ns/net") for folder in Path("/proc").glob("[0-9]*"))
    yield from (at.path for at in mounts() if at.kind == "nsfs" and at.root.startswith("net:"))
