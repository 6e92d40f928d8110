# SPDX-License-Identifier: Apache-2.0
"""Looks for every way past the hooks, on the machine and in its network namespaces."""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from tracer.filter.filters import Filters
from tracer.host import netns, open_files, procfs
from tracer.host.netlink.links import links
from tracer.inventory import dump
from tracer.inventory.bypasses import (
    devices,
    hidden,
    kernel_clients,
    programs,
    rules,
    sockets,
)
from tracer.inventory.bypasses import links as of_links
from tracer.inventory.bypasses.bypass import Bypass, Way, judge
from tracer.inventory.bypasses.here import Here, Machine

_AS_ROOT: Final = ": run it as root"

# what each looks for, in words for what could not be looked into
IN_NAMESPACE: Final[dict[str, Callable[[Here], Iterable[Way]]]] = {
    "packet sockets": sockets.packet_sockets,
    "raw sockets": sockets.raw_sockets,
    "ping sockets": sockets.ping_sockets,
    "sockets of other protocols": sockets.other_sockets,
    "XDP programs": programs.xdp_programs,
    "BPF programs of tc": programs.tc_programs,
    "actions of tc": rules.tc_actions,
    "rules of nftables": rules.nftables_rules,
    "rules of iptables": rules.iptables_rules,
    "IPVS": rules.ipvs,
    "IPsec policies": rules.ipsec_policies,
    "routes with encapsulation": rules.encap_routes,
    "forwarding": of_links.forwarding,
    "bridges": of_links.bridges,
    "tunnels": of_links.tunnels,
    "WireGuard": of_links.wireguard,
    "pktgen": of_links.packet_generators,
}
ON_MACHINE: Final[dict[str, Callable[[Machine], Iterable[Way]]]] = {
    "devices that processes hold": devices.held_devices,
    "virtual functions of network cards": devices.virtual_functions,
    "BPF programs of sockmaps": programs.sockmap_programs,
    "BPF programs of cgroups": programs.cgroup_programs,
    "file systems on servers": kernel_clients.mounted,
    "iSCSI": kernel_clients.iscsi,
    "NVMe over a network": kernel_clients.nvme,
    "block devices on servers": kernel_clients.block_devices,
    "netconsole": kernel_clients.netconsole,
}


class Found(NamedTuple):
    """The ways, and what could not be looked into, in words: there may be more."""

    bypasses: list[Bypass]
    unreadable: list[str]


def find(filters: Filters, where: dump.Where, probe: str) -> Found:
    """Looks for the ways that exist now, in the network namespaces ``where``
    (:func:`tracer.inventory.dump.namespaces`), and judges each for this filter on this probe
    ("fexit", "kprobe", "tracepoint"). Raises SockwatchError if the only namespace cannot be
    entered."""
    machine, unreadable = Machine(open_files.find()), list[str]()
    names = netns.names()
    own = netns.own()
    found: list[Way] = []
    for inode in dump.visit(where, unreadable.append):
        name = names.get(inode, str(inode))
        found += _in_namespace(inode, machine, name, unreadable)
    for words, look in ON_MACHINE.items():
        found += _tried(look, machine, words, unreadable)
    unreadable += _processes(machine)
    if not filters.netns:
        unreadable += hidden.hidden(machine)
    places = {inode: names.get(inode, str(inode)) for inode in where if inode != own}
    return Found(
        [judge(way, filters, probe, places.get(way.netns or own)) for way in found], unreadable
    )


def _in_namespace(inode: int, machine: Machine, name: str, unreadable: list[str]) -> Iterator[Way]:
    """Yields what is in the namespace that the caller is in."""
    try:
        machine.links[inode] = links()
    except OSError as error:
        machine.links[inode] = []
        unreadable.append(f"devices in network namespace {name}: {error.strerror}")
    here = Here(inode, machine.links[inode], machine)
    for words, look in IN_NAMESPACE.items():
        yield from _tried(look, here, f"{words} in network namespace {name}", unreadable)


def _tried(
    look: Callable[[Any], Iterable[Way]], at: Any, words: str, unreadable: list[str]
) -> Iterator[Way]:
    """Yields what a look finds until it may not go on."""
    try:
        yield from look(at)
    except OSError as error:
        unreadable.append(f"{words}: {error.strerror or error}")


def _named(pids: list[int]) -> str:
    """Names the first three processes."""
    names = [f"{procfs.comm(pid) or '?'} (pid {pid})" for pid in pids[:3]]
    more = len(pids) - len(names)
    return ", ".join(names) + (f" or one of {more:,} more" if more else "")


def _processes(machine: Machine) -> Iterator[str]:
    as_root = _AS_ROOT if os.geteuid() else ""
    if machine.opened.unreadable:
        yield f"what {_named(machine.opened.unreadable)} has open{as_root}"
    if machine.refused:
        yield f"{machine.refused} sockets, which cannot be asked what they are{as_root}"
