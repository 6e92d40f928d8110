# SPDX-License-Identifier: Apache-2.0
"""A way past the hooks: what was found, and what that means for a filter on a probe."""

from ipaddress import ip_network
from typing import Final, NamedTuple

from tracer.filter.filters import NO_FILTERS, Filters
from tracer.inventory.bypasses.seen import is_seen
from tracer.model.address import Address, Network
from tracer.model.process import Holder, text

Owners = tuple[Holder, ...] | None  # none: the kernel's own; None: not known

# what a process has open: it "holds" these
_HELD: Final = frozenset({"tun", "macvtap", "vhost_net", "vfio", "uio", "rdma"})


class Way(NamedTuple):
    """What was found. ``netns`` is an inode, None if it is not in one, or that is not known;
    ``to`` the destinations that it has (None: any), ``only`` that it has no others; ``proto`` the
    only IP protocol that it carries, by its name (None: any)."""

    kind: str
    what: str
    owners: Owners = ()
    netns: int | None = None
    to: tuple[Network, ...] | None = None
    proto: str | None = None
    only: bool = True


class Bypass(NamedTuple):
    """A way, judged. ``concerns``: what the filter asks for may go by it, to a destination that it
    is known to have; None: to whatever its owner says, which cannot be known. ``seen``: all that it
    sends is an event on this probe; None: some of it. ``place`` is the name of its network
    namespace where that is not the tracer's own."""

    kind: str
    what: str
    owners: Owners
    netns: int | None
    concerns: bool | None
    seen: bool | None
    place: str | None = None

    @property
    def is_open(self) -> bool:
        """Says whether something that the filter asks for may have gone by it unseen."""
        return self.concerns is not False and self.seen is not True

    @property
    def sentence(self) -> str:
        """Says it in words for people, as "qemu (pid 4321) holds /dev/vhost-net"."""
        what = self.what if self.place is None else f"{self.what} in network namespace {self.place}"
        if self.owners is None:
            return f"{what} (whose is not known)"
        names = ", ".join(f"{one.comm or '?'} (pid {one.pid})" for one in self.owners)
        if not names:
            return what
        return f"{names} holds {what}" if self.kind in _HELD else f"{what}: {names}"


class Changes(NamedTuple):
    """What came and what went between two looks."""

    came: list[Bypass]
    went: list[Bypass]


def diff(before: list[Bypass], after: list[Bypass]) -> Changes:
    """Compares two looks with the same filter and probe. Two that are alike count as two."""
    return Changes(_without(after, before), _without(before, after))


def judge(way: Way, filters: Filters, probe: str, place: str | None = None) -> Bypass:
    """Decides what a way means for this filter on this probe ("fexit", "kprobe", "tracepoint")."""
    concerns = _concerns(way, filters)
    seen = is_seen(way.kind, probe, forward=filters.forward)
    return Bypass(way.kind, way.what, way.owners, way.netns, concerns, seen, place)


def single(addresses: tuple[Address, ...] | None) -> tuple[Network, ...] | None:
    """Returns addresses as networks of one host each."""
    return None if addresses is None else tuple(map(ip_network, addresses))


def _without(ways: list[Bypass], others: list[Bypass]) -> list[Bypass]:
    left = list(others)
    found = []
    for way in ways:
        if way in left:
            left.remove(way)
        else:
            found.append(way)
    return found


def _concerns(way: Way, filters: Filters) -> bool | None:
    if way.netns is not None and filters.netns and way.netns not in filters.netns:
        return False
    if way.proto and filters.proto != NO_FILTERS.proto and way.proto not in filters.proto:
        return False
    if way.kind == "source_nat" and not (filters.src or filters.sport or filters.port):
        return False  # it leaves the destination alone
    if way.owners and _are_others(way.owners, filters):
        return False
    if way.to is None:
        return None
    if any(_may_pass(net, filters) for net in way.to):
        return True
    return False if way.only else None


def _are_others(owners: tuple[Holder, ...], filters: Filters) -> bool:
    """Says whether none of the owners is asked for, by what is known of them."""
    if filters.pid and not filters.follow:
        return not any(one.pid in filters.pid for one in owners)
    if filters.comm and all(one.comm for one in owners):
        return {text(name) for name in filters.comm}.isdisjoint(one.comm for one in owners)
    return False


def _may_pass(net: Network, filters: Filters) -> bool:
    """Says whether a destination in a network passes the filter, zones left aside."""
    if net.version not in filters.version:
        return False
    if any(net.version == one.version and _is_below(net, one) for one in filters.not_dst):
        return False
    asked = [one for one in filters.dst if one.version == net.version]
    return not filters.dst or any(net.overlaps(one) for one in asked)


def _is_below(net: Network, other: Network) -> bool:
    return net.subnet_of(other)  # type: ignore[arg-type]  # both are of one family
