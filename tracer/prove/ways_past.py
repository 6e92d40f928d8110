# SPDX-License-Identifier: Apache-2.0
"""The ways past the hooks, in all network namespaces that can be entered: those at the start, those
at the end, and those that came and went in between.

No notification tells of all of them (of a packet socket, none does), so that they are looked for
again and again.
"""

import time
from typing import Final, NamedTuple

from tracer.errors import SockwatchError
from tracer.filter.filters import Filters
from tracer.inventory import dump
from tracer.inventory.bypasses import search
from tracer.inventory.bypasses.bypass import Bypass, diff
from tracer.inventory.bypasses.search import Found

PERIOD: Final = 1.0  # seconds from one look to the next
_SHARE: Final = 10  # a look that takes long is followed by a pause that is so many times as long
_MAX_TEXTS: Final = 100  # of what could not be looked into in between


class Ways(NamedTuple):
    """What was found at the start (``before``), at the end (``after``), and by the looks in between
    (of its ``bypasses``, those only that may have been used unseen and that neither end has)."""

    before: Found
    after: Found
    between: Found


class WaysPast:
    """Looks for the ways from construction to :meth:`finish`. ``probe`` is the probe's name."""

    def __init__(self, filters: Filters, probe: str) -> None:
        """Raises SockwatchError."""
        self._filters = filters
        self._probe = probe
        self._seen: list[Bypass] = []
        self._unreadable: dict[str, None] = {}
        self._before = self._look()

    def check(self) -> None:
        """Looks, unless it did so a moment ago."""
        if time.monotonic() < self._next_look:
            return
        try:
            found = self._look()
        except SockwatchError as error:  # a namespace has ended; finish() fails unless it is back
            found = Found([], [str(error)])
        for text in found.unreadable:
            if len(self._unreadable) < _MAX_TEXTS:
                self._unreadable[text] = None

    def finish(self) -> Ways:
        """Looks for the last time. Raises SockwatchError."""
        after = self._look()
        ends = open_ways(self._before)
        ends += diff(ends, open_ways(after)).came
        between = diff(ends, self._seen).came
        return Ways(self._before, after, Found(between, list(self._unreadable)))

    def _look(self) -> Found:
        began = time.monotonic()
        try:
            return self._find()
        finally:
            ended = time.monotonic()
            self._next_look = max(began + PERIOD, ended + _SHARE * (ended - began))

    def _find(self) -> Found:
        unreadable: list[str] = []
        where = dump.namespaces(self._filters.netns, unreadable.append)
        found = search.find(self._filters, where, self._probe)
        self._seen += diff(self._seen, open_ways(found)).came
        return found._replace(unreadable=unreadable + found.unreadable)


def open_ways(found: Found) -> list[Bypass]:
    """Returns the ways that may be used unseen for what the filter asks for."""
    return [way for way in found.bypasses if way.is_open]
