# SPDX-License-Identifier: Apache-2.0
"""Names of the protocols below IP, as Debian's /etc/protocols spells them.

The table is ours, so that a log has the same names on each machine, and can be read on another one.
"""

import enum
import socket
from typing import Final

NAMES: Final = {
    0: "hopopt", 1: "icmp", 2: "igmp", 3: "ggp", 4: "ipencap", 5: "st", 6: "tcp", 8: "egp",
    9: "igp", 12: "pup", 17: "udp", 20: "hmp", 22: "xns-idp", 27: "rdp", 29: "iso-tp4", 33: "dccp",
    36: "xtp", 37: "ddp", 38: "idpr-cmtp", 41: "ipv6", 43: "ipv6-route", 44: "ipv6-frag",
    45: "idrp", 46: "rsvp", 47: "gre", 50: "esp", 51: "ah", 57: "skip", 58: "ipv6-icmp",
    59: "ipv6-nonxt", 60: "ipv6-opts", 73: "rspf", 81: "vmtp", 88: "eigrp", 89: "ospf",
    93: "ax.25", 94: "ipip", 97: "etherip", 98: "encap", 103: "pim", 108: "ipcomp", 112: "vrrp",
    115: "l2tp", 124: "isis", 132: "sctp", 133: "fc", 135: "mobility-header", 136: "udplite",
    137: "mpls-in-ip", 138: "manet", 139: "hip", 140: "shim6", 141: "wesp", 142: "rohc",
    143: "ethernet",
}  # fmt: skip

UDP: Final = frozenset({"udp", "udplite"})
TCP: Final = frozenset({"tcp"})
ICMP: Final = frozenset({"icmp", "ipv6-icmp"})
WITH_PORTS: Final = UDP | TCP | {"sctp", "dccp"}
# whose failures are seen: of all others, only packets
WITH_FAILURES: Final = UDP | TCP
# which send from a timer, or once an acknowledgement comes, what a process has left with the socket
SENT_LATER: Final = frozenset({"sctp", "dccp"})

_NUMBERS: Final = {name: number for number, name in NAMES.items()}
# what people call them, too
_ALIASES: Final = {"icmpv6": socket.IPPROTO_ICMPV6, "icmp6": socket.IPPROTO_ICMPV6}
ALL: Final = frozenset(NAMES.get(number, str(number)) for number in range(256))


def name(number: int) -> str:
    """Returns the name of a protocol; the number, as text, of one that has none."""
    return NAMES.get(number) or str(number)


def number(name: str) -> int:
    """Returns the number of a protocol that :func:`name` names."""
    return _NUMBERS[name] if name in _NUMBERS else int(name)


def find(asked: str) -> str | None:
    """Returns the name of a protocol given by name, in any case, or by number; None: there is no
    such protocol."""
    asked = asked.lower()
    known = _ALIASES.get(asked, _NUMBERS.get(asked))
    if known is None and asked.isascii() and asked.isdecimal() and len(asked) <= 3:
        known = int(asked)
    return None if known is None or known > 255 else name(known)


class ReceivedOf(enum.Enum):
    """Of which sockets a run counts what they receive, besides TCP's, which count by themselves."""

    ALL = "all"
    UDP = "udp"
    NONE = "none"

    def has(self, proto: str) -> bool:
        """Says whether a protocol's sockets are among them."""
        return proto not in TCP and (self is ReceivedOf.ALL or proto == self.value)
