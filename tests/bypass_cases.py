# SPDX-License-Identifier: Apache-2.0
"""Every way to an address that a test can make, and what ``sockwatch prove`` must say of it.

Not made is what needs hardware (vfio, uio, RDMA, virtual functions, AF_XDP in zero-copy mode) or a
server (NFS and its like).
"""

from typing import NamedTuple

from tests.cases import HERE, PEER, PROBE_NAMES
from tests.generator import ip_packet, udp_packet

ALL = frozenset(PROBE_NAMES)
CALLS = frozenset({"fexit", "kprobe"})
TRACEPOINT = frozenset({"tracepoint"})
NONE = frozenset()
# What others send through this machine, or what a program replaces: an event, or a reason why
# nothing is proven.
EITHER = None

NOT_READ = ("unread", "packets that may match, but cannot be read")
TWICE = ("sendto", PEER, "count=2")


class Way(NamedTuple):
    """A way to ``dst``. Before the proof, ``make`` is run by a shell in the near namespace, and
    tests/bypasser.py holds ``held`` there. Then the generator sends ``sends``, the shell runs
    ``runs``, or ``writes`` goes into what is held. ``somebody`` are the probes that see it and name
    ``sender`` ("": the generator); the others must have ``reasons``, a kind and words of each.
    ``seen`` are the probes that would see what is sent by it, where nothing is; ``unknown`` those
    that cannot tell who has sent it."""

    name: str
    dst: str = PEER
    options: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()  # that the kernel does not load by itself
    make: str = ""
    held: tuple[str, ...] = ()
    sends: tuple[str, ...] = ()
    runs: str = ""
    writes: bytes = b""
    somebody: frozenset[str] | None = NONE
    sender: str = ""
    reasons: tuple[tuple[str, str], ...] = ()
    seen: frozenset[str] = NONE
    unknown: frozenset[str] = NONE


def sending(*words, name="", dst=PEER, asked="", **other):
    """What the generator sends to ``dst``; every probe sees it. ``asked``: another address of it,
    that is asked for."""
    way = Way(name or words[0], asked or dst, sends=(words[0], dst, *words[1:]), somebody=ALL)
    return way._replace(**other)


def on_lo(*words, **other):
    return sending(*words, "port=9999", dst=HERE, **other)


def past(*reasons, **other):
    """What only hooks on calls see."""
    return {"somebody": CALLS, "reasons": reasons, **other}


ROUTING_HEADER = ("routing_header", "port=9999", "hop=fd00::5")
SOURCE_ROUTE = ("source_route", "port=9999", "hop=10.0.0.5")
LO = ("witness", "lo in the network namespace ")

SENT = (
    on_lo("sendto"),
    on_lo("gso"),
    on_lo("cork"),
    on_lo("io_uring"),
    on_lo("splice"),
    on_lo("udplite"),
    on_lo("tcp_connection"),
    on_lo("tcp_mptcp"),
    sending("connect", "port=9", name="tcp_to_another"),
    sending("fragments"),
    on_lo("raw_hdrincl"),
    on_lo("raw_tcp"),
    sending("raw_icmp", dst=HERE),
    sending("raw_protocol"),
    sending("ping", make="echo 0 0 > /proc/sys/net/ipv4/ping_group_range"),
    on_lo("sctp", modules=("sctp",)),
    on_lo("dccp", modules=("dccp_ipv4",)),
    on_lo("packet_frame"),
    on_lo("packet_tcp"),
    on_lo("packet_tagged"),
    on_lo("packet_claims"),
    on_lo("packet_unreadable", somebody=NONE, reasons=(NOT_READ,)),
    on_lo("packet_ring", somebody=NONE, reasons=(NOT_READ,)),
    on_lo("packet_bypass", **past(LO)),
    on_lo("xdp_copy", **past(LO)),
    sending(*ROUTING_HEADER, dst="fd00::99"),
    sending(*ROUTING_HEADER, dst="fd00::99", asked="fd00::5", name="routing_header_next"),
    sending(*SOURCE_ROUTE, dst="10.0.9.9"),
    sending(*SOURCE_ROUTE, dst="10.0.9.9", asked=PEER, name="source_route_next"),
    sending("sendto", "count=3", name="veth"),
)


def only_held(kind, says, *held, **other):
    """What a process holds, and has sent nothing by."""
    return Way(held[0], held=held, reasons=((kind, says),), **other)


