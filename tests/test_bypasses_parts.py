# SPDX-License-Identifier: Apache-2.0
"""What the kernel says of ways past the hooks that not every kernel can make: in its own layout."""

import os
import socket
import struct
from ipaddress import ip_address, ip_network
from types import SimpleNamespace

import pytest
from pyroute2.netlink.generic.wireguard import wgmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from tracer.host import open_files
from tracer.host.mounts import Mount
from tracer.host.netlink import encap, iptables, links, nftables, packet_diag, tc, xfrm
from tracer.host.netlink.messages import attribute
from tracer.host.open_files import Device, OpenFile, OpenFiles
from tracer.inventory.bypasses import devices, here, kernel_clients, rules, search, sockets
from tracer.inventory.bypasses import links as of_links
from tracer.inventory.bypasses.here import Machine
from tracer.model.process import Holder

U32 = struct.Struct("=I")
FIVE, NINE, SIX = ip_address("10.0.0.5"), ip_address("10.0.0.9"), ip_address("fd00::5")

RAW = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode \
ref pointer drops
   1: 00000000:0001 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 \
0000000000000000 0
 255: 00000000:00FF 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 \
0000000000000000 0
"""
PROTOCOLS = """\
protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re bi
SCTP      1600      2      12   no       0   yes  sctp        y  y  y  y  y  y  y  y  y  y  y  y  y
XDP       1088      1      -1   NI       0   no   kernel      n  n  n  n  n  n  n  n  n  n  n  n  n
TIPC       704     -1      -1   NI       0   yes  tipc        n  n  n  n  n  n  n  n  n  n  n  n  n
"""
PACKET = """\
sk               RefCnt Type Proto  Iface R Rmem   User   Inode
0000000000000000 3      3    0003   2     1 0      0      18442
"""
IP_VS = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A000009:0050 rr{}
  -> 0A000005:0050      Masq    1      0          0
TCP  [fd00:0000:0000:0000:0000:0000:0000:0005]:0050 rr
"""
QUEUES = """\
    3   1234     0 2 65531     0     0        0  1
"""
NETLINK = """\
sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode
0000000000000000 0   1234       00000000 0        0        0     2        0        7
0000000000000000 12  1234       00000000 0        0        0     2        0        8
0000000000000000 12  0          00000000 0        0        0     2        0        9
"""


def test_raw_sockets():
    assert list(sockets.parse(RAW)) == [(1, 4711), (255, 4712)]
    assert list(sockets.parse("")) == []


def test_counts_of_sockets():
    assert sockets.counted(PROTOCOLS) == {"SCTP": 2, "XDP": 1, "TIPC": -1}


def held(family, protocol, netns, pid):
    return here.Held(family, protocol, netns, OpenFile(pid, 3, pid))


@pytest.fixture
def at(monkeypatch):
    """A namespace that has PROTOCOLS, and what processes hold there."""
    monkeypatch.setattr(sockets, "read", lambda _: PROTOCOLS)
    monkeypatch.setattr(here.exe_view, "holder", lambda pid: Holder(pid, "one", None))

    def make(*found):
        machine = Machine(OpenFiles({}, [], [], [], {}))
        machine.sockets = list(found)
        return here.Here(7, [], machine)

    return make


def test_sockets_that_nothing_lists(at):
    """SCTP has a socket of the kernel's own in each namespace; TIPC does not count its own."""
    ways = list(sockets.other_sockets(at(held(2, 132, 7, 5), held(44, 0, 8, 6), held(30, 0, 7, 9))))
    assert [(way.kind, way.what, way.owners and way.owners[0].pid) for way in ways] == [
        ("af_xdp", "1 AF_XDP socket", None),  # that of another namespace is not meant
        ("tipc", "TIPC socket", 9),
        ("sctp", "SCTP socket", 5),
    ]


def test_sockets_whose_holders_are_not_found(at):
    kinds = {way.kind: way.owners for way in sockets.other_sockets(at())}
    assert kinds == {"sctp": None, "af_xdp": None}


def test_sockets_are_not_asked_where_the_kernel_counts_none(at, monkeypatch):
    """A namespace has a socket of SCTP for the kernel's own use."""
    text = "protocol\nSCTP 1600 1\nXDP 1088 0\n"
    monkeypatch.setattr(sockets, "read", lambda _: text)
    place = at()
    del place.machine.sockets
    monkeypatch.setattr(here.socket_copy, "copied", None)
    place.machine.opened.sockets[7] = [OpenFile(1, 3, 1)]
    assert list(sockets.other_sockets(place)) == []


