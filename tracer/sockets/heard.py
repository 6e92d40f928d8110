# SPDX-License-Identifier: Apache-2.0
"""The network namespaces whose destroyed sockets are heard of, as they come and go.

A netlink socket keeps its namespace alive, so it is closed once nothing else leads there. A name of
``-N`` that is made anew is followed (:mod:`tracer.trace.held_netns`).
"""

import contextlib
import selectors
import socket
from collections.abc import Callable, Collection

from tracer.errors import SockwatchError
from tracer.filter.parse import NetnsPlace
from tracer.host.netlink import sock_diag
from tracer.inventory import dump
from tracer.trace.held_netns import Change, HeldNetns


class Heard:
    """Hears in the namespaces of ``places``, or in all if there are none. Each netlink socket is in
    ``selector``, with its namespace's inode."""

    def __init__(
        self,
        places: Collection[NetnsPlace],
        selector: selectors.BaseSelector,
        tell: Callable[[Change], None],
    ) -> None:
        """``tell`` is told what happens to ``places``. Raises SockwatchError if one of them cannot
        be found."""
        self._wanted = {place.inode for place in places}
        dump.namespaces(frozenset(self._wanted), _no_warning)
        self._by_name = bool(places)
        self._held = HeldNetns(places)
        self._selector = selector
        self._tell = tell
        self._socks: dict[int, socket.socket] = {}
        self._left: list[socket.socket] = []
        self._changed = False

    def has_changed(self) -> bool:
        """Says whether something else is asked for now. It costs a stat(2) for each place."""
        self._changed = False
        self._held.check(self, self._note)
        return self._changed

    def namespaces(self, warn: Callable[[str], None]) -> dump.Where:
        """Finds the namespaces that exist now, and hears in these from now on; ``warn`` is told if
        there may be more."""
        found = dump.namespaces(frozenset(), _no_warning if self._by_name else warn)
        if self._by_name:
            found = {inode: path for inode, path in found.items() if inode in self._wanted}
        self._left += [self._socks.pop(inode) for inode in self._socks.keys() - found.keys()]
        new = {inode: path for inode, path in found.items() if inode not in self._socks}
        with contextlib.suppress(SockwatchError):  # said when it is listed
            for inode in dump.visit(new, _no_warning):
                self._hear(inode)
        return found

    def let_go(self) -> None:
        """Closes what is in namespaces that nothing led to when :meth:`namespaces` looked: all that
        it heard has been read since."""
        for sock in self._left:
            self._selector.unregister(sock)
            sock.close()
        self._left.clear()

    def close(self) -> None:
        """Hears no more."""
        self._left += self._socks.values()
        self._socks.clear()
        self.let_go()
        self._held.close()

    def add_netns(self, inode: int) -> None:
        """Asks for a namespace, too."""
        self._wanted.add(inode)

    def remove_netns(self, inode: int) -> None:
        """Asks for it no more."""
        self._wanted.discard(inode)

    def _note(self, change: Change) -> None:
        self._changed = True
        self._tell(change)

    def _hear(self, inode: int) -> None:
        sock = self._socks[inode] = sock_diag.connect_to_destroyed()
        self._selector.register(sock, selectors.EVENT_READ, inode)


def _no_warning(_message: str) -> None:
    """Drops a warning: it is given when sockets are listed, or was before."""
