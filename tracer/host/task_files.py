# SPDX-License-Identifier: Apache-2.0
"""Finds the descriptor tables of a process: its threads share one, but for those that called
unshare(CLONE_FILES)."""

import ctypes
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tracer.host import procfs

_KCMP: Final = {"x86_64": 312, "aarch64": 272}  # the number of the system call
_KCMP_FILES: Final = 2  # include/uapi/linux/kcmp.h

_libc: Final = ctypes.CDLL(None, use_errno=True)


def folders(pid: int) -> Iterator[str]:
    """Yields the folder of a thread for each table of a process. Where the kernel does not compare
    tables (kcmp(2) is missing or refused), yields every thread's."""
    tids = procfs.threads(pid)
    if len(tids) < 2:
        yield f"/proc/{pid}"
        return
    owners: list[int] = []
    for tid in tids:
        if not any(_share_a_table(tid, owner) for owner in owners):
            owners.append(tid)
            yield f"/proc/{pid}/task/{tid}"


def _share_a_table(tid: int, other: int) -> bool:
    """A thread that has ended has no table, which is not the other's."""
    number = _KCMP.get(os.uname().machine) if _proc_shows_our_pids() else None
    return number is not None and _libc.syscall(number, tid, other, _KCMP_FILES, 0, 0) == 0


@functools.cache
def _proc_shows_our_pids() -> bool:
    """Says whether /proc has the pids that our system calls take."""
    return Path("/proc/self").readlink() == Path(str(os.getpid()))
