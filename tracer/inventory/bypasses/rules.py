# SPDX-License-Identifier: Apache-2.0
"""Rules that send packets elsewhere, wrap them, or give them another destination: tc, nftables,
iptables, IPVS, IPsec, routes."""

import re
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from tracer.host.netlink import encap, iptables, nftables, tc, xfrm
from tracer.inventory.bypasses.bypass import Owners, Way, single
from tracer.inventory.bypasses.here import Here, read
from tracer.model.address import Address

# an address with its port: ip_vs_info_seq_show(), net/netfilter/ipvs/ip_vs_ctl.c
_IPVS_END: Final = re.compile(r"([0-9A-F]{8}|\[[0-9a-f:]+\]):[0-9A-F]{4}\b")
_WORDS: Final = {
    "nat": "nat", "source nat": "source_nat", "tproxy": "tproxy", "dup": "dup", "fwd": "fwd",
    "queue": "queue", "flowtable": "flowtable", "synproxy": "synproxy",
}  # fmt: skip
_NETFILTER: Final = "12"  # NETLINK_NETFILTER, as /proc/net/netlink has it


def tc_actions(here: Here) -> Iterator[Way]:
    """Finds actions of tc's filters that redirect, copy or rewrite packets."""
    for deed in tc.deeds():
        side = "ingress" if deed.ingress else "egress"
        where = f"tc {deed.action} on {here.name(deed.ifindex)} ({side})"
        if deed.action == "mirred":
            kind = "tc_ingress_redirect" if deed.ingress else "tc_redirect"
            yield Way(kind, f"{where} to {here.name(deed.to)}", (), here.netns)
        elif not deed.program:
            yield Way("tc_rewrite", where, (), here.netns)


def nftables_rules(here: Here) -> Iterator[Way]:
    """Finds rules of nftables; of a queue, the process that reads it."""
    for rule in nftables.rules():
        kind = _WORDS[rule.deed]
        what = f"nftables {rule.deed} in {rule.family} {rule.table} {rule.chain}"
        by = _queue_readers(here, rule.queue) if kind == "queue" else ()
        yield Way(kind, what, by, here.netns)


def iptables_rules(here: Here) -> Iterator[Way]:
    """Finds rules of the old iptables."""
    for version, table, target in iptables.targets():
        deed = nftables.DEEDS.get(target)
        if deed:
            what = f"{version}tables {target} in {table}"
            by = None if deed == "queue" else ()
            yield Way(_WORDS[deed], what, by, here.netns)


def _queue_readers(here: Here, number: int | None) -> Owners:
    """Finds who reads a netfilter queue; None if that is not known."""
    ports = queue_ports(read("netfilter/nfnetlink_queue"))
    inode = netlink_sockets(read("netlink")).get(ports.get(number, 0)) if number is not None else 0
    return here.machine.holders(inode) if inode else None


def queue_ports(text: str) -> dict[int, int]:
    """Maps the queues of /proc/net/netfilter/nfnetlink_queue to the netlink ports of their readers
    (seq_show(), net/netfilter/nfnetlink_queue.c)."""
    rows = (line.split() for line in text.splitlines())
    return {int(fields[0]): int(fields[1]) for fields in rows if len(fields) > 1}


def netlink_sockets(text: str) -> dict[int, int]:
    """Maps the ports of /proc/net/netlink, of those for netfilter, to inodes
    (netlink_native_seq_show(), net/netlink/af_netlink.c)."""
    rows = (line.split() for line in text.splitlines()[1:])
    return {int(row[2]): int(row[9]) for row in rows if row[1] == _NETFILTER and row[2] != "0"}


def ipvs(here: Here) -> Iterator[Way]:
    """Finds services of IPVS, which sends what is for them to its servers."""
    text = read("ip_vs")
    ends = ipvs_ends(text)
    if ends:
        by_mark = re.search("^FWM ", text, re.MULTILINE)  # whatever address has that mark
        what = "IPVS with " + ", ".join(map(str, ends))
        yield Way("ipvs", what, (), here.netns, single(ends), only=not by_mark)


def ipvs_ends(text: str) -> tuple[Address, ...]:
    """Returns the addresses of the services and servers in /proc/net/ip_vs, each once."""
    found = (match[1] for match in _IPVS_END.finditer(text))
    return tuple(dict.fromkeys(map(_address, found)))


def _address(end: str) -> Address:
    if end.startswith("["):
        return ip_address(end[1:-1])
    return ip_address(socket.inet_ntoa(bytes.fromhex(end)))


def ipsec_policies(here: Here) -> Iterator[Way]:
    """Finds policies that put packets into IPsec, and the ends of its tunnels."""
    for policy in xfrm.policies():
        what = f"IPsec policy for {policy.net}"
        yield Way("ipsec", what, (), here.netns, (policy.net,))
        if policy.ends:
            what = f"IPsec tunnel to {', '.join(map(str, policy.ends))}"
            yield Way("tunnel", what, (), here.netns, single(policy.ends))


def encap_routes(here: Here) -> Iterator[Way]:
    """Finds routes that wrap packets, and what they send them to."""
    for found in encap.encaps():
        to = None if found.net is None else (found.net,)
        where = "a nexthop" if found.net is None else f"the route to {found.net}"
        yield Way("encap_route", f"{found.kind} encapsulation by {where}", (), here.netns, to)
        if found.ends != ():
            ends = ", ".join(map(str, found.ends or ())) or "what is not known"
            what = f"{found.kind} encapsulation to {ends}"
            yield Way("tunnel", what, (), here.netns, single(found.ends))
