# SPDX-License-Identifier: Apache-2.0
"""Reads once what all processes have open that can send past a tracer: sockets, character devices,
BPF programs, and network namespaces."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tracer.host import procfs, task_files

_SOCKET: Final = "socket:["  # sockfs_dname(), net/socket.c
_NETNS: Final = "net:["  # ns_dname(), fs/nsfs.c
_BPF: Final = ("anon_inode:bpf-prog", "anon_inode:bpf_link")  # kernel/bpf/syscall.c
# Nothing else is looked at: a file on a server that does not answer would hang us. A device has
# one of these names also where a container has made it elsewhere.
_DEVICE: Final = re.compile(
    r"/dev/|.*/(tun|tap\d+|vhost-net|vfio\d*|uio\d+|uverbs\d+|rdma_cm)( \(deleted\))?$"
)
_MISC_MAJOR: Final = 10  # include/uapi/linux/major.h


class OpenFile(NamedTuple):
    """A descriptor of a process, and the thread whose table it is in."""

    pid: int
    fd: int
    tid: int

    def fdinfo(self, key: str) -> str | None:
        """Returns a line of its fdinfo, proc(5); None if there is none, or it is closed by now."""
        try:
            lines = Path(f"/proc/{self.tid}/fdinfo/{self.fd}").read_text(errors="backslashreplace")
        except OSError:
            return None
        found = re.search(rf"^{key}:[ \t]*(\S.*)$", lines, re.MULTILINE)
        return found[1] if found else None


class Device(NamedTuple):
    """An open character device: its driver as /proc/misc or /proc/devices names it, its path as the
    process that opened it sees it."""

    driver: str
    path: str
    by: OpenFile


class OpenFiles(NamedTuple):
    """What is open at one moment: sockets and network ``namespaces`` by inode. ``unreadable`` are
    the processes that could not be read; any of them may have anything open."""

    sockets: dict[int, list[OpenFile]]
    devices: list[Device]
    bpf: list[OpenFile]
    unreadable: list[int]
    namespaces: dict[int, list[OpenFile]]


def find() -> OpenFiles:
    """Reads the descriptors of all processes now."""
    found = OpenFiles({}, [], [], [], {})
    drivers = _drivers()
    for pid in procfs.pids():
        try:
            for folder in task_files.folders(pid):
                _read_table(pid, folder, drivers, found)
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
        except OSError:  # not permitted
            found.unreadable.append(pid)
    return found


def _read_table(
    pid: int, folder: str, drivers: dict[tuple[int, int | None], str], found: OpenFiles
) -> None:
    tid = int(folder.rpartition("/")[2])
    table = os.open(f"{folder}/fd", os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in os.listdir(table):  # noqa: PTH208 (a descriptor)
            try:
                link = os.readlink(name, dir_fd=table)
                driver = _driver(name, table, drivers) if _DEVICE.match(link) else None
            except FileNotFoundError:  # closed meanwhile
                continue
            by = OpenFile(pid, int(name), tid)
            if link.startswith(_SOCKET):
                found.sockets.setdefault(int(link[len(_SOCKET) : -1]), []).append(by)
            elif driver:
                found.devices.append(Device(driver, link.removesuffix(" (deleted)"), by))
            elif link.startswith(_NETNS):
                found.namespaces.setdefault(int(link[len(_NETNS) : -1]), []).append(by)
            elif link.startswith(_BPF):
                found.bpf.append(by)
    finally:
        os.close(table)


def _driver(name: str, table: int, drivers: dict[tuple[int, int | None], str]) -> str | None:
    at = os.stat(name, dir_fd=table)
    if not stat.S_ISCHR(at.st_mode):
        return None
    major, minor = os.major(at.st_rdev), os.minor(at.st_rdev)
    return drivers.get((major, minor if major == _MISC_MAJOR else None))


def _drivers() -> dict[tuple[int, int | None], str]:
    """Maps device numbers to the names of drivers; no minor: all of that major."""
    characters = Path("/proc/devices").read_text().partition("Block devices:")[0]
    found: dict[tuple[int, int | None], str] = {
        (number, None): name for number, name in _rows(characters)
    }
    misc = Path("/proc/misc").read_text()
    return found | {(_MISC_MAJOR, number): name for number, name in _rows(misc)}


def _rows(text: str) -> Iterator[tuple[int, str]]:
    for line in text.splitlines():
        number, _, name = line.strip().partition(" ")
        if number.isdecimal():
            yield int(number), name.strip()
