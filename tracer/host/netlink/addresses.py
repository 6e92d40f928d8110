# SPDX-License-Identifier: Apache-2.0
"""The addresses that this machine takes packets for: those of its interfaces, and more."""

import os
import socket
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final, NamedTuple

# rtm_type, include/uapi/linux/rtnetlink.h
_RTN_LOCAL: Final = 2
_DELIVERED: Final = (_RTN_LOCAL, 3, 4)  # RTN_BROADCAST, RTN_ANYCAST
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)


class Delivered(NamedTuple):
    """Addresses of which packets are delivered here, mostly a single one; the name of their device
    (None if that is gone), its number, and its master's (0: none). ``unicast``: connections to them
    are taken, too, not only datagrams."""

    net: IPv4Network | IPv6Network
    interface: str | None
    ifindex: int
    master: int
    unicast: bool


def delivered() -> list[Delivered]:
    """Lists what the caller's network namespace takes packets for: the addresses of its interfaces
    (which packets reach through any other one, too), and what its routing tables call local, as
    ``ip route add local`` does with whole networks. An address that is not used yet (its device is
    down, duplicates are looked for) is there, too. Raises OSError. pyroute2 is imported here only:
    it takes 0.1 s and 22 MB, which a listing without it does not pay.

    Attributes are read by the kernel's names for them, which every pyroute2 understands: before
    0.7.3, ``get("ifname")`` returns None for each.
    """
    from pyroute2 import IPRoute, NetlinkError  # noqa: PLC0415

    try:
        # strict: the kernel leaves other types out, or a router's whole table would be decoded
        with IPRoute(strict_check=True) as route:
            links = {link["index"]: link for link in route.get_links()}
            own = [_of_interface(entry, links) for entry in _interface_addresses(route)]
            local = [_of_route(entry, links) for entry in _local_routes(route)]
    except NetlinkError as error:  # which is no OSError
        raise OSError(error.code, os.strerror(error.code)) from None
    return list(dict.fromkeys([*own, *local]))


def _interface_addresses(route: Any) -> Iterator[Any]:
    return (entry for entry in route.get_addr() if entry["family"] in _FAMILIES)  # not MCTP's


def _local_routes(route: Any) -> Iterator[Any]:
    for family in _FAMILIES:
        for kind in _DELIVERED:
            found = route.route("dump", family=family, type=kind)
            yield from (entry for entry in found if entry["type"] == kind)


def _of_interface(entry: Any, links: dict[int, Any]) -> Delivered:
    addr = entry.get_attr("IFA_LOCAL") or entry.get_attr("IFA_ADDRESS")
    return _on(links.get(entry["index"]), ip_network(addr), entry["index"], unicast=True)


def _of_route(entry: Any, links: dict[int, Any]) -> Delivered:
    any_address = "0.0.0.0" if entry["family"] == socket.AF_INET else "::"
    net = ip_network(f"{entry.get_attr('RTA_DST') or any_address}/{entry['dst_len']}")
    ifindex = entry.get_attr("RTA_OIF") or 0
    return _on(links.get(ifindex), net, ifindex, unicast=entry["type"] == _RTN_LOCAL)


def _on(link: Any, net: IPv4Network | IPv6Network, ifindex: int, *, unicast: bool) -> Delivered:
    name, master = (
        (link.get_attr("IFLA_IFNAME"), link.get_attr("IFLA_MASTER")) if link else (None, None)
    )
    return Delivered(net, name, ifindex, master or 0, unicast)
