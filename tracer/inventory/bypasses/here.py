# SPDX-License-Identifier: Apache-2.0
"""Where a look is at: the machine, and the network namespace that the caller is in."""

import contextlib
import errno
import functools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from tracer.host import exe_view, socket_copy
from tracer.host.netlink.links import Link
from tracer.host.open_files import OpenFile, OpenFiles
from tracer.inventory.bypasses.bypass import Owners
from tracer.kernel import syscall

_NET: Final = Path("/proc/thread-self/net")  # of the thread: it is the one that entered


class Held(NamedTuple):
    """A socket of a process: its address family, protocol and network namespace."""

    family: int
    protocol: int
    netns: int
    by: OpenFile


class Machine:
    """What all processes have open, read once. ``refused`` is what the sockets' copies said."""

    def __init__(self, opened: OpenFiles) -> None:
        self.opened = opened
        self.refused = 0
        self.links: dict[int, list[Link]] = {}  # of the namespaces that were looked into

    @functools.cached_property
    def sockets(self) -> list[Held]:
        """Returns the sockets of all processes, one holder each. They are asked one by one, which
        is done only where there is a kind of socket that nothing lists."""
        found = []
        for inode, holders in self.opened.sockets.items():
            try:
                with socket_copy.copied(holders[0]) as sock:
                    if socket_copy.inode(sock) == inode:
                        kind = socket_copy.family(sock), socket_copy.protocol(sock)
                        found.append(Held(*kind, socket_copy.netns(sock), holders[0]))
            except OSError as error:
                if error.errno not in (errno.ESRCH, errno.EBADF):  # it is gone
                    self.refused += 1
        return found

    @functools.cached_property
    def programs(self) -> list[syscall.LoadedProgram]:
        """Returns the BPF programs that are loaded. Raises OSError."""
        return list(syscall.programs())

    @functools.cached_property
    def program_files(self) -> dict[int, list[OpenFile]]:
        """Returns the descriptors of each BPF program, and of what keeps it attached."""
        found: dict[int, list[OpenFile]] = {}
        for file in self.opened.bpf:
            number = file.fdinfo("prog_id")
            if number:
                found.setdefault(int(number), []).append(file)
        return found

    def holders(self, inode: int) -> Owners:
        """Returns who holds a socket; None if nobody is found: it is a message in flight, an
        io_uring, or a process that cannot be read."""
        return owners(self.opened.sockets.get(inode, ()))


class Here(NamedTuple):
    """The caller's network namespace, its devices, and the machine that it is on."""

    netns: int
    links: list[Link]
    machine: Machine

    def name(self, ifindex: int) -> str:
        """Returns a device's name, or its number where it has gone meanwhile."""
        names = {link.ifindex: link.name for link in self.links}
        return names.get(ifindex, f"device {ifindex}")


def owners(files: Iterable[OpenFile]) -> Owners:
    """Describes the processes that have these open, each once; None for no files."""
    pids = sorted({file.pid for file in files})
    return tuple(map(exe_view.holder, pids)) or None


def read(name: str) -> str:
    """Reads a file of /proc/net; empty where the kernel has no such thing. Raises OSError."""
    try:
        return (_NET / name).read_text(errors="backslashreplace")
    except FileNotFoundError:
        return ""


def entries(folder: str) -> list[Path]:
    """Lists a folder of /sys or /proc; none where the kernel has no such thing. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        return [Path(folder, name) for name in sorted(os.listdir(folder))]  # noqa: PTH208 (quicker)
    return []


def first_line(path: Path) -> str:
    """Returns the first line of a small file; empty if it is gone. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_text(errors="backslashreplace").partition("\n")[0]
    return ""
