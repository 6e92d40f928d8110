# SPDX-License-Identifier: Apache-2.0
"""Looks up the names of addresses in the background, so that asking never waits."""

import queue
import socket
import threading
from collections.abc import Iterable
from typing import Final

_MAX_NAMES: Final = 65_536  # names remembered; beyond this, the oldest half is forgotten
_MAX_ASKED: Final = 4096  # look-ups at once; beyond this, an address must be asked for again
_THREADS: Final = 8


class Names:
    """Reverse look-ups by the system's resolver (nsswitch.conf(5)), each address once."""

    def __init__(self) -> None:
        self._known: dict[str, str | None] = {}
        self._asked: set[str] = set()
        self._questions: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._changed = threading.Condition()
        for _ in range(_THREADS):
            threading.Thread(target=self._answer, daemon=True).start()

    def of(self, addr: str) -> str | None:
        """Returns the name if it is known by now; the first call starts the look-up."""
        with self._changed:
            new = addr not in self._known and addr not in self._asked
            if new and len(self._asked) < _MAX_ASKED:
                self._asked.add(addr)
                self._questions.put(addr)
            return self._known.get(addr)

    def pending(self, *addrs: str) -> bool:
        """Says whether one of them may have a name that is not known yet."""
        return any(addr not in self._known for addr in addrs)

    def wait(self, addrs: Iterable[str], seconds: float) -> None:
        """Waits until all of these are answered, but at most so many seconds."""
        for addr in addrs:
            self.of(addr)
        with self._changed:
            self._changed.wait_for(lambda: not self._asked, seconds)

    def _answer(self) -> None:
        while True:
            addr = self._questions.get()
            name = _look_up(addr)
            with self._changed:
                if len(self._known) >= _MAX_NAMES:
                    for oldest in list(self._known)[: _MAX_NAMES // 2]:
                        del self._known[oldest]
                self._known[addr] = name
                self._asked.discard(addr)
                self._changed.notify_all()


def _look_up(addr: str) -> str | None:
    try:
        return socket.getnameinfo((addr, 0), socket.NI_NAMEREQD)[0]
    except OSError:  # it has none, or nobody answered
        return None