def test_packet_sockets_without_sock_diag():
    assert list(packet_diag.parse(PACKET)) == [(18442, None)]


@pytest.mark.parametrize(("mark", "only"), [("", True), ("\nFWM  00000001 rr ", False)])
def test_ipvs(monkeypatch, mark, only):
    text = IP_VS.format(mark)
    assert rules.ipvs_ends(text) == (NINE, FIVE, SIX)
    monkeypatch.setattr(rules, "read", lambda _: text)
    (way,) = rules.ipvs(here.Here(7, [], None))
    assert (way.what, way.only) == ("IPVS with 10.0.0.9, 10.0.0.5, fd00::5", only)


def test_ipvs_without_services(monkeypatch):
    monkeypatch.setattr(rules, "read", lambda _: "".join(IP_VS.splitlines(keepends=True)[:3]))
    assert list(rules.ipvs(here.Here(7, [], None))) == []


def test_readers_of_queues():
    assert rules.queue_ports(QUEUES) == {3: 1234}
    assert rules.netlink_sockets(NETLINK) == {1234: 8}


def expression(name, *data):
    body = attribute(1, name.encode() + b"\0") + attribute(2, b"".join(data))
    return attribute(1, body)


def rule(*expressions):
    named = attribute(1, b"t\0") + attribute(2, b"c\0")
    return struct.pack("=BBH", 2, 0, 0) + named + attribute(4, b"".join(expressions))


@pytest.mark.parametrize(
    ("expressions", "deeds"),
    [
        ((expression("payload"), expression("immediate"), expression("nat")), [("nat", None)]),
        ((expression("queue", attribute(1, (3).to_bytes(2))),), [("queue", 3)]),
        ((expression("queue", attribute(4, b"\0\0\0\1")),), [("queue", None)]),  # from a register
        ((expression("target", attribute(1, b"TEE\0")),), [("dup", None)]),
        ((expression("target", attribute(1, b"LOG\0")), expression("counter")), []),
        ((), []),
    ],
)
def test_rules_of_nftables(expressions, deeds):
    found = list(nftables.decode(rule(*expressions)))
    assert [(one.deed, one.queue) for one in found] == deeds
    assert all((one.family, one.table, one.chain) == ("ip", "t", "c") for one in found)


def entry(version, match, target):
    """struct ipt_entry or ip6t_entry, then a struct xt_entry_target."""
    header = bytearray(match)
    size = match + 32
    struct.pack_into("=HH", header, version.offsets, match, size)
    return bytes(header) + struct.pack("=H29sB", 32, target, 0)


@pytest.mark.parametrize(("name", "match"), [("ip", 112), ("ip6", 168)])
def test_targets_of_iptables(name, match):
    version = iptables.VERSIONS[name]
    entries = b"".join(entry(version, match, one) for one in (b"", b"DNAT", b"NFQUEUE", b"ERROR"))
    assert list(iptables.decode(version, entries)) == ["DNAT", "NFQUEUE", "ERROR"]
    assert list(iptables.decode(version, b"")) == []


def mirred(to):
    parms = struct.pack("=IIiiiiI", 1, 0, 4, 1, 1, 1, to)  # struct tc_mirred
    return attribute(1, b"mirred\0") + attribute(2, attribute(2, parms))


@pytest.mark.parametrize(
    ("kind", "number"), [(b"flower", 3), (b"matchall", 2), (b"u32", 7), (b"basic", 3)]
)
def test_actions_of_any_filter(kind, number):
    actions = attribute(number, attribute(1, mirred(9)) + attribute(2, action(b"pedit")))
    raw = attribute(1, kind + b"\0") + attribute(2, attribute(8, b"\1\2\3\4") + actions)
    found = [(deed.action, deed.to) for deed in tc.decode(5, raw, ingress=False)]
    assert found == [("mirred", 9), ("pedit", 0)]


def action(kind):
    return attribute(1, kind + b"\0") + attribute(2, attribute(2, bytes(20)))


def test_actions_that_leave_a_packet_alone():
    actions = attribute(2, attribute(1, action(b"gact")))
    raw = attribute(1, b"matchall\0") + attribute(2, actions)
    assert list(tc.decode(5, raw, ingress=False)) == []


