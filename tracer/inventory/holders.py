# SPDX-License-Identifier: Apache-2.0
"""Finds the holders of the sockets that are listed."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tracer.host import procfs
from tracer.host.fd_holders import Holders
from tracer.inventory.selection import Selection
from tracer.model.process import Holder
from tracer.model.socket import Held, Processes

T = TypeVar("T")


class Join:
    """Maps the inodes of sockets to their holders; looks at each process once."""

    def __init__(self, selection: Selection, found: Holders) -> None:
        self.taken = False  # whether any row was
        # rows that may have holders that cannot be read: among those taken, among the others
        self.unknown = 0
        self.left_out = 0
        self._selection = selection
        self._unreadable = found.unreadable
        self._by_inode = found.by_inode
        self._known: dict[int, Holder] = {}

    def rows(self, rows: Iterable[tuple[int | None, T]]) -> Iterator[tuple[T, Processes]]:
        """Adds the holders of each row's inode, and drops rows that the process filter excludes."""
        for inode, row in rows:
            processes = self.holders(inode)
            takes = self._selection.takes_holders(processes)
            if takes:
                self.taken = True
                if processes is None:
                    self.unknown += 1
                yield row, processes
            elif takes is None:
                self.left_out += 1

    def holders(self, inode: int | None) -> Processes:
        """Returns the holders; None if a process that could not be read may be one."""
        flat = self._by_inode.get(inode) if inode else None
        if flat is None:
            return None if inode and self._unreadable else ()
        if len(flat) == 2:  # nearly always: worth a fast path
            return (Held(self._holder(flat[0]), flat[1]),)
        held = zip(flat[::2], flat[1::2], strict=True)
        return tuple(Held(self._holder(pid), fd) for pid, fd in held)

    def _holder(self, pid: int) -> Holder:
        known = self._known.get(pid)
        if known is None:
            known = self._known[pid] = procfs.holder(pid)
        return known