HELD = (
    only_held("qdisc_bypass", "packet socket with QDISC_BYPASS", "bypass", seen=CALLS),
    only_held("qdisc_bypass", "packet socket", "thread", seen=CALLS),
    only_held("af_xdp", "AF_XDP socket", "xdp_socket"),
    only_held("smc", "SMC socket", "smc", modules=("smc",)),
    only_held("rds", "RDS socket", "rds", modules=("rds",)),
    only_held("tipc", "TIPC socket", "tipc", modules=("tipc",)),
    only_held("l2tp", "L2TP socket", "l2tp", modules=("l2tp_ip",)),
    only_held("tc_program", "tc program past on near", "tcx", "near"),
    only_held("tc_program", "tc program past on near", "tc_bpf", "near"),
    only_held("xdp_program", "XDP program past on near", "xdp", "near"),
    only_held("sockmap_program", "sk_msg program past", "sk_msg"),
    only_held("vhost_net", "holds /dev/vhost-net", "opened", "/dev/vhost-net",
              modules=("vhost_net",)),
    only_held("kernel_client", "nbd nbd0", "nbd", "/dev/nbd0", modules=("nbd",)),
)  # fmt: skip

PACKET = ip_packet("10.9.0.2", PEER, udp_packet(b"from a guest", 4321, 9999))
FRAME = bytes.fromhex("0200000000ff020000000004" + "0800") + PACKET
TUN = "ip tuntap add swtun mode tun; ip addr add 10.9.0.1/24 dev swtun; ip link set swtun up"
TAP = "ip tuntap add swtap mode tap; ip link set swtap up"
BRIDGE = (
    "ip link add br0 type bridge; ip link add p0 type veth peer name p1; "
    "for port in swtap p0; do ip link set $port master br0; done; "
    "for device in br0 p0 p1; do ip link set $device up; done"
)
TO_NEAR = "protocol ip u32 match ip dst 10.0.0.5/32 action mirred egress redirect dev near"


def by_tap(name, make, *reasons):
    """What a virtual machine sends: a process writes it into a tap."""
    return Way(name, make=f"{TAP}; {make}", held=("tap", "swtap"), writes=FRAME, somebody=EITHER,
               reasons=(("tun", "holds /dev/net/tun (swtap)"), *reasons))  # fmt: skip


GUESTS = (
    Way("forwarded", make=f"{TUN}; echo 1 > /proc/sys/net/ipv4/ip_forward",
        held=("tun", "swtun"), writes=PACKET, somebody=EITHER,
        reasons=(("forwarding", "IPv4 packets of others are forwarded"),
                 ("tun", "holds /dev/net/tun (swtun)"))),
    by_tap("bridged", BRIDGE, ("bridge", "bridge br0 with 2 ports")),
    by_tap("tc_ingress",
           f"tc qdisc add dev swtap ingress; tc filter add dev swtap ingress {TO_NEAR}",
           ("tc_ingress_redirect", "tc mirred on swtap (ingress) to near")),
    by_tap("fwd", "nft add table netdev t; nft 'add chain netdev t c { type filter hook ingress "
           "device swtap priority 0; }'; nft add rule netdev t c fwd to near",
           ("fwd", "nftables fwd in netdev t c")),
    Way("xdp_tx", held=("xdp_answers", "swtap"), writes=FRAME,
        reasons=(("xdp_program", "XDP program past on swtap"),)),
)  # fmt: skip

TO_7 = "ip route add 10.7.0.0/24 via 10.0.0.5"
SEND_7 = ("sendto", "10.7.0.9", "count=2", "port=9999")
ESP = "src 10.0.0.1 dst 10.0.0.5 proto esp"
NO_KEY = "enc 'cipher_null' ''"


def nft(hook, rule, kind="filter"):
    return (
        f"nft add table ip t; nft 'add chain ip t c {{ type {kind} hook {hook} priority 0; }}'; "
        f"nft add rule ip t c {rule}"
    )


def nft_says(deed):
    return deed.replace(" ", "_"), f"nftables {deed} in ip t c"