def test_programs_of_tc():
    ebpf = attribute(1, b"bpf\0") + attribute(
        2, attribute(7, b"past\0") + attribute(11, U32.pack(4))
    )
    classic = attribute(1, b"bpf\0") + attribute(2, attribute(4, b"\1\0") + attribute(5, bytes(8)))
    assert [deed.program for deed in tc.decode(5, ebpf, ingress=True)] == [4]
    assert list(tc.decode(5, classic, ingress=True)) == []


def policy(family, to, bits, direction, *templates):
    selector = struct.pack("=16s16x8xHBB12x", to, family, bits, 0)
    body = selector + bytes(64 + 32 + 8) + struct.pack("=BBBB4x", direction, 0, 0, 0)
    return body + (attribute(5, b"".join(templates)) if templates else b"")


def template(family, to, mode):
    return struct.pack("=16sIB3xH2x16xIB15x", to, 0, 50, family, 0, mode)


@pytest.mark.parametrize(("direction", "count"), [(0, 0), (1, 1), (2, 1)])
def test_ipsec_policies(direction, count):
    tunnel = template(socket.AF_INET6, SIX.packed, 1)
    message = policy(socket.AF_INET, FIVE.packed, 24, direction, tunnel)
    expected = xfrm.Policy(ip_network("10.0.0.0/24"), (SIX,))
    assert list(xfrm.decode(message)) == [expected] * count


def test_ipsec_policies_without_tunnels():
    assert list(xfrm.decode(policy(socket.AF_INET6, SIX.packed, 64, 1))) == []
    transport = template(socket.AF_INET, bytes(4), 0)
    (found,) = xfrm.decode(policy(socket.AF_INET6, SIX.packed, 64, 1, transport))
    assert found == (ip_network("fd00::/64"), ())


def route(*attributes, bits=24, family=socket.AF_INET):
    return struct.pack("=BBBBBBBBI", family, bits, 0, 0, 0, 0, 0, 0, 0) + b"".join(attributes)


def wrap(number, raw):
    return attribute(21, struct.pack("=H", number)) + attribute(22, raw)


@pytest.mark.parametrize(
    ("number", "raw", "kind", "ends"),
    [
        (1, attribute(1, bytes(4)), "mpls", ()),
        (2, attribute(2, FIVE.packed), "ip", (FIVE,)),
        (2, attribute(1, bytes(8)), "ip", None),
        (4, attribute(2, SIX.packed), "ip6", (SIX,)),
        (5, attribute(1, bytes(12) + SIX.packed + ip_address("fd00::9").packed), "seg6",
         (SIX, ip_address("fd00::9"))),
        (6, b"", "bpf", None),
        (99, b"", "99", None),
    ],
)  # fmt: skip
def test_routes_that_wrap(number, raw, kind, ends):
    to = attribute(1, ip_address("10.7.0.0").packed)
    assert list(encap.of_route(route(to, wrap(number, raw)))) == [
        (kind, ip_network("10.7.0.0/24"), ends)
    ]


def test_routes_of_many_nexthops():
    hops = [struct.pack("=HBBi", 8 + len(raw), 0, 0, 2) + raw
            for raw in (b"", wrap(1, b""), wrap(2, attribute(2, FIVE.packed)))]  # fmt: skip
    found = list(encap.of_route(route(attribute(9, b"".join(hops)), bits=0)))
    assert found == [
        ("mpls", ip_network("0.0.0.0/0"), ()),
        ("ip", ip_network("0.0.0.0/0"), (FIVE,)),
    ]
    assert list(encap.of_route(route(bits=0, family=socket.AF_INET6))) == []


def test_nexthops_that_wrap():
    body = struct.pack("=BBBBI", 0, 0, 0, 0, 0)
    raw = attribute(7, struct.pack("=H", 2)) + attribute(8, attribute(2, FIVE.packed))
    assert list(encap.of_nexthop(body + raw)) == [("ip", None, (FIVE,))]
    assert list(encap.of_nexthop(body + attribute(1, U32.pack(7)))) == []


def link(*attributes):
    body = struct.pack("=BxHiII", 0, 1, 5, 0, 0) + b"".join((attribute(3, b"x\0"), *attributes))
    message = ifinfmsg(struct.pack("=IHHII", 16 + len(body), 16, 0, 0, 0) + body)
    message.decode()
    return links._link(message)


def info(kind, *data):
    return attribute(18, attribute(1, kind.encode() + b"\0") + attribute(2, b"".join(data)))


