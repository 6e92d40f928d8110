# SPDX-License-Identifier: Apache-2.0
"""The devices of a network namespace: kinds, ports of bridges, XDP programs, ends of tunnels."""

import os
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

from tracer.model.address import Address

# rtnl_link_ops.kind, drivers/net and net/: each wraps packets in packets of its own
TUNNELS: Final = frozenset(
    {
        "vxlan", "geneve", "bareudp", "gtp", "ovpn", "gre", "gretap", "erspan", "ip6gre",
        "ip6gretap", "ip6erspan", "ipip", "sit", "ip6tnl", "vti", "vti6", "xfrm", "amt", "pfcp",
    }
)  # fmt: skip
WIREGUARD: Final = "wireguard"

# how the names of attributes that hold a tunnel's other end go on, include/uapi/linux/if_link.h and
# if_tunnel.h; a vxlan's is called its group
_REMOTE: Final = ("_REMOTE", "_REMOTE6", "_GROUP", "_GROUP6")
_PROGRAM: Final = "_PROG_ID"  # IFLA_XDP_PROG_ID, and one for each mode
_NOWHERE: Final = frozenset(map(ip_address, ("0.0.0.0", "::")))  # each packet's own


class Link(NamedTuple):
    """A device. ``kind`` is None for one that is not made by netlink, such as a network card;
    ``master`` a device's number, 0 for none; ``remotes`` the ends of a tunnel, None where each
    packet has its own, or they are not known."""

    ifindex: int
    name: str
    kind: str | None = None
    master: int = 0
    xdp: tuple[int, ...] = ()
    remotes: tuple[Address, ...] | None = None


def links() -> list[Link]:
    """Lists the devices of the caller's network namespace. Raises OSError. pyroute2 is imported
    here only, as in :mod:`tracer.host.netlink.addresses`."""
    from pyroute2 import IPRoute, NetlinkError  # noqa: PLC0415

    try:
        with IPRoute() as route:
            return list(map(_link, route.get_links()))
    except NetlinkError as error:  # which is no OSError
        raise OSError(error.code, os.strerror(error.code)) from None


def wireguard_peers(name: str) -> tuple[Address, ...]:
    """Returns the addresses of a WireGuard device's peers, as far as they are known now. Raises
    OSError."""
    from pyroute2 import NetlinkError, WireGuard  # noqa: PLC0415

    try:
        with WireGuard() as wireguard:
            return endpoints(wireguard.info(name))
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from None


def endpoints(messages: Iterable[Any]) -> tuple[Address, ...]:
    """Returns the addresses of the peers in WG_CMD_GET_DEVICE's answers, which nothing else is kept
    of: they hold keys."""
    found = []
    for message in messages:
        for peer in message.get_attr("WGDEVICE_A_PEERS") or ():
            endpoint = peer.get_attr("WGPEER_A_ENDPOINT")
            if endpoint:
                found.append(ip_address(endpoint["addr"]))
    return tuple(dict.fromkeys(found))


def _link(message: Any) -> Link:
    info = message.get_attr("IFLA_LINKINFO")
    kind = info.get_attr("IFLA_INFO_KIND") if info else None
    data = info.get_attr("IFLA_INFO_DATA") if info else None
    return Link(
        message["index"],
        message.get_attr("IFLA_IFNAME"),
        kind,
        message.get_attr("IFLA_MASTER") or 0,
        _programs(message.get_attr("IFLA_XDP")),
        _remotes(data) if kind in TUNNELS else None,
    )


def _programs(xdp: Any) -> tuple[int, ...]:
    found = [value for name, value in _attributes(xdp) if name.endswith(_PROGRAM) and value]
    return tuple(dict.fromkeys(found))


def _remotes(data: Any) -> tuple[Address, ...] | None:
    found = [ip_address(value) for name, value in _attributes(data) if name.endswith(_REMOTE)]
    return tuple(addr for addr in found if addr not in _NOWHERE) or None


def _attributes(nested: Any) -> Iterable[tuple[str, Any]]:
    """Returns what pyroute2 has decoded; nothing of a kind that it does not know."""
    return nested["attrs"] if nested and not isinstance(nested, str | bytes) else ()
