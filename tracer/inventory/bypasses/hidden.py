# SPDX-License-Identifier: Apache-2.0
"""Network namespaces without a name that are no process's own: a thread, a descriptor or a socket
leads there. They are not looked into, but said."""

import functools
import os
from collections.abc import Iterator
from typing import Final, NamedTuple

from tracer.host import exe_view, netns, open_files, procfs, socket_copy
from tracer.host.open_files import OpenFile
from tracer.inventory.bypasses.here import Machine
from tracer.model.counts import counted

_MAX_ASKED: Final = 65_536  # sockets whose namespace is remembered: it never changes
_NAMED: Final = 3


class Hidden(NamedTuple):
    """A namespace: its inode, and what a process leads there by."""

    inode: int
    by: str
    pid: int

    def __str__(self) -> str:
        comm = exe_view.holder(self.pid).comm or "?"
        return (
            f"the network namespace {self.inode}, which only {self.by} of {comm} "
            f"(pid {self.pid}) leads to"
        )


def hidden(machine: Machine) -> Iterator[str]:
    """Says in words which there are: the first of them, and how many more. What cannot be read is
    left out: the search says so of all that a process has open."""
    found = list(find(machine).values())
    yield from map(str, found[:_NAMED])
    if len(found) > _NAMED:
        yield counted(len(found) - _NAMED, "more such network namespace")


def find(machine: Machine) -> dict[int, Hidden]:
    """Returns them by inode. What comes and goes while it looks may seem to be one: it looks twice
    where there are any."""
    found = _look(machine)
    if not found:
        return {}
    again = _look(Machine(open_files.find()))
    return {inode: again[inode] for inode in found if inode in again}


def _look(machine: Machine) -> dict[int, Hidden]:
    """Leaves out this process's own: while it looks at a namespace, it keeps it."""
    before = netns.all_namespaces().paths
    found: dict[int, Hidden] = {}
    for one in (*_of_threads(), *_of_descriptors(machine), *_of_sockets(machine)):
        if one.inode not in before and one.pid != os.getpid():
            found.setdefault(one.inode, one)
    after = netns.all_namespaces().paths if found else {}
    return {inode: one for inode, one in found.items() if inode not in after}


def _of_threads() -> Iterator[Hidden]:
    for pid in procfs.pids():
        for folder in procfs.folders(pid):
            try:
                inode = os.stat(f"{folder}/ns/net").st_ino  # noqa: PTH116 (thousands of them)
            except OSError:  # it has ended, or may not be read
                continue
            yield Hidden(inode, "a thread", pid)


def _of_descriptors(machine: Machine) -> Iterator[Hidden]:
    for inode, files in machine.opened.namespaces.items():
        yield from (Hidden(inode, "a descriptor", file.pid) for file in files)


def _of_sockets(machine: Machine) -> Iterator[Hidden]:
    for inode, files in machine.opened.sockets.items():
        if files[0].pid == os.getpid():
            continue
        try:
            yield Hidden(_netns_of(inode, files[0]), "a socket", files[0].pid)
        except OSError:  # it is gone, or may not be asked
            continue


@functools.lru_cache(maxsize=_MAX_ASKED)
def _netns_of(inode: int, file: OpenFile) -> int:
    """Asks a copy of the socket, as nothing else tells. Raises OSError."""
    with socket_copy.copied(file) as sock:
        if socket_copy.inode(sock) != inode:
            raise FileNotFoundError("another file has this descriptor by now")
        return socket_copy.netns(sock)
