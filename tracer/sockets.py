# SPDX-License-Identifier: Apache-2.0
"""A socket as the kernel lists it, and which ones a user asked for."""

from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

from tracer import record
from tracer.errors import UsageError
from tracer.event import Address, Holder, Process, text
from tracer.filters import NO_FILTERS, Filters

UNSPECIFIED: Final = ("0.0.0.0", "::")

PROTOCOLS: Final = {"udp": record.IPPROTO_UDP, "tcp": record.IPPROTO_TCP}

# The kernel's numbers (include/net/tcp_states.h; UDP knows 1 and 7) as ss writes them, and as
# they are asked for.
STATES: Final = {
    1: "ESTAB", 2: "SYN-SENT", 3: "SYN-RECV", 4: "FIN-WAIT-1", 5: "FIN-WAIT-2", 6: "TIME-WAIT",
    7: "UNCONN", 8: "CLOSE-WAIT", 9: "LAST-ACK", 10: "LISTEN", 11: "CLOSING",
}  # fmt: skip
LISTEN: Final = 10
UNCONN: Final = 7
# These two can only be asked for: their rows say SYN-RECV and UNCONN. 13 since Linux 6.8.
NEW_SYN_RECV: Final = 12
BOUND_INACTIVE: Final = 13
_ASKED_AS: Final = {
    "established": 1, "syn-sent": 2, "syn-recv": 3, "fin-wait-1": 4, "fin-wait-2": 5,
    "time-wait": 6, "closed": 7, "close-wait": 8, "last-ack": 9, "listening": 10, "closing": 11,
    "new-syn-recv": NEW_SYN_RECV, "bound-inactive": BOUND_INACTIVE,
}  # fmt: skip
_SHORT: Final = {name.lower(): number for number, name in STATES.items()}
ALL_STATES: Final = frozenset(_ASKED_AS.values())
# the states of sockets that have a peer and a process
TALKING: Final = frozenset({1, 2, 4, 5, 8, 9, 11})
LISTENING: Final = frozenset({LISTEN, UNCONN})
_CONNECTED: Final = ALL_STATES - {LISTEN, UNCONN, BOUND_INACTIVE}
_BUCKET: Final = frozenset({3, 6, NEW_SYN_RECV})
_GROUPS: Final = {
    "all": ALL_STATES,
    "connected": _CONNECTED,
    "synchronized": _CONNECTED - {2},
    "bucket": _BUCKET,
    "big": ALL_STATES - _BUCKET,
}
STATE_NAMES: Final = (*_ASKED_AS, *_GROUPS)


# what of a filter is decided without looking at processes or namespaces
_OF_SOCKETS: Final = ("dst", "not_dst", "src", "dport", "sport", "uid", "version")


class Socket(NamedTuple):
    """A TCP or UDP socket. What the kernel does not say is None: no peer, no port, and of a
    socket that no process can hold any more (TIME-WAIT, SYN-RECV) no inode and no owner.

    Addresses are text, IPv4-mapped ones IPv4; queues are in bytes, of a listening TCP socket
    in connections (waiting, and at most).
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
    details: bytes  # what more was asked for, as netlink attributes


class Held(NamedTuple):
    """That a process holds a socket, and its lowest descriptor for it."""

    by: Holder
    fd: int


# Of a socket; None: not all processes could be looked into.
Processes = tuple[Held, ...] | None


class Listed(NamedTuple):
    """A socket with what more was asked for; who holds it comes later."""

    socket: Socket
    extra: dict[str, Any]


class Selection:
    """Which sockets: by state (the kernel's numbers), and by the filters that tracing has."""

    def __init__(
        self,
        states: frozenset[int] = ALL_STATES,
        filters: Filters = NO_FILTERS,
        process_of: Callable[[int], Process | None] = lambda _: None,
    ) -> None:
        """``process_of`` describes the process that has a pid now."""
        self.states = states
        self.filters = filters
        self._process_of = process_of
        self._by_process = bool(filters.pid or filters.comm or filters.by_process)
        self._takes_every_socket = all(
            getattr(filters, name) == getattr(NO_FILTERS, name) for name in _OF_SOCKETS
        )

    def takes(self, sock: Socket) -> bool:
        """By all but the processes, which :meth:`takes_holders` looks at."""
        filters = self.filters
        return self._takes_every_socket or (
            (not filters.uid or sock.uid in filters.uid)
            and (not filters.dport or (sock.dport or 0) in filters.dport)
            and (not filters.sport or (sock.sport or 0) in filters.sport)
            and self._takes_addresses(sock)
        )

    def takes_holders(self, processes: Processes) -> bool | None:
        """Is one of them asked for? None where that is not known."""
        if not self._by_process:
            return True
        if processes is None:
            return None
        pids, names = self.filters.pid, set(map(text, self.filters.comm))
        if pids and not any(one.by.pid in pids for one in processes):
            return False
        if names and not any(one.by.comm in names for one in processes):
            return False
        return self._selects_any(processes) if self.filters.by_process else True

    def _selects_any(self, held: tuple[Held, ...]) -> bool | None:
        verdicts = {self.filters.selects(self._process_of(one.by.pid)) for one in held}
        return True if True in verdicts else None if None in verdicts else False

    def _takes_addresses(self, sock: Socket) -> bool:
        filters = self.filters
        peer, local = _address(sock.dst), _address(sock.src)
        shown = peer or local
        return (
            filters.passes_dst(peer)
            and filters.passes_src(local)
            and (shown is None or shown.version in filters.version)
        )


@lru_cache(maxsize=4096)
def _address(text: str | None) -> Address | None:
    return None if text is None else ip_address(text)


def parse_state(value: str) -> frozenset[int]:
    """A state or a group of states, by the names that ss has. Raises UsageError."""
    name = value.lower().replace("_", "-")
    if name in _GROUPS:
        return _GROUPS[name]
    number = _ASKED_AS.get(name, _SHORT.get(name))
    if number is None:
        raise UsageError(f"there is no state '{value}'", f"one of {', '.join(STATE_NAMES)}")
    return frozenset({number})
