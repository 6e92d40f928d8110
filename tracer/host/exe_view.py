# SPDX-License-Identifier: Apache-2.0
"""Compares what a process's path of its program leads to there and here. In a mount namespace of
its own any user may mount any file on any path."""

import functools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tracer.host import procfs
from tracer.host.mounts import Mount, mounts
from tracer.model.process import File, Holder

# file systems that a look at a path may wait for: their server may be gone
_REMOTE: Final = ("nfs", "cifs", "smb", "fuse", "9p", "ceph", "afs", "autofs", "lustre", "gfs")


def holder(pid: int) -> Holder:
    """Describes the process that has this pid now."""
    exe = procfs.exe(pid)
    return Holder(pid, procfs.comm(pid), exe, _is_here_now(pid, exe) if exe else None)


def _is_here_now(pid: int, exe: str) -> bool | None:
    """Does as :func:`is_here`, of what a process runs now; None if that changes meanwhile."""
    mntns = procfs.mntns(pid)
    if mntns is None or mntns == _own_namespace():  # nearly always: its file need not be read
        return None if mntns is None or _is_deleted(exe) else True
    here = is_here(exe, procfs.exe_file(pid), mntns)
    return here if (procfs.exe(pid), procfs.mntns(pid)) == (exe, mntns) else None


@functools.lru_cache(maxsize=1024)
def is_here(exe: str, file: File | None, mntns: int | None) -> bool | None:
    """Says whether the path leads to that file for us, too, as it was when it was first asked; None
    if that is not certain."""
    if mntns is None or file is None:
        return None
    if mntns == _own_namespace():
        return None if _is_deleted(exe) else True
    return False if _is_deleted(exe) else _same(exe, file)


def _is_deleted(exe: str) -> bool:
    return exe.endswith(" (deleted)")


def _same(path: str, file: File) -> bool | None:
    """A file system may give stat(2) a device of its own (btrfs, overlayfs): numbers that differ
    prove something only if the device is one that the kernel's list of mounts has."""
    there = _mounts(int(time.monotonic()))
    if _mount_of(path, there).kind.startswith(_REMOTE):
        return None
    try:
        found = procfs.file_at(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return None
    if found == file:
        return True
    return False if found.dev in {mount.dev for mount in there} else None


@functools.lru_cache(maxsize=1)
def _mounts(_second: int) -> tuple[Mount, ...]:
    """Reads what is mounted once a second: a machine full of containers has thousands of mounts."""
    return tuple(mounts())


def _mount_of(path: str, there: Sequence[Mount]) -> Mount:
    """Returns the mount that a path lies on: the last one of the longest path."""
    above = [one for one in there if f"{path}/".startswith(f"{one.path.rstrip('/')}/")]
    return max(reversed(above), key=lambda mount: len(mount.path))


@functools.cache
def _own_namespace() -> int:
    return Path("/proc/self/ns/mnt").stat().st_ino
