# SPDX-License-Identifier: Apache-2.0
"""Lists the policies by which packets are put into IPsec (include/uapi/linux/xfrm.h).

pyroute2 has no such messages.
"""

import errno
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Final, NamedTuple

from tracer.host.netlink import messages
from tracer.model.address import Address, Network, address

_NETLINK_XFRM: Final = 6
_XFRM_MSG_GETPOLICY: Final = 21
_XFRMA_TMPL: Final = 5
# struct xfrm_userpolicy_info: of its selector the destination, the family and the length of its
# prefix in bits; then lifetimes, priority and index; the direction
_POLICY: Final = struct.Struct("=16s16x8xHBx12x64x32x8xB7x")
_TEMPLATE: Final = struct.Struct("=16s8xH2x20xB15x")  # struct xfrm_user_tmpl: end, family, mode
_TUNNEL: Final = 1  # XFRM_MODE_TUNNEL
_IN: Final = 0  # XFRM_POLICY_IN


class Policy(NamedTuple):
    """A policy for what is sent or forwarded: the destinations that it takes, and the ends of the
    tunnels that it puts them into."""

    net: Network
    ends: tuple[Address, ...]


def policies() -> list[Policy]:
    """Lists those of the caller's network namespace; none where the kernel has no IPsec. Raises
    OSError."""
    found: list[Policy] = []
    try:
        with messages.connect(_NETLINK_XFRM) as sock:
            for read, start, end in messages.dump(sock, _XFRM_MSG_GETPOLICY, b""):
                found += decode(read[start:end])
    except OSError as error:
        if error.errno != errno.EPROTONOSUPPORT:
            raise
    return list(dict.fromkeys(found))


def decode(message: bytes) -> Iterator[Policy]:
    """Decodes a policy: none if it only lets through or blocks, or is for what comes in."""
    raw, family, bits, direction = _POLICY.unpack_from(message)
    templates = messages.attributes(message[_POLICY.size :]).get(_XFRMA_TMPL)
    if not templates or direction == _IN:
        return
    destination = raw[:4] if family == socket.AF_INET else raw
    ends = []
    for at in range(0, len(templates), _TEMPLATE.size):
        end, of_family, mode = _TEMPLATE.unpack_from(templates, at)
        to = address(end[:4] if of_family == socket.AF_INET else end)
        if mode == _TUNNEL and to is not None:
            ends.append(to)
    yield Policy(ip_network((destination, bits), strict=False), tuple(ends))
