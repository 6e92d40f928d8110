# SPDX-License-Identifier: Apache-2.0
"""Network namespaces that the kernel tells of: bpf/newcomer.bpf.c, whose assertions hold these
layouts."""

import contextlib
import struct
from typing import Final, NamedTuple

from tracer.kernel import syscall
from tracer.kernel.ring import RecordRing

_KEY: Final = struct.Struct("=QQ")
_NEWCOMER: Final = struct.Struct("=II")
_PRESENT: Final = bytes(4)


class Newcomer(NamedTuple):
    """A network namespace, an inode, and a process (its number as the tracer sees it) that may be
    in it."""

    pid: int
    netns: int


class NewcomerRing:
    """What the kernel tells. Poll ``map_fd`` to wait for it. There must be no other reader."""

    def __init__(self, map_fd: int) -> None:
        """Raises OSError."""
        self._ring = RecordRing(map_fd)

    def read(self) -> list[Newcomer]:
        """Returns what was told since the last call, oldest first."""
        return [Newcomer._make(_NEWCOMER.unpack(record)) for record in self._ring.read()]


class LeftOut:
    """The namespaces that the kernel does not tell of. A cookie is 0 where the kernel has none."""

    def __init__(self, map_fd: int) -> None:
        self._map = map_fd

    def add(self, cookie: int, inode: int) -> None:
        """Adds one. If there is no room, the kernel tells of it again and again."""
        with contextlib.suppress(OSError):
            syscall.map_update(self._map, _KEY.pack(cookie, inode), _PRESENT)

    def remove(self, cookie: int, inode: int) -> None:
        """Lets the kernel tell of it, if it is still there."""
        with contextlib.suppress(FileNotFoundError):
            syscall.map_delete(self._map, _KEY.pack(cookie, inode))
