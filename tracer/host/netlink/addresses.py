# SPDX-License-Identifier: Apache-2.0
"""The addresses of this machine's interfaces."""

from ipaddress import ip_address
from typing import NamedTuple

from tracer.model.address import Address


class InterfaceAddress(NamedTuple):
    """An address, the name of its device (None if that is gone), and the device's number."""

    addr: str
    interface: str | None
    ifindex: int

    @property
    def ip(self) -> Address:
        """Returns the address as a number."""
        return ip_address(self.addr)


def of_interfaces() -> list[InterfaceAddress]:
    """Lists all addresses in the caller's network namespace. pyroute2 is imported here only: it
    takes 0.1 s and 22 MB, which a listing without it does not pay.

    Attributes are read by the kernel's names for them, which every pyroute2 understands: before
    0.7.3, ``get("ifname")`` returns None for each.
    """
    from pyroute2 import IPRoute  # noqa: PLC0415

    with IPRoute() as route:
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in route.get_links()}
        return [
            InterfaceAddress(addr, names.get(entry["index"]), entry["index"])
            for entry in route.get_addr()
            if (addr := entry.get_attr("IFA_LOCAL") or entry.get_attr("IFA_ADDRESS"))
        ]