# the numbers of the attributes: include/uapi/linux/if_link.h, if_tunnel.h
@pytest.mark.parametrize(
    ("kind", "data", "remotes"),
    [
        ("vxlan", (attribute(2, FIVE.packed),), (FIVE,)),
        ("vxlan", (attribute(16, SIX.packed),), (SIX,)),
        ("vxlan", (attribute(25, b"\1"),), None),
        ("geneve", (attribute(2, FIVE.packed),), (FIVE,)),
        ("geneve", (attribute(2, bytes(4)),), None),
        ("geneve", (attribute(7, SIX.packed),), (SIX,)),
        ("gre", (attribute(7, FIVE.packed),), (FIVE,)),
        ("gretap", (attribute(7, FIVE.packed),), (FIVE,)),
        ("gre", (attribute(7, bytes(4)),), None),
        ("ip6gre", (attribute(7, SIX.packed),), (SIX,)),
        ("ipip", (attribute(3, FIVE.packed),), (FIVE,)),
        ("sit", (attribute(3, FIVE.packed),), (FIVE,)),
        ("ip6tnl", (attribute(3, SIX.packed),), (SIX,)),
        ("erspan", (attribute(7, FIVE.packed),), None),  # pyroute2 does not know it
        ("vlan", (), None),
    ],
)
def test_ends_of_tunnels(kind, data, remotes):
    found = link(info(kind, *data))
    assert (found.ifindex, found.name, found.kind, found.remotes) == (5, "x", kind, remotes)


def test_devices_without_a_kind():
    assert link(attribute(10, U32.pack(9))) == (5, "x", None, 9, (), None)


def test_programs_of_devices():
    xdp = attribute(
        43, attribute(2, b"\2") + attribute(4, U32.pack(77)) + attribute(6, U32.pack(77))
    )
    assert link(xdp).xdp == (77,)
    assert link(attribute(43, attribute(2, b"\0"))).xdp == ()


def test_wireguard_peers():
    four = struct.pack("=H2s4s8x", socket.AF_INET, (51820).to_bytes(2), FIVE.packed)
    six = struct.pack("=H2sI16sI", socket.AF_INET6, (51820).to_bytes(2), 0, SIX.packed, 0)
    peers = [attribute(number, attribute(1, bytes(32)) + (attribute(4, end) if end else b""))
             for number, end in enumerate((four, six, b"", four))]  # fmt: skip
    body = struct.pack("=BBH", 0, 1, 0) + attribute(2, b"wg\0") + attribute(8, b"".join(peers))
    message = wgmsg(struct.pack("=IHHII", 16 + len(body), 30, 0, 0, 0) + body)
    message.decode()
    assert links.endpoints([message]) == (FIVE, SIX)


def tunnels(*found):
    return [
        (way.kind, way.what, way.to, way.only)
        for way in of_links.tunnels(here.Here(7, found, None))
    ]


def test_tunnels():
    vxlan = links.Link(5, "vx", "vxlan", remotes=(FIVE,))
    gre = links.Link(6, "gr", "gre", remotes=None)
    assert tunnels(vxlan, gre, links.Link(7, "eth0")) == [
        ("udp_tunnel", "vxlan vx to 10.0.0.5", (ip_network("10.0.0.5"),), False),
        ("tunnel", "gre gr to ends that are not known", None, True),
    ]


def test_bridges():
    ports = [links.Link(number, f"p{number}", "veth", master=1) for number in (2, 3)]
    bridge, bond = links.Link(1, "br", "bridge"), links.Link(1, "bond", "bond")
    names = [way.what for way in of_links.bridges(here.Here(7, [bridge, *ports], None))]
    assert names == ["bridge br with 2 ports"]
    for others in ([bridge, ports[0]], [bond, *ports], [bridge]):
        assert list(of_links.bridges(here.Here(7, others, None))) == []


def test_pktgen(monkeypatch, tmp_path):
    monkeypatch.setattr(of_links, "_PKTGEN", str(tmp_path))
    for name in ("pgctrl", "kpktgend_0", "kpktgend_1", "eth0"):
        (tmp_path / name).touch()
    ways = list(of_links.packet_generators(here.Here(7, [], None)))
    assert [way.what for way in ways] == ["pktgen on eth0"]
    monkeypatch.setattr(of_links, "_PKTGEN", str(tmp_path / "none"))
    assert list(of_links.packet_generators(here.Here(7, [], None))) == []


