# SPDX-License-Identifier: Apache-2.0
"""Compares what a process's path of its program leads to there and here. In a mount namespace of
its own any user may mount any file on any path."""

import functools
from pathlib import Path
from typing import Final

from tracer.host import procfs
from tracer.host.mounts import Mount, mounts
from tracer.model.process import File

# file systems that a look at a path may wait for: their server may be gone
_REMOTE: Final = ("nfs", "cifs", "smb", "fuse", "9p", "ceph", "afs", "autofs", "lustre", "gfs")


@functools.lru_cache(maxsize=1024)
def is_here(exe: str, file: File | None, mntns: int | None) -> bool | None:
    """Says whether the path leads to that file for us, too, as it was when it was first asked; None
    if that is not certain."""
    if mntns is None or file is None:
        return None
    gone = exe.endswith(" (deleted)")
    if mntns == _own_namespace():
        return None if gone else True
    return False if gone else _same(exe, file)


def _same(path: str, file: File) -> bool | None:
    """A file system may give stat(2) a device of its own (btrfs, overlayfs): numbers that differ
    prove something only if the device is one that the kernel's list of mounts has."""
    there = list(mounts())
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


def _mount_of(path: str, there: list[Mount]) -> Mount:
    """Returns the mount that a path lies on: the last one of the longest path."""
    above = [one for one in there if f"{path}/".startswith(f"{one.path.rstrip('/')}/")]
    return max(reversed(above), key=lambda mount: len(mount.path))


@functools.cache
def _own_namespace() -> int:
    return Path("/proc/self/ns/mnt").stat().st_ino
