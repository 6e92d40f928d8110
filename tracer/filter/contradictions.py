# SPDX-License-Identifier: Apache-2.0
"""Refuses filters that nothing can ever pass: their silence would be taken for an answer."""

from collections.abc import Iterable
from ipaddress import collapse_addresses

from tracer.errors import UsageError
from tracer.filter import zones
from tracer.filter.filters import Filters
from tracer.model import protocols
from tracer.model.address import Network


def check(filters: Filters) -> None:
    """Raises UsageError, with the two options that exclude each other."""
    if filters.port and (filters.dport or filters.sport):
        other = "--dport" if filters.dport else "--sport"
        raise UsageError(
            f"--port is for either end, {other} for one, as ports behind an address are",
            "give one of them",
        )
    for option, networks in (("--dst", filters.dst), ("--src", filters.src)):
        if networks and filters.version.isdisjoint(_versions(networks)):
            (version,) = filters.version
            raise excluded(_shown(option, networks), f"-{version}")
    dst, src = filters.dst, filters.src
    if dst and src and (_versions(dst).isdisjoint(_versions(src)) or _are_on_other_links(dst, src)):
        raise excluded(_shown("--dst", dst), _shown("--src", src))
    _check_protocols(filters)
    if dst and all(is_inside(net, filters.not_dst) for net in dst):
        raise excluded(_shown("--dst", dst), _shown("--not-dst", filters.not_dst))


def _check_protocols(filters: Filters) -> None:
    """Raises UsageError if no protocol has the ports that are asked for, or can be seen to fail."""
    asked = filters.proto
    if asked and asked.isdisjoint(protocols.WITH_PORTS):
        for name in ("dport", "sport", "port"):
            ports: frozenset[int] = getattr(filters, name)
            if ports and 0 not in ports:
                raise excluded(shown_protocols(asked), f"--{name}")
    if filters.failed and asked and asked.isdisjoint(protocols.WITH_FAILURES):
        raise excluded("--failed", shown_protocols(asked))


def shown_protocols(asked: frozenset[str]) -> str:
    """Names the option, with its value if it has one only, or those of a short form."""
    if asked == protocols.UDP:
        return "--udp"
    return f"--proto {next(iter(asked))}" if len(asked) == 1 else "--proto"


def joined(
    option: str, ports: frozenset[int], address_option: str, of_addresses: frozenset[int]
) -> frozenset[int]:
    """Returns the ports that pass both an option for ports and the ports behind addresses. Raises
    UsageError if none does. No ports: all."""
    if not ports or not of_addresses:
        return ports or of_addresses
    if ports.isdisjoint(of_addresses):
        raise excluded(option, f"the ports of {address_option}")
    return ports & of_addresses


def excluded(one: str, other: str) -> UsageError:
    """Returns the error for two options that nothing can match both of."""
    return UsageError(f"{one} and {other} exclude each other", "leave one of them out")


def _versions(networks: Iterable[Network]) -> set[int]:
    return {net.version for net in networks}


def _are_on_other_links(some: Iterable[Network], others: Iterable[Network]) -> bool:
    """Says whether all have zones, and none of them the same. A number may be a name's."""
    one, another = {zones.of(net) for net in some}, {zones.of(net) for net in others}
    named = all(zone and zones.number(zone) is None for zone in one | another)
    return named and one.isdisjoint(another)


def is_inside(net: Network, others: Iterable[Network]) -> bool:
    """Says whether the others cover all of it, also two halves of it together. One with a zone
    covers only what has the same."""
    family = [
        zones.without(other)
        for other in others
        if other.version == net.version and zones.of(other) in (None, zones.of(net))
    ]
    joined = collapse_addresses(family)  # type: ignore[type-var]  # all are of one family
    return any(map(zones.without(net).subnet_of, joined))  # type: ignore[arg-type]


def _shown(option: str, networks: tuple[Network, ...]) -> str:
    """Names an option, with its value if it has one only."""
    if len(networks) > 1:
        return option
    (net,) = networks
    return f"{option} {net.network_address if net.prefixlen == net.max_prefixlen else net}"