@pytest.mark.parametrize(
    ("kind", "options", "source", "to", "only"),
    [
        ("nfs", "rw,vers=3,addr=10.0.0.5,mountaddr=10.0.0.5", "10.0.0.5:/x", FIVE, True),
        ("nfs4", "rw,vers=4.2,clientaddr=10.0.0.1,addr=10.0.0.5", "server:/x", FIVE, False),
        ("nfs4", "rw,vers=4.0,clientaddr=10.0.0.1,addr=fd00::5", "server:/x", SIX, True),
        ("cifs", "rw,vers=3.1.1,addr=10.0.0.5,multichannel", "//server/x", FIVE, False),
        ("cifs", "rw,vers=3.1.1,addr=fe80::5%eth0", "//server/x", ip_address("fe80::5"), True),
        ("ceph", "rw,name=admin,secret=<hidden>", "10.0.0.5:6789:/", None, True),
        ("9p", "rw,trans=tcp,port=564", "10.0.0.5", None, True),
        ("lustre", "rw", "10.0.0.5@tcp:/x", None, True),
    ],
)
def test_file_systems_on_servers(kind, options, source, to, only):
    (way,) = kernel_clients.of_mount(Mount("0:9", kind, "/", "/mnt", source, options))
    assert (way.kind, way.what) == ("kernel_client", f"{kind} of {source} on /mnt")
    assert (way.to, way.only) == (None if to is None else (ip_network(to),), only)


def test_file_systems_of_a_guest():
    assert (
        list(kernel_clients.of_mount(Mount("0:9", "9p", "/", "/m", "x", "rw,trans=virtio"))) == []
    )


