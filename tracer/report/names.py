# SPDX-License-Identifier: Apache-2.0
"""Looks up the names of the destinations that a report shows."""

import itertools
from collections.abc import Iterable
from typing import Final

from tracer.host.resolver import Names

_PATIENCE: Final = 5.0  # seconds that all look-ups may take; what has no answer then has no name
_MAX_HOSTS: Final = 4096  # beyond this, the others are not looked up: nobody reads so many rows


def names_of(hosts: Iterable[str]) -> dict[str, str | None]:
    """Returns the name of each address, which may have a zone; None: it has none, or nobody has
    answered in time."""
    first = itertools.islice(dict.fromkeys(hosts), _MAX_HOSTS)
    addresses = {host: host.partition("%")[0] for host in first}
    names = Names()
    names.wait(set(addresses.values()), _PATIENCE)
    return {host: names.of(address) for host, address in addresses.items()}
