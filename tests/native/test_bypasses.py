# SPDX-License-Identifier: Apache-2.0
"""Each way past the hooks that this kernel can make is made, and found, with whose it is."""

import contextlib
import os
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests import bypasser
from tests.native.conftest import DEADLINE, add_link, wait_for
from tracer.filter.filters import Filters
from tracer.host import open_files
from tracer.host.netlink import iptables
from tracer.host.netns import inside
from tracer.inventory import dump
from tracer.inventory.bypasses import rules, search, sockets
from tracer.inventory.bypasses.bypass import diff
from tracer.inventory.bypasses.here import Here, Machine
from tracer.inventory.bypasses.seen import is_seen
from tracer.kernel import syscall

BYPASSER = Path(__file__).parents[1] / "bypasser.py"
pytestmark = pytest.mark.native

DST = Filters(dst=(ip_network("10.0.0.5"),))
NEAR, FAR, OTHER = "10.0.0.1", "10.0.0.5", "10.0.0.9"

# what a process holds: the way, its argument, the kind that is found, and how it is said; all but
# the last in the namespace
HELD = (
    ("packet", "", "packet_socket", "packet socket{there}: {me}"),
    ("bypass", "", "qdisc_bypass", "packet socket with QDISC_BYPASS{there}: {me}"),
    ("ring", "", "packet_ring", "packet socket with TX_RING{there}: {me}"),
    ("xdp_socket", "", "af_xdp", "AF_XDP socket{there}: {me}"),
    ("raw", "", "raw_socket", "raw socket, protocol 1{there}: {me}"),
    ("raw6", "", "raw_socket", "raw socket{there}: {me}"),
    ("ping", "", "ping_socket", "ping socket{there}: {me}"),
    ("sctp", "", "sctp", "SCTP socket{there}: {me}"),
    ("tun", "swtun", "tun", "{me} holds /dev/net/tun (swtun){there}"),
    ("tap", "swtap", "tun", "{me} holds /dev/net/tun (swtap){there}"),
    ("xdp", "near", "xdp_program", "XDP program past on near{there}: {me}"),
    ("tcx", "near", "tc_program", "tc program past on near{there}: {me}"),
    ("tc_bpf", "near", "tc_program", "tc program past on near{there}: {me}"),
    ("sk_msg", "", "sockmap_program", "sk_msg program past: {me}"),
)

IP_T = (
    "nft add table ip t; nft 'add chain ip t c { type %s hook %s priority 0; }'; "
    "nft add rule ip t c"
)
NAT, FILTER = IP_T % ("nat", "output"), IP_T % ("filter", "output")
NETDEV = (
    "nft add table netdev t; nft 'add chain netdev t c { type filter hook ingress device near "
    "priority 0; }'; nft add rule netdev t c"
)
CLSACT = "tc qdisc add dev near clsact; tc filter add dev near egress"
U32 = "protocol ip u32 match ip dst 10.0.0.5/32"
TO_LO = "action mirred egress redirect dev lo"
VXLAN = "ip link add vx type vxlan dstport 4789"
OUT = "ip xfrm policy add dir out dst"

