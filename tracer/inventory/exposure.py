# SPDX-License-Identifier: Apache-2.0
"""Which listening sockets another machine can reach."""

from tracer.host.netlink import addresses, details
from tracer.host.netlink.addresses import InterfaceAddress
from tracer.model.socket import UNSPECIFIED, Socket


class Exposure:
    """The addresses of this machine on which another one reaches a listening socket.

    Firewalls and routers are not looked at. If it is not known whether an IPv6 wildcard takes
    IPv4 too (procfs does not say), it is assumed to.
    """

    def __init__(self) -> None:
        self._netns = 0
        self._addresses: list[InterfaceAddress] = []

    def of(self, sock: Socket) -> list[dict[str, str | None]]:
        """Returns ``addr`` and ``interface`` of each; none for a socket that does not listen."""
        listens = sock.state == "LISTEN" or (sock.proto == "udp" and sock.dst is None)
        if not listens or not sock.sport:
            return []
        if sock.netns != self._netns:
            self._netns, self._addresses = sock.netns, addresses.of_interfaces()
        return [
            {"addr": addr, "interface": interface}
            for addr, interface, ifindex in self._candidates(sock)
            if sock.ifindex in (0, ifindex)
        ]

    def _candidates(self, sock: Socket) -> list[InterfaceAddress]:
        if sock.src not in UNSPECIFIED:
            own = [entry for entry in self._addresses if entry.addr == sock.src]
            found = own or [InterfaceAddress(sock.src, None, sock.ifindex)]
        else:
            only = sock.version == 4 or details.v6only(sock.details)
            versions = {sock.version} if only else {4, 6}
            found = [entry for entry in self._addresses if entry.ip.version in versions]
        return [entry for entry in found if not entry.ip.is_loopback]
