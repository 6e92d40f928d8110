# SPDX-License-Identifier: Apache-2.0
"""Decides by zones: ``fe80::5%eth0`` is that address on that interface only (RFC 4007).

The kernel's maps and sock_diag know nothing of zones: there, the address passes on every interface.
A zone is an interface's name, or its number where none has that name, in whatever network namespace
a socket is.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv6Network

from tracer.model.address import Network, has_zone
from tracer.model.flow import Endpoint


def of(net: Network) -> str | None:
    """Returns the zone that a network was asked for with."""
    return net.network_address.scope_id if isinstance(net, IPv6Network) else None


def number(zone: str) -> int | None:
    """Returns the number of an interface that a zone is; None: it is a name."""
    return int(zone) if re.fullmatch("[0-9]{1,10}", zone) else None


def without(net: Network) -> Network:
    """Returns the same prefix on every interface."""
    return net if of(net) is None else IPv6Network((int(net.network_address), net.prefixlen))


def passes(
    end: Endpoint, oif: int | None, included: Iterable[Network], excluded: Iterable[Network] = ()
) -> bool | None:
    """Says whether an end passes that does so if zones are left aside; None if its zone, which
    decides that, is not known. ``oif`` is the interface's number."""
    if end.addr is None or not has_zone(end.addr.packed):
        return True
    wanted = _is_in_any(end, oif, included) if included else True
    refused = _is_in_any(end, oif, excluded)
    if wanted is False or refused:
        return False
    return None if None in (wanted, refused) else True


def _is_in_any(end: Endpoint, oif: int | None, networks: Iterable[Network]) -> bool | None:
    verdicts = {_is_in(end, oif, net) for net in networks}
    return True if True in verdicts else None if None in verdicts else False


def _is_in(end: Endpoint, oif: int | None, net: Network) -> bool | None:
    if end.addr not in net:
        return False
    zone = of(net)
    if zone is None or zone == end.zone:
        return True
    if number(zone) is not None and oif:
        return oif == number(zone)
    return None if end.zone is None else False
