# SPDX-License-Identifier: Apache-2.0
"""Parses addresses that may have ports behind them, as ``10.0.0.5:53``."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from tracer.errors import UsageError
from tracer.filter import parse
from tracer.model.address import Network

# [fd00::5], [fd00::5]:53, [fd00::]/16:53; what is in the brackets may have a zone
_BRACKETS: Final = re.compile(r"\[([^\[\]]*:[^\[\]]*)\](/[^:]*)?(?::(.*))?", re.DOTALL)


class Endpoints(NamedTuple):
    """Networks, each with the same ports; no ports: with all."""

    networks: tuple[Network, ...]
    ports: frozenset[int]


def endpoints(option: str, values: Iterable[str]) -> Endpoints:
    """Joins the values of an option: addresses, CIDRs and host names, each with or without ports.
    A filter has addresses and ports apart, so that all must have the same ports. Raises
    UsageError."""
    ports_of: dict[Network, frozenset[int]] = {}
    for value in values:
        address, typed = split(value)
        ports = frozenset() if typed is None else parse.ports(typed)
        for net in parse.networks(address):
            ports_of[net] = _either(ports_of.get(net, ports), ports)
    different = set(ports_of.values())
    if len(different) > 1:
        raise UsageError(
            f"the values of {option} have different ports",
            f"one run has one list of ports for all of them, as {option} 10.0.0.5:53,80",
        )
    return Endpoints(tuple(ports_of), different.pop() if different else frozenset())


def split(value: str) -> tuple[str, str | None]:
    """Splits an address from its ports (None: it has none); both are still text. IPv6 addresses
    with ports stand in brackets."""
    found = _BRACKETS.fullmatch(value)
    if found:
        return found[1] + (found[2] or ""), found[3]
    if value.count(":") == 1:
        address, _, ports = value.partition(":")
        return address, ports
    return value, None


def _either(one: frozenset[int], other: frozenset[int]) -> frozenset[int]:
    """Joins ports, where none stands for all."""
    return one | other if one and other else frozenset()
