# SPDX-License-Identifier: Apache-2.0
"""Finds which processes descend from which now."""

import contextlib
from collections import defaultdict
from collections.abc import Iterable

from tracer.host import procfs

Processes = dict[int, tuple[int, int]]  # pid: its parent's pid, and its start as in procfs.Status


def processes() -> Processes:
    """Lists the processes that there are."""
    found: Processes = {}
    for pid in procfs.pids():
        with contextlib.suppress(OSError):  # it has ended
            found[pid] = procfs.stat(pid)
    return found


def descendants(listed: Processes, pids: Iterable[int]) -> set[int]:
    """Returns the descendants of ``pids`` in all generations, without themselves."""
    children: dict[int, list[int]] = defaultdict(list)
    for pid, (parent, _) in listed.items():
        children[parent].append(pid)
    found: set[int] = set()
    unseen = list(pids)
    while unseen:
        youngest = set(children[unseen.pop()]) - found
        found |= youngest
        unseen += youngest
    return found - set(pids)
