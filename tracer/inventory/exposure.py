# SPDX-License-Identifier: Apache-2.0
"""Which listening sockets another machine can reach."""

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from tracer.host.netlink import addresses, details
from tracer.host.netlink.addresses import Delivered
from tracer.model.address import Address
from tracer.model.socket import UNSPECIFIED, Socket

_LOOPBACK: Final = 1  # the number of each namespace's lo: LOOPBACK_IFINDEX, net/flow.h
_DEVICES: Final = Path("/proc/sys/net/ipv4/conf")  # and "all"
_LIMITED_BROADCAST: Final = "255.255.255.255"


class Exposure:
    """The addresses of this machine on which another one reaches a listening socket.

    Linux takes a packet for any of its addresses through any of its devices, also for those of lo
    but 127/8 and ::1 (ip_route_input_slow(), net/ipv4/route.c). Firewalls and routers are not
    looked at. What is not known counts as reachable: what listens if the kernel does not tell the
    addresses, and IPv4 for an IPv6 wildcard of which procfs does not say whether it takes that.
    """

    def __init__(self) -> None:
        self._netns = 0
        self._delivered: list[Delivered] | None = None  # None: not known
        self._lets_in_loopback = False

    def of(self, sock: Socket) -> list[dict[str, str | None]]:
        """Returns ``addr`` and ``interface`` of each; ``addr`` is a network where all of one is
        this machine's, ``interface`` the device that has it, None if not known. None for a socket
        that does not listen."""
        listens = sock.state == "LISTEN" or (sock.proto == "udp" and sock.dst is None)
        # what comes from elsewhere comes through another device: inet_bound_dev_eq()
        if not listens or not sock.sport or sock.ifindex == _LOOPBACK:
            return []
        if sock.netns != self._netns:
            self._look(sock.netns)
        if sock.src in UNSPECIFIED:
            return list(self._of_wildcard(sock))
        return list(self._of_address(sock, ip_address(sock.src)))

    def _look(self, netns: int) -> None:
        self._netns = netns
        self._lets_in_loopback = _lets_in_loopback()
        try:
            self._delivered = addresses.delivered()
        except OSError:
            self._delivered = None

    def _of_wildcard(self, sock: Socket) -> Iterator[dict[str, str | None]]:
        if self._delivered is None:
            yield {"addr": sock.src, "interface": None}
            return
        only = sock.version == 4 or details.v6only(sock.details)
        versions = {sock.version} if only else {4, 6}
        for entry in self._delivered:
            if entry.net.version in versions and entry.unicast and self._reaches(entry, sock):
                single = entry.net.prefixlen == entry.net.max_prefixlen
                addr = entry.net.network_address if single else entry.net
                yield {"addr": str(addr), "interface": entry.interface}

    def _of_address(self, sock: Socket, addr: Address) -> Iterator[dict[str, str | None]]:
        """Yields the address if packets for it are delivered here: it need not be this machine's
        (IP_FREEBIND, ip_nonlocal_bind)."""
        if self._is_loopback(addr):
            return
        if self._delivered is None or addr.is_multicast or sock.src == _LIMITED_BROADCAST:
            yield {"addr": sock.src, "interface": None}
            return
        found = [
            entry
            for entry in self._delivered
            if addr in entry.net
            and (entry.unicast or sock.proto == "udp")
            and self._reaches(entry, sock)
        ]
        if found:
            closest = max(found, key=lambda entry: entry.net.prefixlen)
            yield {"addr": sock.src, "interface": closest.interface}

    def _reaches(self, entry: Delivered, sock: Socket) -> bool:
        """Says whether packets from elsewhere for these addresses reach the socket. Those of a link
        come through its own device only (rt6_need_strict(), net/ipv6/route.c)."""
        first = entry.net.network_address
        if first.version == 6 and first.is_link_local:
            return sock.ifindex in (0, entry.ifindex, entry.master)
        return not self._is_loopback(first)

    def _is_loopback(self, addr: Address) -> bool:
        """Says whether it is an address that no packet from elsewhere may have."""
        return addr.is_loopback and (addr.version == 6 or not self._lets_in_loopback)


def _lets_in_loopback() -> bool:
    """Says whether a device of the caller's network namespace takes packets for 127/8, or may."""
    found = list(_DEVICES.glob("*/route_localnet"))
    try:
        return not found or any(int(path.read_text()) for path in found)
    except (OSError, ValueError):
        return True
