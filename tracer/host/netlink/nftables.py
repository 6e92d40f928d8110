# SPDX-License-Identifier: Apache-2.0
"""Lists the rules of nftables that send a packet elsewhere, or change where it goes.

Layout: include/uapi/linux/netfilter/nf_tables.h; numbers are big-endian there. A machine may have
tens of thousands of rules, so this uses ``struct`` and not pyroute2.
"""

import errno
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from tracer.host.netlink import messages
from tracer.model.process import text

_NETLINK_NETFILTER: Final = 12
_NFT_MSG_GETRULE: Final = 10 << 8 | 7  # NFNL_SUBSYS_NFTABLES
_NFGENMSG: Final = struct.Struct("=BBH")
_HEADER_SIZE: Final = _NFGENMSG.size
_RULE_TABLE: Final = 1
_RULE_CHAIN: Final = 2
_RULE_EXPRESSIONS: Final = 4
_EXPR_NAME: Final = 1
_EXPR_DATA: Final = 2
_TARGET_NAME: Final = 1  # NFTA_TARGET_NAME: iptables' targets, by iptables-nft
_QUEUE_NUM: Final = 1  # NFTA_QUEUE_NUM
_ATTRIBUTE: Final = struct.Struct("=HH")
_FAMILIES: Final = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}

# the names of expressions (nft_expr_type.name) and of iptables' targets: what the rule does
DEEDS: Final = {
    "nat": "nat", "redir": "nat", "DNAT": "nat", "REDIRECT": "nat", "NETMAP": "nat",
    "masq": "source nat", "SNAT": "source nat", "MASQUERADE": "source nat",
    "tproxy": "tproxy", "TPROXY": "tproxy",
    "dup": "dup", "TEE": "dup",
    "fwd": "fwd",
    "queue": "queue", "NFQUEUE": "queue",
    "flow_offload": "flowtable",
    "synproxy": "synproxy", "SYNPROXY": "synproxy",
}  # fmt: skip


class Rule(NamedTuple):
    """What a rule does (a value of DEEDS), where it is, and for "queue" the number of the queue:
    None if it is chosen for each packet."""

    deed: str
    family: str
    table: str
    chain: str
    queue: int | None = None


def rules() -> list[Rule]:
    """Lists such rules in the caller's network namespace, each place once; none where the kernel
    has no nftables. Raises OSError."""
    found: dict[Rule, None] = {}
    try:
        with messages.connect(_NETLINK_NETFILTER) as sock:
            for read, start, end in messages.dump(sock, _NFT_MSG_GETRULE, _NFGENMSG.pack(0, 0, 0)):
                found |= dict.fromkeys(decode(read[start:end]))
    except OSError as error:
        # without the subsystem: nfnetlink_rcv_msg(), net/netfilter/nfnetlink.c; without nfnetlink
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT):
            raise
    return list(found)


def decode(message: bytes) -> Iterator[Rule]:
    """Decodes a rule."""
    found = messages.attributes(message[_HEADER_SIZE:])
    family = _FAMILIES.get(message[0], str(message[0]))
    place = (family, text(found[_RULE_TABLE]), text(found[_RULE_CHAIN]))
    for name, data in _expressions(found.get(_RULE_EXPRESSIONS, b"")):
        if name in DEEDS:
            queue = data.get(_QUEUE_NUM) if name == "queue" else None
            yield Rule(DEEDS[name], *place, int.from_bytes(queue) if queue else None)


def _expressions(raw: bytes) -> Iterator[tuple[str, dict[int, bytes]]]:
    """Yields the name of each expression (of iptables' target, where it is one) and its data. All
    have the same type in the list."""
    at = 0
    while at + _ATTRIBUTE.size <= len(raw):
        length, _ = _ATTRIBUTE.unpack_from(raw, at)
        if length < _ATTRIBUTE.size:
            return
        expression = messages.attributes(raw[at + _ATTRIBUTE.size : at + length])
        data = messages.attributes(expression.get(_EXPR_DATA, b""))
        name = text(expression[_EXPR_NAME])
        yield (text(data[_TARGET_NAME]) if name == "target" else name), data
        at += (length + 3) & ~3
