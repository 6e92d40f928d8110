# SPDX-License-Identifier: Apache-2.0
"""Finds the holders of the sockets that are listed."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tracer.host import exe_view
from tracer.host.fd_holders import NO_DESCRIPTOR, Holders
from tracer.inventory.selection import Selection
from tracer.model.process import Holder
from tracer.model.socket import Held, Processes

T = TypeVar("T")


class Join:
    """Maps the inodes of sockets to their holders; looks at each process once."""

    def __init__(self, selection: Selection, found: Holders) -> None:
        self.taken = False  # whether any row was
        # rows whose holders are not known: among those taken, among the others
        self.unknown = 0
        self.left_out = 0
        self.unreadable = found.unreadable
        self._selection = selection
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
        """Returns the holders; None if they are not known: where nobody is found, a process that
        could not be read may be one, a message in flight, an io_uring, or the kernel. Without an
        inode, nobody can hold the socket any more."""
        flat = self._by_inode.get(inode) if inode else None
        if flat is None:
            return None if inode else ()
        if len(flat) == 2:  # nearly always: worth a fast path
            return (self._held(*flat),)
        return tuple(map(self._held, flat[::2], flat[1::2]))

    def _held(self, pid: int, fd: int) -> Held:
        known = self._known.get(pid)
        if known is None:
            known = self._known[pid] = exe_view.holder(pid)
        return Held(known, None if fd == NO_DESCRIPTOR else fd)