def write(root, **files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def root(monkeypatch, tmp_path):
    """A /sys of our own."""
    for module in (kernel_clients, devices):
        monkeypatch.setattr(
            module, "entries", lambda folder: here.entries(str(tmp_path / folder.strip("/")))
        )
    return tmp_path


def test_block_devices_on_servers(root):
    pid = os.getpid()
    write(root, **{
        "sys/class/iscsi_connection/connection1:0/address": "10.0.0.5\n",
        "sys/class/nvme/nvme0/transport": "pcie\n",
        "sys/class/nvme/nvme1/transport": "tcp\n",
        "sys/class/nvme/nvme1/address": "traddr=10.0.0.5,trsvcid=4420,src_addr=10.0.0.1\n",
        "sys/block/nbd0/size": "0\n",
        "sys/block/nbd1/pid": f"{pid}\n",
        "sys/block/drbd0/size": "0\n",
        "sys/block/sda/size": "0\n",
        "sys/bus/rbd/devices/0/name": "x\n",
    })  # fmt: skip
    five = (ip_network("10.0.0.5"),)
    machine = Machine(OpenFiles({}, [], [], [], {}))
    looks = (kernel_clients.iscsi, kernel_clients.nvme, kernel_clients.block_devices)
    ways = [way for look in looks for way in look(machine)]
    assert [(way.what, way.to, [one.pid for one in way.owners]) for way in ways] == [
        ("iSCSI connection1:0 to 10.0.0.5", five, []),
        ("nvme-tcp nvme1 to 10.0.0.5", five, []),
        ("drbd drbd0", None, []),
        ("nbd nbd1", None, [pid]),
        ("rbd0", None, []),
    ]


def test_netconsole(root, monkeypatch):
    monkeypatch.setattr(kernel_clients, "_may_have_targets", lambda: True)
    (way,) = kernel_clients.netconsole(None)
    assert (way.kind, way.to) == ("netconsole", None)
    folder = "sys/kernel/config/netconsole"
    write(root, **{f"{folder}/one/enabled": "1\n", f"{folder}/one/remote_ip": "10.0.0.5\n"})
    write(root, **{f"{folder}/two/enabled": "0\n", f"{folder}/two/remote_ip": "10.0.0.9\n"})
    (way,) = kernel_clients.netconsole(None)
    assert (way.what, way.to) == ("netconsole one to 10.0.0.5", (ip_network("10.0.0.5"),))


def test_virtual_functions(root):
    folder = "sys/bus/pci/devices"
    write(root, **{f"{folder}/0000:3b:00.0/sriov_numvfs": "4\n",
                   f"{folder}/0000:3b:00.0/class": "0x020000\n",
                   f"{folder}/0000:3c:00.0/sriov_numvfs": "0\n",
                   f"{folder}/0000:3c:00.0/class": "0x020000\n",
                   f"{folder}/0000:3d:00.0/sriov_numvfs": "4\n",
                   f"{folder}/0000:3d:00.0/class": "0x010802\n"})  # fmt: skip
    (way,) = devices.virtual_functions(None)
    assert (way.what, way.owners) == ("virtual functions of 0000:3b:00.0: 4", None)


def test_devices_that_processes_hold(root, monkeypatch):
    monkeypatch.setattr(devices, "_GROUPS", root / "groups")
    monkeypatch.setattr(here.exe_view, "holder", lambda pid: Holder(pid, "qemu", None))
    groups = str(root / "groups").strip("/")
    write(root, **{f"{groups}/12/devices/0000:01:00.0/class": "0x030000\n",
                   f"{groups}/13/devices/0000:02:00.0/class": "0x030000\n",
                   f"{groups}/13/devices/0000:02:00.1/class": "0x020000\n"})  # fmt: skip
    opened = [
        Device(driver, path, OpenFile(pid, 3, pid))
        for driver, path, pid in (
            ("vhost-net", "/dev/vhost-net", 5), ("vhost-net", "/dev/vhost-net", 6),
            ("vhost-vdpa", "/dev/vhost-vdpa-0", 6),
            ("macvtap", "/dev/tap5", 5), ("vfio", "/dev/vfio/vfio", 5), ("vfio", "/dev/vfio/12", 5),
            ("vfio", "/dev/vfio/13", 5), ("vfio", "/dev/vfio/14", 5), ("uio", "/dev/uio0", 7),
            ("infiniband_verbs", "/dev/infiniband/uverbs0", 8), ("rfkill", "/dev/rfkill", 8),
        )
    ]  # fmt: skip
    ways = devices.held_devices(Machine(OpenFiles({}, opened, [], [], {})))
    assert [(way.kind, way.what, [one.pid for one in way.owners]) for way in ways] == [
        ("vhost_net", "/dev/vhost-net", [5, 6]),
        ("vhost_net", "/dev/vhost-vdpa-0", [6]),
        ("macvtap", "/dev/tap5", [5]),
        ("vfio", "/dev/vfio/13", [5]),
        ("vfio", "/dev/vfio/14", [5]),  # what is in it is not known
        ("uio", "/dev/uio0", [7]),
        ("rdma", "/dev/infiniband/uverbs0", [8]),
    ]


def test_drivers():
    numbers = {name: number for number, name in open_files._drivers().items()}
    assert numbers["mem"] == (1, None)
    text = "Character devices:\n  1 mem\n246 macvtap\n"
    assert list(open_files._rows(text)) == [(1, "mem"), (246, "macvtap")]


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/dev/net/tun", True), ("/container/tun (deleted)", True), ("/x/tap7", True),
     ("/home/dev/x", False), ("/srv/tuna", False), ("socket:[7]", False)],
)  # fmt: skip
def test_what_is_looked_at(path, expected):
    assert bool(open_files._DEVICE.match(path)) is expected


def test_what_we_have_open():
    with socket.socket() as sock, open("/dev/null") as null:
        found = open_files.find()
        pids = {file.pid for file in found.sockets[os.fstat(sock.fileno()).st_ino]}
        mine = [(device.driver, device.path) for device in found.devices
                if (device.by.pid, device.by.fd) == (os.getpid(), null.fileno())]  # fmt: skip
    assert os.getpid() in pids
    assert mine == [("mem", "/dev/null")]


def test_a_line_of_fdinfo(tmp_path):
    file = OpenFile(os.getpid(), os.open(tmp_path, os.O_RDONLY), os.getpid())
    try:
        assert file.fdinfo("pos") == "0"
        assert file.fdinfo("iff") is None
    finally:
        os.close(file.fd)
    assert file.fdinfo("pos") is None


def refused(_):
    yield "first"
    raise PermissionError(1, "Operation not permitted")


GONE = 2**30  # a pid that nobody has


def test_what_cannot_be_looked_into_is_said():
    said = []
    assert list(search._tried(refused, None, "packet sockets", said)) == ["first"]
    assert said == ["packet sockets: Operation not permitted"]
    machine = SimpleNamespace(opened=OpenFiles({}, [], [], [GONE, GONE, GONE, GONE], {}), refused=2)
    counted, sockets_refused = search._processes(machine)
    process = f"? (pid {GONE})"
    assert counted.startswith(f"what {process}, {process}, {process} or one of 1 more has open")
    assert sockets_refused.startswith("2 sockets")
