# SPDX-License-Identifier: Apache-2.0
"""A socket as the kernel lists it, its states, and who holds it."""

import socket
from typing import Any, Final, NamedTuple

from tracer.model.process import Holder

UNSPECIFIED: Final = ("0.0.0.0", "::")

PROTOCOLS: Final = {"udp": socket.IPPROTO_UDP, "tcp": socket.IPPROTO_TCP}

# Names of the kernel's numbers (include/net/tcp_states.h; UDP has 1 and 7 only): STATES as ss
# writes them, STATES_ASKED_FOR as a user asks for them.
STATES: Final = {
    1: "ESTAB", 2: "SYN-SENT", 3: "SYN-RECV", 4: "FIN-WAIT-1", 5: "FIN-WAIT-2", 6: "TIME-WAIT",
    7: "UNCONN", 8: "CLOSE-WAIT", 9: "LAST-ACK", 10: "LISTEN", 11: "CLOSING",
}  # fmt: skip
FIN_WAIT_2: Final = 5
LISTEN: Final = 10
UNCONN: Final = 7
# These two are for requests only: the rows say SYN-RECV and UNCONN. 13 exists since Linux 6.8.
NEW_SYN_RECV: Final = 12
BOUND_INACTIVE: Final = 13
STATES_ASKED_FOR: Final = {
    "established": 1, "syn-sent": 2, "syn-recv": 3, "fin-wait-1": 4, "fin-wait-2": 5,
    "time-wait": 6, "closed": 7, "close-wait": 8, "last-ack": 9, "listening": 10, "closing": 11,
    "new-syn-recv": NEW_SYN_RECV, "bound-inactive": BOUND_INACTIVE,
}  # fmt: skip
ALL_STATES: Final = frozenset(STATES_ASKED_FOR.values())
# the states of sockets that have a peer and a process
TALKING: Final = frozenset({1, 2, 4, 5, 8, 9, 11})
LISTENING: Final = frozenset({LISTEN, UNCONN})
CONNECTED: Final = ALL_STATES - {LISTEN, UNCONN, BOUND_INACTIVE}
OF_UDP: Final = frozenset({1, UNCONN})
_BUCKET: Final = frozenset({3, 6, NEW_SYN_RECV})
STATE_GROUPS: Final = {
    "all": ALL_STATES,
    "connected": CONNECTED,
    "synchronized": CONNECTED - {2},
    "bucket": _BUCKET,
    "big": ALL_STATES - _BUCKET,
}
STATE_NAMES: Final = (*STATES_ASKED_FOR, *STATE_GROUPS)


class Socket(NamedTuple):
    """A TCP or UDP socket. What the kernel does not report is None: a peer or a port that is not
    set, and inode and owner if no process can hold the socket any more (TIME-WAIT, SYN-RECV).

    Addresses are text, IPv4-mapped ones as IPv4. Queues are in bytes; those of a listening TCP
    socket are in connections (waiting, and at most).
    """

    proto: str
    state: str
    recv_q: int | None
    send_q: int | None
    src: str
    sport: int | None
    dst: str | None
    dport: int | None
    uid: int | None
    inode: int | None
    cookie: int | None
    version: int  # of the socket's family, 4 or 6: an IPv6 socket may have IPv4 addresses
    ifindex: int  # of the device that it is bound to; 0: none
    netns: int
    details: bytes  # the netlink attributes that follow the row
    src_zone: str | None = None  # name of a link-local address's interface; None: not known
    dst_zone: str | None = None


class Held(NamedTuple):
    """A process that holds a socket, and its lowest descriptor for it; None: it has none, and holds
    the socket by an io_uring."""

    by: Holder
    fd: int | None


# The holders of a socket; None: not known.
Processes = tuple[Held, ...] | None


class Listed(NamedTuple):
    """A socket with the extra details that were asked for; its holders are added later."""

    socket: Socket
    extra: dict[str, Any]
