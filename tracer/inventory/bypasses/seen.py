# SPDX-License-Identifier: Apache-2.0
"""Which probe sees what goes by which way.

True only where tests/cases.py has a case of it that every such probe passes, or where its hook runs
before that happens: what is said to be seen is no reason to doubt that nothing was sent.
"""

from typing import Final

_ALL: Final = frozenset({"fexit", "kprobe", "tracepoint"})
_CALLS: Final = frozenset({"fexit", "kprobe"})  # these see the call, before it is wrapped
_NONE: Final[frozenset[str]] = frozenset()

# The probes that see all of it; None: every probe sees a part of it, and misses another.
SEEN: Final[dict[str, frozenset[str] | None]] = {
    # sockets
    "packet_socket": _ALL,  # what cannot be read is counted as unread
    "packet_ring": _ALL,  # likewise
    "qdisc_bypass": _CALLS,  # __dev_direct_xmit()
    "af_xdp": None,  # in copy mode likewise; in zero-copy mode no hook is passed
    "raw_socket": _ALL,
    "ping_socket": _ALL,
    "sctp": _ALL,
    "dccp": _ALL,
    "l2tp": _NONE,
    "ppp": _NONE,
    "rds": _NONE,
    "tipc": _NONE,
    "smc": None,  # its handshake is TCP's
    "mptcp": _ALL,  # each subflow is a TCP connection
    # programs
    "xdp_program": _NONE,
    "tc_program": None,  # what it rewrites has another destination for each probe
    "sockmap_program": _NONE,
    "cgroup_program": None,  # of a socket from before, what was asked for is not known
    # rules
    "tc_redirect": None,  # a raw or packet socket's TCP that it takes elsewhere is not
    "tc_ingress_redirect": _NONE,
    "tc_rewrite": None,
    "nat": None,  # what it does to what another namespace sends is not looked at
    "source_nat": _ALL,
    "tproxy": None,
    "dup": None,
    "fwd": None,
    "queue": None,
    "flowtable": _NONE,
    "synproxy": _NONE,
    "ipvs": None,
    "ipsec": _CALLS,
    "encap_route": _CALLS,
    # what others send through this machine, and what wraps it
    "forwarding": _ALL,  # these where forwarded packets are watched
    "bridge": _ALL,
    "tun": _ALL,
    "macvtap": _NONE,
    "vhost_net": _NONE,
    "udp_tunnel": _ALL,  # its datagrams are the kernel's own
    "tunnel": _ALL,  # its packets are the kernel's own
    # hardware that others drive
    "vfio": _NONE,
    "uio": _NONE,
    "rdma": _NONE,
    "sriov": _NONE,
    # the kernel itself
    "netconsole": _CALLS,  # netpoll_send_skb()
    "pktgen": _NONE,
    "kernel_client": None,  # a new connection is an event, what an open one sends is not
}


FORWARDED: Final = frozenset({"forwarding", "bridge", "tun"})


def is_seen(kind: str, probe: str, *, forward: bool = False) -> bool | None:
    """Says whether a probe sees all that goes by a way of this kind; None: a part of it.
    ``forward``: forwarded packets are watched."""
    probes = _NONE if kind in FORWARDED and not forward else SEEN[kind]
    return None if probes is None else probe in probes