RULES = (
    Way("dnat", make=f"{TO_7}; {nft('output', 'ip daddr 10.7.0.9 dnat to 10.0.0.5', 'nat')}",
        sends=SEND_7, somebody=ALL, reasons=(nft_says("nat"),)),
    Way("redirect", "127.0.0.1", sends=SEND_7, somebody=ALL, reasons=(nft_says("nat"),),
        make=f"{TO_7}; {nft('output', 'ip daddr 10.7.0.9 udp dport 9999 redirect', 'nat')}"),
    Way("snat", options=("--src", "10.0.0.1"), sends=TWICE, somebody=ALL,
        make=nft("postrouting", "masquerade", "nat")),
    Way("tproxy", make=nft("prerouting", "tcp dport 80 tproxy to 127.0.0.1:99"),
        reasons=(nft_says("tproxy"),)),
    Way("dup", make=nft("output", "ip daddr 10.0.0.9 dup to 10.0.0.5"),
        sends=("sendto", "10.0.0.9", "count=2"), reasons=(nft_says("dup"),)),
    Way("queue", make=nft("output", "queue num 3"), held=("queue_that_accepts", "3"), sends=TWICE,
        somebody=ALL, reasons=(nft_says("queue"),), unknown=TRACEPOINT),
    Way("flowtable", reasons=(nft_says("flowtable"),),
        make="nft add table ip t; nft 'add flowtable ip t f { hook ingress priority 0; devices = "
        "{ near }; }'; nft 'add chain ip t c { type filter hook forward priority 0; }'; "
        "nft add rule ip t c flow add @f"),
    Way("tc_redirect", sends=TWICE, somebody=ALL, make="tc qdisc add dev near clsact; "
        f"tc filter add dev near egress {TO_NEAR.replace('dev near', 'dev lo')}",
        reasons=(("tc_redirect", "tc mirred on near (egress) to lo"),)),
    Way("tc_nat", make="tc qdisc add dev near clsact; tc filter add dev near egress protocol ip "
        "matchall action nat egress 10.0.0.1 10.0.0.7",
        reasons=(("tc_rewrite", "tc nat on near (egress)"),)),
    Way("ipsec", make=f"ip xfrm state add {ESP} spi 7 mode transport {NO_KEY}; ip xfrm policy add "
        f"dir out dst 10.0.0.5/32 tmpl {ESP} mode transport", options=("--udp",), sends=TWICE,
        **past(("ipsec", "IPsec policy for 10.0.0.5/32"))),
    Way("ipsec_tunnel", make=f"{TO_7}; ip xfrm state add {ESP} spi 7 mode tunnel {NO_KEY}; "
        f"ip xfrm policy add dir out dst 10.7.0.0/24 tmpl {ESP} mode tunnel", sends=SEND_7,
        somebody=ALL, sender="[near]"),
    Way("mpls", "10.7.0.9", modules=("mpls_iptunnel",), sends=SEND_7,
        make="ip route add 10.7.0.0/24 encap mpls 100 via inet 10.0.0.5 dev near",
        **past(("encap_route", "mpls encapsulation by the route to 10.7.0.0/24"))),
    Way("seg6", "fd07::9", sends=("sendto", "fd07::9", "count=2"),
        make="ip -6 route add fd07::/64 encap seg6 mode encap segs fd00::5 dev near",
        **past(("encap_route", "seg6 encapsulation by the route to fd07::/64"))),
    Way("seg6_next", "fd00::5", sends=("sendto", "fd07::9", "count=2"),
        make="ip -6 route add fd07::/64 encap seg6 mode encap segs fd00::5 dev near",
        somebody=ALL, sender="[near]"),
    Way("ipvs", modules=("ip_vs", "ip_vs_rr"), make=TO_7, held=("ipvs", "10.7.0.9", PEER),
        sends=SEND_7, somebody=EITHER, reasons=(("ipvs", "IPVS with 10.7.0.9, 10.0.0.5"),)),
    Way("pktgen", modules=("pktgen",), make="[ -d /proc/net/pktgen ] || modprobe pktgen; "
        "cd /proc/net/pktgen; echo add_device near > kpktgend_0; for words in 'count 5' "
        "'dst 10.0.0.5' 'dst_mac 02:00:00:00:00:05'; do echo $words > near; done",
        runs="echo start > /proc/net/pktgen/pgctrl",
        reasons=(("pktgen", "pktgen on near"), ("witness", "near in the network namespace "))),
)  # fmt: skip


def tunnel(kind, *words, neighbour=False, **other):
    """What is sent through it, the kernel wraps and sends to its other end."""
    make = (
        f"ip link add tu type {' '.join((kind, *words))}; ip addr add 10.8.0.1/24 dev tu; "
        "ip link set tu up"
    )
    if neighbour:
        make += "; ip neigh add 10.8.0.5 lladdr 02:00:00:00:00:08 dev tu"
    way = Way(kind, make=make, sends=("sendto", "10.8.0.5", "count=2"), somebody=ALL)
    return way._replace(sender="[near]", **other)


ENDS = ("remote", "10.0.0.5", "local", "10.0.0.1")
TUNNELS = (
    tunnel("vxlan", "id", "7", "dstport", "4789", *ENDS, "dev", "near", neighbour=True),
    tunnel("geneve", "id", "7", "remote", "10.0.0.5", neighbour=True),
    tunnel("gre", *ENDS),
    tunnel("ipip", *ENDS),
    tunnel("wireguard", held=("wireguard", "tu", PEER)),
)
