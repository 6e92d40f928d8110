# SPDX-License-Identifier: Apache-2.0
"""What the devices of a namespace hand on: forwarded packets, bridges, tunnels; and pktgen."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tracer.host.netlink.links import TUNNELS, WIREGUARD, wireguard_peers
from tracer.inventory.bypasses.bypass import Way, single
from tracer.inventory.bypasses.here import Here, entries, first_line

_IN_UDP: Final = frozenset({"vxlan", "geneve", "bareudp", "gtp", "amt", "pfcp"})
# these also send to what they have learned, or been given for single addresses (ip neigh, bridge
# fdb): vxlan_xmit(), drivers/net/vxlan/vxlan_core.c
_LEARNS: Final = frozenset({"vxlan"})
_BRIDGES: Final = frozenset({"bridge", "openvswitch"})
_VERSIONS: Final = {"ipv4": "IPv4", "ipv6": "IPv6"}
_PKTGEN: Final = "/proc/thread-self/net/pktgen"


def forwarding(here: Here) -> Iterator[Way]:
    """Says whether packets of others are forwarded, by any device (IN_DEV_FORWARD())."""
    for folder, version in _VERSIONS.items():
        names = ("all", *(link.name for link in here.links))
        files = (Path("/proc/sys/net", folder, "conf", name, "forwarding") for name in names)
        if any(first_line(file) not in ("", "0") for file in files):
            yield Way("forwarding", f"{version} packets of others are forwarded", (), here.netns)


def bridges(here: Here) -> Iterator[Way]:
    """Finds bridges that have two ports or more."""
    for link in here.links:
        ports = sum(other.master == link.ifindex for other in here.links)
        if link.kind in _BRIDGES and ports > 1:
            yield Way("bridge", f"bridge {link.name} with {ports} ports", (), here.netns)


def tunnels(here: Here) -> Iterator[Way]:
    """Finds tunnels, which send to their other end whatever they are given."""
    for link in here.links:
        if link.kind in TUNNELS:
            kind = "udp_tunnel" if link.kind in _IN_UDP else "tunnel"
            to, ends = single(link.remotes), ", ".join(map(str, link.remotes or ()))
            what = f"{link.kind} {link.name} to {ends or 'ends that are not known'}"
            only = link.kind not in _LEARNS
            yield Way(kind, what, (), here.netns, to, "udp" if kind == "udp_tunnel" else None, only)


def wireguard(here: Here) -> Iterator[Way]:
    """Finds WireGuard's peers, which may come to have other addresses (roaming)."""
    for link in here.links:
        if link.kind == WIREGUARD:
            peers = wireguard_peers(link.name)
            ends = ", ".join(map(str, peers)) or "peers that have no address yet"
            what = f"{link.kind} {link.name} to {ends}"
            yield Way("udp_tunnel", what, (), here.netns, single(peers), "udp", only=False)


def packet_generators(here: Here) -> Iterator[Way]:
    """Finds what pktgen has been told to use: beside its threads, a file for each device
    (pktgen_add_device(), net/core/pktgen.c)."""
    for file in entries(_PKTGEN):
        if file.name != "pgctrl" and not file.name.startswith("kpktgend_"):
            yield Way("pktgen", f"pktgen on {file.name}", (), here.netns)