# what is made by a command: it, the kind that is found, how it is said, and whether it concerns
# what is sent to 10.0.0.5
MADE = (
    (f"{VXLAN} id 7 remote 10.0.0.5 dev near", "udp_tunnel", "vxlan vx to 10.0.0.5", True),
    (f"{VXLAN} id 7 remote 10.0.0.9 dev near", "udp_tunnel", "vxlan vx to 10.0.0.9", None),
    (f"{VXLAN} external", "udp_tunnel", "vxlan vx to ends that are not known", None),
    ("ip link add gn type geneve id 7 remote 10.0.0.5",
     "udp_tunnel", "geneve gn to 10.0.0.5", True),
    ("ip link add gr type gre remote 10.0.0.5", "tunnel", "gre gr to 10.0.0.5", True),
    ("ip link add gr type gre remote 10.0.0.9", "tunnel", "gre gr to 10.0.0.9", False),
    ("ip link add ii type ipip remote 10.0.0.5", "tunnel", "ipip ii to 10.0.0.5", True),
    ("ip link add six type sit remote 10.0.0.5", "tunnel", "sit six to 10.0.0.5", True),
    ("ip link add it type ip6tnl remote fd00::5", "tunnel", "ip6tnl it to fd00::5", False),
    ("ip link add wg type wireguard", "udp_tunnel",
     "wireguard wg to peers that have no address yet", None),
    ("ip link add br0 type bridge; ip link add p0 type veth peer name p1; "
     "ip link set p0 master br0; ip link set p1 master br0",
     "bridge", "bridge br0 with 2 ports", None),
    ("echo 1 > /proc/sys/net/ipv4/ip_forward",
     "forwarding", "IPv4 packets of others are forwarded", None),
    ("echo 1 > /proc/sys/net/ipv6/conf/near/forwarding",
     "forwarding", "IPv6 packets of others are forwarded", None),
    (f"{CLSACT} {U32} {TO_LO}", "tc_redirect", "tc mirred on near (egress) to lo", None),
    (f"{CLSACT} matchall {TO_LO}", "tc_redirect", "tc mirred on near (egress) to lo", None),
    (f"{CLSACT} protocol ip flower dst_ip 10.0.0.5 {TO_LO}",
     "tc_redirect", "tc mirred on near (egress) to lo", None),
    (f"tc qdisc add dev near ingress; tc filter add dev near ingress {U32} {TO_LO}",
     "tc_ingress_redirect", "tc mirred on near (ingress) to lo", None),
    (f"tc qdisc add dev near root handle 1: prio; tc filter add dev near parent 1: {U32} {TO_LO}",
     "tc_redirect", "tc mirred on near (egress) to lo", None),
    (f"{CLSACT} matchall action nat egress 10.0.0.1 10.0.0.7",
     "tc_rewrite", "tc nat on near (egress)", None),
    (f"{NAT} ip daddr 10.0.0.9 dnat to 10.0.0.5", "nat", "nftables nat in ip t c", None),
    (f"{NAT} tcp dport 99 redirect to :100", "nat", "nftables nat in ip t c", None),
    (f"{IP_T % ('nat', 'postrouting')} masquerade",
     "source_nat", "nftables source nat in ip t c", False),
    (f"{IP_T % ('filter', 'prerouting')} tcp dport 80 tproxy to 127.0.0.1:99",
     "tproxy", "nftables tproxy in ip t c", None),
    (f"{FILTER} dup to 10.0.0.5", "dup", "nftables dup in ip t c", None),
    (f"{FILTER} queue num 3", "queue", "nftables queue in ip t c", None),
    (f"{NETDEV} fwd to lo", "fwd", "nftables fwd in netdev t c", None),
    (f"{OUT} 10.0.0.0/24 tmpl proto esp mode transport", "ipsec", "IPsec policy for 10.0.0.0/24",
     True),
    (f"{OUT} fd00::/64 tmpl proto esp mode transport", "ipsec", "IPsec policy for fd00::/64",
     False),
    (f"{OUT} 10.7.0.0/24 tmpl dst 10.0.0.5 src 10.0.0.1 proto esp mode tunnel",
     "tunnel", "IPsec tunnel to 10.0.0.5", True),
    ("ip -6 route add fd07::/64 encap seg6 mode encap segs fd00::5 dev near",
     "encap_route", "seg6 encapsulation by the route to fd07::/64", False),
    ("ip -6 route add fd07::/64 encap seg6 mode encap segs fd00::7,fd00::5 dev near",
     "tunnel", "seg6 encapsulation to fd00::5, fd00::7", False),
    ("ip route add 10.7.0.0/24 encap ip id 7 dst 10.0.0.5 dev near",
     "tunnel", "ip encapsulation to 10.0.0.5", True),
    ("ip route add 10.7.0.0/24 encap mpls 100 via inet 10.0.0.5 dev near",
     "encap_route", "mpls encapsulation by the route to 10.7.0.0/24", False),
    ("ip route add 10.7.0.0/24 nexthop via 10.0.0.5 dev near nexthop encap seg6 mode encap "
     "segs fd00::5 dev near",
     "encap_route", "seg6 encapsulation by the route to 10.7.0.0/24", False),
    ("ip -6 nexthop add id 7 encap seg6 mode encap segs fd00::5 dev near",
     "encap_route", "seg6 encapsulation by a nexthop", None),
)  # fmt: skip
# what a kernel says that has no such kind
LACKS = (
    "Unknown device type", "Operation not supported", "No such file or directory",
    "kind is unknown", "Failed to load TC action module", "Unknown qdisc", "Not supported",
    "Protocol not supported", "No such device", "No such module", "Could not process rule",
    "Failed to load", "classifier not found", "type not supported", "Requested type not found",
    "Module pktgen not found",
)  # fmt: skip


