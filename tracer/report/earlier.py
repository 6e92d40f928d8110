# SPDX-License-Identifier: Apache-2.0
"""What began before a period and may reach into it: no line of the period tells of it."""

import re
from collections.abc import Callable
from typing import Final

from tracer.report.runs import Runs
from tracer.report.times import TIME

# {"time":"…","event":"connect","proto":"tcp",…,"socket":{"cookie":18,…
_TCP: Final = re.compile(rb'\{"time":"[^"]*","event":"(\w+)","proto":"tcp"')
_COOKIE: Final = re.compile(rb'"socket":\{"cookie":(\d{1,20})\b')
_MAX_OPEN: Final = 1 << 17  # beyond this, one entry stands for the others, whose end is not known
_ENDS: Final = (b"close", b"connect_failed")


class Earlier:
    """TCP connections from before a period whose end is not known: what they send is no event.
    ``reaching`` counts lines of several events, of which the last were in the period."""

    def __init__(self, since: str) -> None:
        self.reaching = 0
        self._since = since
        self._open: dict[object, int] = {}  # the run of each connection, by its cookie

    def at(self, runs: Runs) -> Callable[[bytes, bytes], None]:
        """Returns what takes a line from outside of the period, and the time of its last event; it
        leaves out what is later."""
        since = self._since.encode()

        def take(line: bytes, latest: bytes) -> None:
            if line[TIME] >= since:
                return
            self.reaching += latest >= since
            found = _TCP.match(line)
            if not found:
                return
            cookie = _COOKIE.search(line)
            if found[1] not in _ENDS:
                known = (runs.host, cookie[1]) if cookie and len(self._open) < _MAX_OPEN else None
                self._open[known] = runs.number
            elif cookie:
                self._open.pop((runs.host, cookie[1]), None)

        return take

    def add(self, run: int, number: int) -> None:
        """Takes connections of a run whose end is not known."""
        for one in range(min(number, _MAX_OPEN)):
            self._open[run, one] = run

    def still_open(self, runs: Runs) -> int:
        """Returns how many connections may be open when the period begins. A run that begins later
        lists those that it finds."""
        watching = {
            one.run for one in runs.segments if one.span.since <= self._since <= one.span.until
        }
        return sum(run in watching for run in self._open.values())
