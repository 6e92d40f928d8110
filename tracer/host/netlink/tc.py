# SPDX-License-Identifier: Apache-2.0
"""Lists what the filters of tc do to packets: redirect, copy, rewrite, run a BPF program.

Layout: include/uapi/linux/rtnetlink.h and pkt_cls.h. pyroute2 does not decode every kind of filter
(not flower's), and an action may be in any.
"""

import errno
import socket
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from tracer.host.netlink import messages
from tracer.model.process import text

_NETLINK_ROUTE: Final = 0
_RTM_GETQDISC: Final = 38
_RTM_GETTFILTER: Final = 46
_TCMSG: Final = struct.Struct("=BxHiIII")  # struct tcmsg: family, device, handle, parent, info
_KIND: Final = 1  # TCA_KIND, TCA_ACT_KIND
_OPTIONS: Final = 2  # TCA_OPTIONS, TCA_ACT_OPTIONS
_BPF_ID: Final = 11  # TCA_BPF_ID: it is not a classic program
_MIRRED_PARMS: Final = 2  # TCA_MIRRED_PARMS
_MIRRED: Final = struct.Struct("=20xiI")  # struct tc_mirred: what it does, the device

_BOTH_WAYS: Final = frozenset({"clsact", "ingress"})  # these have filters before any queue
# TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), and egress
_INGRESS: Final = 0xFFFFFFF2
_EGRESS: Final = 0xFFFFFFF3
_DEPTH: Final = 4  # of an action below a filter's options

# struct tcf_t.kind of net/sched/act_*.c: what changes a packet, or where it goes
_TELLING: Final = frozenset({"mirred", "nat", "pedit", "bpf", "tunnel_key", "ct", "ife", "mpls"})


class Deed(NamedTuple):
    """What a filter does. ``action`` is the kernel's word: mirred and others of net/sched/act_*.c,
    or "bpf" for a program; ``to`` the number of the device that a packet is redirected to, 0 for
    none; ``ingress``: it looks at what a device receives."""

    ifindex: int
    ingress: bool
    action: str
    to: int = 0
    program: int = 0


def deeds() -> list[Deed]:
    """Lists them, each once, for the caller's network namespace. Raises OSError."""
    found: list[Deed] = []
    with messages.connect(_NETLINK_ROUTE) as sock:
        queues = _answers(sock, _RTM_GETQDISC, _TCMSG.pack(0, 0, 0, 0, 0, 0))
        for ifindex, parent in _places(queues):
            request = _TCMSG.pack(0, 0, ifindex, 0, parent, 0)
            for read, start, end in _answers(sock, _RTM_GETTFILTER, request):
                raw = read[start + _TCMSG.size : end]
                found += decode(ifindex, raw, ingress=parent == _INGRESS)
    return list(dict.fromkeys(found))


def _answers(sock: socket.socket, kind: int, request: bytes) -> list[messages.Message]:
    """Returns all answers; none where the device or its queue is gone, or the kernel has no tc
    (rtnetlink_rcv_msg(), net/core/rtnetlink.c). Raises OSError."""
    try:
        return list(messages.dump(sock, kind, request))
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
            raise
        return []


def _places(qdiscs: list[messages.Message]) -> Iterator[tuple[int, int]]:
    """Yields each device that has a queue with filters, and where they hang: its handle."""
    for read, start, end in qdiscs:
        _, _, ifindex, handle, _, _ = _TCMSG.unpack_from(read, start)
        kind = text(messages.attributes(read[start + _TCMSG.size : end])[_KIND])
        if kind in _BOTH_WAYS:
            yield ifindex, _INGRESS
            yield ifindex, _EGRESS
        elif handle:
            yield ifindex, handle


def decode(ifindex: int, raw: bytes, *, ingress: bool) -> Iterator[Deed]:
    """Decodes the attributes of a filter."""
    found = messages.attributes(raw)
    kind, options = text(found.get(_KIND, b"")), found.get(_OPTIONS, b"")
    if kind == "bpf" and _BPF_ID in messages.attributes(options):
        (program,) = struct.unpack("=I", messages.attributes(options)[_BPF_ID])
        yield Deed(ifindex, ingress, "bpf", 0, program)
    for action, said in _actions(options, _DEPTH):
        yield Deed(ifindex, ingress, action, _target(said) if action == "mirred" else 0)


def _actions(raw: bytes, depth: int) -> Iterator[tuple[str, bytes]]:
    """Yields the actions below these attributes, with their options: each kind of filter has its
    own number for them."""
    for payload in messages.attributes(raw).values():
        inner = messages.attributes(payload)
        action = text(inner.get(_KIND, b""))
        if action in _TELLING and _OPTIONS in inner:
            yield action, inner[_OPTIONS]
        elif depth:
            yield from _actions(payload, depth - 1)


def _target(options: bytes) -> int:
    (_, ifindex) = _MIRRED.unpack_from(messages.attributes(options)[_MIRRED_PARMS])
    return int(ifindex)
