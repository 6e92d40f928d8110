# SPDX-License-Identifier: Apache-2.0
"""Whether there are interfaces that a filter asks for, which come and go."""

import contextlib
import socket
from collections.abc import Callable

from tracer.errors import SockwatchError
from tracer.filter.filters import Filters
from tracer.inventory import dump


def warn_of_missing(filters: Filters, warn: Callable[[str], None]) -> None:
    """Warns of each zone that no interface has in the namespaces that are looked into: a typing
    error shows nothing. Says nothing if not all of these can be."""
    missing = set(filters.zones)
    unread: list[str] = []
    if not missing:
        return
    with contextlib.suppress(SockwatchError):
        for _ in dump.visit(dump.namespaces(filters.netns, unread.append), unread.append):
            for index, name in socket.if_nameindex():
                missing -= {name, str(index)}
        for zone in sorted(missing) if not unread else ():
            warn(f"there is no interface '{zone}' now: nothing matches %{zone} until there is one")
