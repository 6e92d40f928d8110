# SPDX-License-Identifier: Apache-2.0
"""The pid namespace whose pids /proc shows: these are the pids that a user asks for."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

INITIAL: Final = 0xEFFFFFFC  # PROC_PID_INIT_INO, include/linux/proc_ns.h


@functools.cache
def shown() -> int | None:
    """Returns its inode; None if we may not read any process in it."""
    for folder in _folders():
        try:
            said = (folder / "status").read_text(errors="replace")
            # one number for each namespace of the process, from this one down: proc(5)
            if len(said.partition("\nNSpid:")[2].partition("\n")[0].split()) == 1:
                return (folder / "ns/pid").stat().st_ino
        except OSError:  # it is gone, or we may not read it
            continue
    return None


def _folders() -> Iterator[Path]:
    yield Path("/proc/self")
    yield from Path("/proc").glob("[0-9]*")


def of_pidfd(pidfd: int) -> int:
    """Returns the pid, in this namespace, of the process behind a pidfd: pidfd_open(2)."""
    said = Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    return int(said.partition("Pid:")[2].split()[0])
