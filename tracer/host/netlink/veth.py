# SPDX-License-Identifier: Apache-2.0
"""A link between two network namespaces of our own. pyroute2 is imported where it is used."""

import os
from collections.abc import Iterable
from ipaddress import IPv4Interface, IPv6Interface

_NO_DUPLICATES: int = 2  # IFA_F_NODAD: it may be used at once


def make(name: str, peer: str, peer_netns: int) -> None:
    """Makes a pair of devices, one here, the other in the namespace of that descriptor. Raises
    OSError."""
    from pyroute2 import IPRoute, NetlinkError  # noqa: PLC0415

    try:
        with IPRoute() as route:
            far = {"ifname": peer, "net_ns_fd": peer_netns}
            route.link("add", ifname=name, kind="veth", peer=far)
    except NetlinkError as error:  # which is no OSError
        raise OSError(error.code, os.strerror(error.code)) from None


def set_up(name: str, addresses: Iterable[IPv4Interface | IPv6Interface] = ()) -> None:
    """Gives a device its addresses and sets it up. Raises OSError."""
    from pyroute2 import IPRoute, NetlinkError  # noqa: PLC0415

    try:
        with IPRoute() as route:
            (index,) = route.link_lookup(ifname=name)
            for one in addresses:
                flags = {"flags": _NO_DUPLICATES} if one.version == 6 else {}
                route.addr("add", index=index, address=str(one.ip),
                           prefixlen=one.network.prefixlen, **flags)  # fmt: skip
            route.link("set", index=index, state="up")
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from None
