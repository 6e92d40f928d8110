# SPDX-License-Identifier: Apache-2.0
"""The network namespaces of ``-N``. The kernel knows them by an inode number, which it gives to
another namespace once this one has ended; so each is held open as long as anything leads to it, and
a name that is made anew is followed.

A descriptor keeps a namespace alive, with its devices. It is therefore closed as soon as nothing
else leads there: no name or path that was asked for, no process, no mount.
"""

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, Protocol

from tracer.filter.parse import NetnsPlace, netns_inode
from tracer.host import netns

_PROC: Final = "/proc/"  # a path in there is a process's: another one may get its pid


class Filter(Protocol):
    """Which namespaces pass (:class:`tracer.kernel.session.Session`)."""

    def add_netns(self, inode: int) -> None:
        """Lets a namespace pass from now on."""

    def remove_netns(self, inode: int) -> None:
        """Lets it pass no more."""


class Change(NamedTuple):
    """What a name leads to now; None: to nothing."""

    asked: str
    before: int | None
    inode: int | None

    def __str__(self) -> str:
        if self.inode is None:
            return f"nothing leads to the network namespace {self.asked} any more: not watched"
        return f"{self.asked} is another network namespace now ({self.inode}): watching that"


class HeldNetns:
    """The namespaces that are watched."""

    def __init__(self, places: Iterable[NetnsPlace]) -> None:
        self._held = [_Held(place) for place in places]

    def inodes(self) -> frozenset[int]:
        """Returns those that are watched now."""
        return frozenset(held.inode for held in self._held if held.inode is not None)

    def not_held(self) -> list[str]:
        """Returns what could not be opened: its number may become another one's, unnoticed."""
        return [held.place.asked for held in self._held if not held.is_held]

    def check(self, watched: Filter, tell: Callable[[Change], None]) -> None:
        """Looks whether each is still there, and adapts the filter. It costs a stat(2) for each."""
        for held in self._held:
            before = held.inode
            if not held.look():
                continue
            if held.inode is not None:
                watched.add_netns(held.inode)
            if before is not None and before not in self.inodes():
                watched.remove_netns(before)
            held.let_go()
            tell(Change(held.place.asked, before, held.inode))

    def close(self) -> None:
        """Lets go of all."""
        for held in self._held:
            held.close()


class _Held:
    """One of them; ``inode`` is None while nothing leads there."""

    def __init__(self, place: NetnsPlace) -> None:
        self.place = place
        self.inode: int | None = None
        self._fds: list[int] = []  # of the namespace that is watched, last one first
        self._path = place.path or netns.all_namespaces().paths.get(place.inode)
        if not self._hold():
            self.inode = place.inode

    @property
    def is_held(self) -> bool:
        """Whether its number is certain to remain its own."""
        return bool(self._fds)

    def look(self) -> bool:
        """Finds out where it is now; returns whether that is another one than before. The one
        before stays open until :meth:`let_go`, so that its number is nobody else's."""
        asked = self.place.path
        if asked and not asked.startswith(_PROC) and self._is_another(netns_inode(asked)):
            self._path = asked
            return self._hold()
        if self.inode is None or not self.is_held or self._leads_there(self._path):
            return False
        self._path = netns.all_namespaces().paths.get(self.inode)
        if self._path is None:
            self.inode = None
        return self.inode is None

    def let_go(self) -> None:
        """Closes all but what is watched now."""
        keep = self._fds[-1:] if self.inode is not None else []
        for fd in self._fds[: len(self._fds) - len(keep)]:
            os.close(fd)
        self._fds = keep

    def close(self) -> None:
        self.inode = None
        self.let_go()

    def _is_another(self, inode: int | None) -> bool:
        return inode is not None and inode != self.inode

    def _leads_there(self, path: str | None) -> bool:
        return path is not None and netns_inode(path) == self.inode

    def _hold(self) -> bool:
        """Opens what the path leads to. Returns False if that is not possible."""
        if self._path is None:
            return False
        with contextlib.suppress(OSError):
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            self._fds.append(fd)
            self.inode = os.fstat(fd).st_ino
            return True
        return False
