# SPDX-License-Identifier: Apache-2.0
"""Finds the path of a cgroup by the kernel's number for it."""

import contextlib
import ctypes
import functools
import os
import struct
from functools import lru_cache
from pathlib import Path
from typing import Final

from tracer.host import procfs
from tracer.host.mounts import mounts
from tracer.host.procfs import printable

_INITIAL: Final = 0xEFFFFFFB  # PROC_CGROUP_INIT_INO, include/linux/proc_ns.h
_FILEID_KERNFS: Final = 0xFE  # include/linux/exportfs.h: the handle is the 64-bit id
_HANDLE: Final = struct.Struct("=IiQ")  # struct file_handle: size of the id, its type, the id

# the warning for a user who asks for cgroups, units or containers where is_private()
PRIVATE: Final = (
    "this is a cgroup namespace of its own: of what runs outside of it cgroup, unit and container "
    "are not known, so it is left out"
)

_libc: Final = ctypes.CDLL(None, use_errno=True)


@lru_cache(maxsize=1024)
def path(cgroup_id: int) -> str | None:
    """Returns a cgroup's path below the root of cgroup v2, as /proc/PID/cgroup has it. None if it
    is gone or hidden from here, or without a cgroup2 file system or CAP_DAC_READ_SEARCH."""
    mount = _cgroup2()
    if mount is None:
        return None
    with contextlib.suppress(OSError):
        root = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
        try:
            full = _path_of_handle(root, cgroup_id)
        finally:
            os.close(root)
        if Path(full).stat().st_ino == cgroup_id:  # else it is not below this mount
            return seen(printable(os.fsencode(full.removeprefix(mount))) or "/")
    return None


def of_process(pid: int, start_time: int, cgroup_id: int | None) -> str | None:
    """Returns a process's path in v2. If that says nothing (v1, or both side by side), returns
    systemd's path in v1, or else the longest there. ``start_time`` is in nanoseconds of
    CLOCK_BOOTTIME; if ``cgroup_id`` is None, only /proc is asked."""
    in_v2 = path(cgroup_id) if cgroup_id is not None else None
    if in_v2 and in_v2 != "/":
        return in_v2
    found = procfs.cgroups(pid)
    if not found or not procfs.is_alive(pid, start_time):
        return in_v2
    return seen(_longest(found, in_v2))


def populated() -> set[str]:
    """Returns the paths of the cgroups that have a process now, as :func:`of_process` does."""
    found: set[str | None] = set()
    for pid in procfs.pids():
        with contextlib.suppress(OSError):  # it has ended
            found.add(of_process(pid, procfs.stat(pid)[1], None))
    return {path for path in found if path is not None}


def root() -> str | None:
    """Returns where the root of cgroup v2 is mounted; None: nowhere, or what is mounted here is not
    the root of all (its directory has number 1: kernfs_create_root(), fs/kernfs/dir.c)."""
    mount = _cgroup2()
    with contextlib.suppress(OSError):
        if mount is not None and Path(mount).stat().st_ino == 1:
            return mount
    return None


def _longest(found: dict[str, str], in_v2: str | None) -> str:
    """Chooses one of the paths that /proc has by controllers: that of v2 if it says anything,
    else systemd's, else the longest."""
    unified = found.pop("", None)
    if unified not in (None, "/"):
        return unified
    systemd = found.get("name=systemd", "/")
    if systemd != "/":
        return systemd
    return max(found.values(), key=len, default=in_v2 or unified or "/")


def seen(path: str) -> str | None:
    """Returns a path as the kernel shows it here. None if it does not identify the cgroup, which
    lies outside of the tracer's own cgroup namespace, cgroup_namespaces(7)."""
    if path.startswith("/..") or (path == "/" and is_private()):
        return None
    return path


@functools.cache
def is_private() -> bool:
    """Says whether this process is in another cgroup namespace than the initial one."""
    try:
        return Path("/proc/self/ns/cgroup").stat().st_ino != _INITIAL
    except OSError:  # a kernel without CONFIG_CGROUPS
        return False


def _path_of_handle(mount: int, cgroup_id: int) -> str:
    """Finds a path by open_by_handle_at(2), cgroup_id_from_path's reverse. Raises OSError."""
    handle = ctypes.create_string_buffer(_HANDLE.pack(8, _FILEID_KERNFS, cgroup_id))
    fd = _libc.open_by_handle_at(mount, handle, os.O_RDONLY | os.O_CLOEXEC)
    if fd < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


@lru_cache(maxsize=1)
def _cgroup2() -> str | None:
    """Returns where v2 is mounted: alone, or beside v1 (as /sys/fs/cgroup/unified)."""
    return next((at.path for at in mounts() if (at.kind, at.root) == ("cgroup2", "/")), None)