def inode(netns):
    return Path(f"/run/netns/{netns}").stat().st_ino


def find(netns, filters=DST, probe="tracepoint"):
    said = []
    where = dump.namespaces(frozenset({inode(netns)}), said.append)
    return search.find(filters, where, probe)


def entered(netns):
    return inside(f"/run/netns/{netns}", inode(netns))


def only(found, netns):
    """What is in the namespace. Other programs of this machine may hold devices."""
    return [way for way in found.bypasses if way.netns == inode(netns)]


@contextlib.contextmanager
def held(netns, way, argument=""):
    """Yields the pid of a :func:`holder`."""
    with holder(netns, way, *filter(None, (argument,))) as process:
        yield process.pid


@contextlib.contextmanager
def holder(netns, way, *arguments):
    """Runs tests/bypasser.py; yields its process. Skips where this kernel has no such thing."""
    argv = [sys.executable, str(BYPASSER), way, *arguments]
    process = subprocess.Popen(
        [*(("ip", "netns", "exec", netns) if netns else ()), *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        said = process.stdout.readline()
        if said != "ready\n":
            assert said.startswith("[Errno") or "rotocol" in said, said
            pytest.skip(f"this kernel has no {way}: {said}")
        yield process
    finally:
        process.communicate(timeout=DEADLINE)


def run(netns, command):
    """Runs a shell command in the namespace; skips where this kernel has no such thing."""
    done = subprocess.run(
        ["ip", "netns", "exec", netns, "sh", "-ec", command], check=False, capture_output=True,
        text=True, timeout=DEADLINE,
    )  # fmt: skip
    if done.returncode and any(word in done.stderr for word in LACKS):
        pytest.skip(f"this kernel has no such thing: {command}: {done.stderr}")
    assert done.returncode == 0, (command, done.stderr)


def test_nothing_is_found_where_nothing_is(namespaces):
    for netns in (namespaces.near, namespaces.far):
        found = find(netns)
        assert only(found, netns) == []
        assert not [text for text in found.unreadable if netns in text]


@pytest.mark.parametrize(("way", "argument", "kind", "sentence"), HELD, ids=lambda one: one[:10])
def test_what_a_process_holds(namespaces, way, argument, kind, sentence):
    if way == "ping":
        run(namespaces.near, "echo 0 0 > /proc/sys/net/ipv4/ping_group_range")
    with held(namespaces.near, way, argument) as pid:
        found = [one for one in find(namespaces.near).bypasses
                 if one.owners and pid in [owner.pid for owner in one.owners]]  # fmt: skip
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        there = f" in network namespace {namespaces.near}"
        said = sentence.format(there=there, me=f"{name} (pid {pid})")
        assert [(one.kind, one.sentence) for one in found] == [(kind, said)]
        assert found[0].concerns is None
        assert found[0].seen is is_seen(kind, "tracepoint")
        assert found[0].is_open == (found[0].seen is not True)
    assert not [one for one in find(namespaces.near).bypasses
                if one.owners and pid in [owner.pid for owner in one.owners]]  # fmt: skip


def test_a_program_that_stays_without_its_process(namespaces):
    with held(namespaces.near, "tc_bpf", "near"):
        pass
    (found,) = only(find(namespaces.near), namespaces.near)
    assert (found.kind, found.what, found.owners) == ("tc_program", "tc program past on near", None)
    assert found.sentence.endswith("(whose is not known)")


def test_who_reads_a_netfilter_queue(namespaces):
    with held(namespaces.near, "queue", "3") as pid, entered(namespaces.near):
        here = Here(0, [], Machine(open_files.find()))
        assert [one.pid for one in rules._queue_readers(here, 3)] == [pid]
        assert rules._queue_readers(here, 4) is None


def test_a_table_of_iptables(namespaces):
    """Asking for it makes it, without rules: after the chains' policies, its end is an error."""
    with entered(namespaces.near):
        assert iptables.targets() == []
        for name, version in iptables.VERSIONS.items():
            try:
                entries = iptables._entries(version, b"filter")
            except OSError as error:
                pytest.skip(f"this kernel has no old iptables: {error}")
            assert list(iptables.decode(version, entries)) == ["ERROR"]
            assert (name, "filter", "ERROR") in iptables.targets()
    assert only(find(namespaces.near), namespaces.near) == []


def test_a_socket_in_the_table_of_a_thread(namespaces):
    with held(namespaces.near, "thread") as pid:
        (found,) = only(find(namespaces.near), namespaces.near)
    assert [one.pid for one in found.owners] == [pid]
    assert found.what in ("packet socket with QDISC_BYPASS", sockets._NOT_KNOWN)


def test_what_came_and_went(namespaces):
    with held(namespaces.near, "packet") as pid:
        first = only(find(namespaces.near), namespaces.near)
        with held(namespaces.near, "packet") as other:
            both = only(find(namespaces.near), namespaces.near)
    assert [one.owners[0].pid for one in first] == [pid]
    assert {one.owners[0].pid for one in both} == {pid, other}
    assert diff(first, both).came == [one for one in both if one.owners[0].pid == other]
    assert diff(first, both).went == []
    assert diff(both, first).went == diff(first, both).came


def add_macvtap(near, folder):
    """Returns the path of its device, which is made here, since devtmpfs may be another's."""
    add_link(near, "mvt", "link", "near", "type", "macvtap", "mode", "bridge")
    shown = ["ip", "netns", "exec", near, "sh", "-c", "cat /sys/class/net/mvt/tap*/dev"]
    number = subprocess.check_output(shown, text=True, timeout=DEADLINE).strip()
    major, minor = map(int, number.split(":"))
    path = folder / "tap7"
    os.mknod(path, 0o600 | 0o020000, os.makedev(major, minor))
    return path


def test_macvtap(namespaces, tmp_path):
    path = add_macvtap(namespaces.near, tmp_path)
    with held(namespaces.near, "opened", str(path)) as pid:
        (found,) = [one for one in find(namespaces.near).bypasses if one.kind == "macvtap"]
        assert found.what == str(path)
        assert [owner.pid for owner in found.owners] == [pid]
        assert "holds" in found.sentence


@contextlib.contextmanager
def new_cgroup():
    """Yields its folder."""
    root = next(line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()
                if line.split()[2] == "cgroup2")  # fmt: skip
    folder = Path(root, f"swbypass{os.getpid()}")
    folder.mkdir()
    try:
        yield folder
    finally:
        wait_for(lambda: not (folder / "cgroup.procs").read_text())
        folder.rmdir()


def test_a_cgroup_program(namespaces):
    # ip netns exec hides the cgroups
    with new_cgroup() as folder, held(None, "connect4", str(folder)) as pid:
        (found,) = [one for one in find(namespaces.near).bypasses
                    if one.kind == "cgroup_program"]  # fmt: skip
        assert found.what == f"connect4 program past on cgroup /{folder.name}"
        assert [owner.pid for owner in found.owners] == [pid]


def test_a_program_of_ours_is_no_way(namespaces):
    descriptor = syscall.prog_load(syscall.Program("ours", syscall.DO_NOTHING, 6, attach_type=37))
    try:
        with entered(namespaces.near):
            link = bypasser.link(descriptor, bypasser.socket.if_nametoindex("near"), 37, 2)
        assert only(find(namespaces.near), namespaces.near) == []
        os.close(link)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(("command", "kind", "what", "concerns"), MADE)
def test_what_is_made_by_a_command(namespaces, command, kind, what, concerns):
    run(namespaces.near, command)
    found = [one for one in only(find(namespaces.near), namespaces.near) if one.kind == kind]
    assert [(one.what, one.concerns, one.owners) for one in found] == [
        (what, concerns, None if kind == "queue" else ())
    ]


def test_another_namespace_is_not_asked_for(namespaces):
    filters = DST._replace(netns=frozenset({inode(namespaces.far)}))
    with held(namespaces.near, "packet"):
        found = only(find(namespaces.near, filters), namespaces.near)
    assert [one.concerns for one in found] == [False]


AS_NOBODY = """
import os
from tests.native.test_bypasses import DST, search
from tracer.host.netns import own
os.setuid(65534)
print(*search.find(DST, {own(): None}, "fexit").unreadable, sep="\\n")
"""


def test_what_may_not_be_looked_into_is_said(namespaces):
    """As nobody: neither others' descriptors nor programs nor rules."""
    argv = ["ip", "netns", "exec", namespaces.near, sys.executable, "-c", AS_NOBODY]
    said = subprocess.check_output(argv, text=True, timeout=DEADLINE)
    for words in (
        "has open: run it as root",
        "BPF programs",
        "rules of nftables",
        "run it as root",
    ):
        assert words in said
