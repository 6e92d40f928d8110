# SPDX-License-Identifier: Apache-2.0
"""IP addresses."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NO_ADDRESS: Final = bytes(16)
IPV4_MAPPED: Final = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96, RFC 4291 2.5.5.2


def has_zone(raw: bytes) -> bool:
    """Says whether an address of 4 or 16 bytes means something on one link only, so that it needs
    a zone, the interface (RFC 4007): IPv6's link-local addresses, multicast or not."""
    if len(raw) != 16:
        return False
    if raw[0] == 0xFF:
        return raw[1] & 0x0F in (1, 2)
    return raw[0] == 0xFE and raw[1] & 0xC0 == 0x80


def address(raw: bytes) -> Address | None:
    """Converts 4 or 16 bytes in network order; an IPv4-mapped address becomes IPv4. None, which
    means unknown, for no bytes or 16 zero bytes."""
    if raw in (b"", _NO_ADDRESS):
        return None
    if len(raw) == 4:
        return IPv4Address(raw)
    return IPv4Address(raw[12:]) if raw[:12] == IPV4_MAPPED else IPv6Address(raw)
