# SPDX-License-Identifier: Apache-2.0
"""The ways past the hooks that there are now, in all network namespaces that can be entered."""

from tracer.filter.filters import Filters
from tracer.inventory import dump
from tracer.inventory.bypasses import search
from tracer.inventory.bypasses.search import Found


def ways_past(filters: Filters, probe: str) -> Found:
    """Looks for the ways. What only processes lead to that cannot be looked into is said, too.
    Raises SockwatchError."""
    unreadable: list[str] = []
    where = dump.namespaces(filters.netns, unreadable.append)
    found = search.find(filters, where, probe)
    return found._replace(unreadable=unreadable + found.unreadable)
