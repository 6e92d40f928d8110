# SPDX-License-Identifier: Apache-2.0
"""Finds which processes descend from which now."""

import contextlib
from collections import defaultdict
from collections.abc import Iterable

from tracer.host import procfs


def descendants(pids: Iterable[int]) -> set[int]:
    """Returns the descendants of these processes in all generations, without themselves."""
    children: dict[int, list[int]] = defaultdict(list)
    for pid in procfs.pids():
        with contextlib.suppress(OSError):  # it has ended
            children[procfs.stat(pid)[0]].append(pid)
    found: set[int] = set()
    unseen = list(pids)
    while unseen:
        youngest = set(children[unseen.pop()]) - found
        found |= youngest
        unseen += youngest
    return found - set(pids)
