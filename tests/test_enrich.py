# SPDX-License-Identifier: Apache-2.0
"""What is looked up of a flow, where netlink and /proc are made up."""

import contextlib
from ipaddress import ip_address

import pytest

from tests import samples
from tests.samples import SOCKET, flow_record, process
from tracer.host.fd_holders import Holders
from tracer.host.netns import Namespaces
from tracer.model.address import IPV4_MAPPED
from tracer.model.flow import Bound, EventKind, NatEnd, Route, RouteKey, Via
from tracer.model.process import Holder
from tracer.trace import enrich, origin
from tracer.trace.enrich import Enricher

OWN = 4026531833
ENDS = {
    "saddr": IPV4_MAPPED + ip_address("10.0.0.1").packed, "sport": 40001,
    "daddr": IPV4_MAPPED + ip_address("10.0.0.5").packed, "dport": 53, "netns": OWN,
}  # fmt: skip
NO_KEY = RouteKey(0, 0, 0, Bound(0))
ROUTE = Route("eth0", None, ip_address("10.0.0.99"))


class Machine:
    """What the kernel would say, and what it was asked."""

    def __init__(self, monkeypatch):
        self.now = 100
        self.scan_takes = 5
        self.socket = SOCKET
        self.of_port = []
        self.peers = {53, 5353}  # ports by which the socket is found
        self.holders = Holders({77: (9, 3)}, 0)
        self.route = ROUTE
        self.asked = []
        for module, name, told in (
            (enrich, "boot_now", lambda: self.now),
            (enrich.netns, "own", lambda: OWN),
            (enrich.netns, "interface", lambda index: f"dev{index}" if index else None),
            (enrich.netns, "path_of", lambda inode, pid: f"/proc/{pid}/ns/net:{inode}"),
            (enrich.netns, "inside", self._inside),
            (enrich.sock_diag, "connect", lambda: contextlib.nullcontext("diag")),
            (enrich.sock_diag, "find", self._find),
            (enrich.sock_diag, "dump", lambda *_, **more: self._ask(("dump", more), self.of_port)),
            (enrich.details, "cgroup_id", lambda _: 55),
            (enrich.details, "mark", lambda raw: len(raw) or None),
            (enrich.cgroup, "path", lambda number: f"/cgroup{number}"),
            (enrich.routes, "get", self._route),
            (enrich.exe_view, "holder", lambda pid: Holder(pid, f"comm{pid}", None)),
            (enrich.fd_holders, "find", self._scan),
            (enrich.acceptor, "find", self._acceptor),
            (origin.netns, "all_namespaces", lambda: Namespaces({7: "/proc/8/ns/net"}, 0)),
        ):
            monkeypatch.setattr(module, name, told)

    def _ask(self, question, answer):
        self.asked.append(question)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @contextlib.contextmanager
    def _inside(self, path, inode):
        self._ask(("inside", path, inode), None)
        yield

    def _find(self, _diag, proto, source, destination, ifindex, cookie, netns):
        asked = ("find", proto, source[1], destination[1], ifindex, cookie, netns)
        return self._ask(asked, self.socket if destination[1] in self.peers else None)

    def _route(self, proto, src, dst, key):
        return self._ask(("route", proto, str(src), str(dst), key), self.route)

    def _acceptor(self, _diag, flow, accepted, held, process_of, time):
        self._ask(("acceptor", flow.src.port, accepted and accepted.inode, time), None)
        return process_of(held.by_inode[77][0])

    def _scan(self):
        self.now += self.scan_takes
        return self._ask("scan", self.holders)


class Processes:
    def of(self, fields):
        return process(pid=fields.pid) if fields.pid else None

    def now(self, pid):
        return process(pid=pid, tid=pid)


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch)


@pytest.fixture
def enricher(machine):
    assert machine
    return Enricher(Processes())


def record(**changes):
    return flow_record(**{**ENDS, "cookie": 18, "pid": 9, **changes})


def test_all_that_can_be_found_out(machine, enricher):
    flow = enricher.flow(record(), 50)
    assert flow.details == (77, "ESTAB", 1000, "/cgroup55", None)
    assert (flow.route, flow.holders, flow.process.pid) == (ROUTE, None, 9)
    assert machine.asked == [
        ("find", "udp", 40001, 53, 0, 18, OWN),
        "scan",
        ("route", "udp", "10.0.0.1:40001", "10.0.0.5:53", NO_KEY),
    ]


def test_in_its_network_namespace(machine, enricher):
    enricher.flow(record(netns=7), 50)
    assert machine.asked[0] == ("inside", "/proc/9/ns/net:7", 7)
    assert machine.asked[1] == ("find", "udp", 40001, 53, 0, 18, 7)


def test_a_namespace_that_is_gone(machine, enricher, monkeypatch):
    def path_of(*_):
        raise FileNotFoundError

    monkeypatch.setattr(enrich.netns, "path_of", path_of)
    flow = enricher.flow(record(netns=7), 50)
    assert (flow.details, flow.route, machine.asked) == (None, None, [])


@pytest.mark.parametrize("via", [Via.PACKET, Via.KERNEL])
def test_what_has_no_socket_of_a_process(machine, enricher, via):
    flow = enricher.flow(record(via=via), 50)
    assert (flow.details, machine.asked) == (None, [])


def test_lookups_that_are_skipped(machine, enricher):
    enricher.skip_lookups = True
    flow = enricher.flow(record(), 50)
    assert (flow.details, flow.route, machine.asked) == (None, None, [])


@pytest.mark.parametrize("kind", [EventKind.CLOSE, EventKind.CONNECT_FAILED])
def test_a_socket_that_is_gone_by_then(machine, enricher, kind):
    flow = enricher.flow(record(kind=kind, proto=6), 50)
    assert flow.details is None
    assert [question[:2] for question in machine.asked] == [("route", "tcp")]


@pytest.mark.parametrize("changes", [{"sport": 0}, {"proto": 136}])
def test_a_socket_that_cannot_be_asked_for(machine, enricher, changes):
    assert enricher.flow(record(**changes), 50).details is None
    assert [question[0] for question in machine.asked] == ["route"]


def test_several_holders(machine, enricher):
    machine.holders = Holders({77: (9, 3, 12, 4)}, 0)
    assert enricher.flow(record(), 50).holders == (
        Holder(9, "comm9", None),
        Holder(12, "comm12", None),
    )


def test_a_socket_without_cookie_is_the_one_of_this_process(machine, enricher):
    assert enricher.flow(record(cookie=0), 50).details is not None
    machine.holders = Holders({77: (10, 3)}, 0)
    machine.now = 1000
    assert enricher.flow(record(cookie=0), 900).details is None


def test_a_socket_that_sends_to_another_address_than_its_peer(machine, enricher):
    machine.socket, machine.of_port = None, [SOCKET._replace(cookie=1), SOCKET]
    assert enricher.flow(record(), 50).details.inode == 77
    assert machine.asked[1] == ("dump", {"sport": 40001})


def test_none_of_its_port(machine, enricher):
    machine.socket, machine.of_port = None, [SOCKET._replace(cookie=1)]
    assert enricher.flow(record(), 50).details is None


def test_descriptors_are_not_scanned_all_the_time(machine, enricher):
    assert enricher.look_at_holders(50)
    assert machine.now == 105
    assert enricher.look_at_holders(99)  # since then they were
    assert machine.asked == ["scan"]
    machine.now = 105 + 4 * 5 - 1
    assert not enricher.may_scan_descriptors
    assert not enricher.look_at_holders(110)
    assert enricher.pids(SOCKET) == ()  # what was seen then says nothing now
    machine.now += 1
    assert enricher.may_scan_descriptors
    assert enricher.look_at_holders(110)
    assert enricher.pids(SOCKET) == (9,)


ARRIVAL = {"kind": EventKind.ACCEPT, "proto": 6, "pid": 0}


def test_who_accepts_is_looked_for_where_no_hook_tells(machine, enricher):
    assert enricher.flow(record(**ARRIVAL), 50).process is None
    finding = Enricher(Processes(), find_acceptors=True)
    assert finding.flow(record(**ARRIVAL), 50).process.pid == 9
    assert ("acceptor", 40001, 77, 50) in machine.asked
    machine.socket = None  # its end comes soon
    assert finding.flow(record(**ARRIVAL), 50).process.pid == 9
    assert machine.asked[-2] == ("acceptor", 40001, None, 50)
    assert finding.flow(record(), 50).process.pid == 9
    finding.skip_lookups = True
    assert finding.flow(record(**ARRIVAL), 50).process is None


def test_an_old_scan_does_not_tell_who_accepts(machine):
    finding = Enricher(Processes(), find_acceptors=True)
    machine.scan_takes = 400_000_000
    assert finding.flow(record(**ARRIVAL), 50).process.pid == 9
    machine.now += 500_000_000
    assert finding.flow(record(**ARRIVAL), machine.now).process.pid == 9
    machine.now += 500_000_000
    assert finding.flow(record(**ARRIVAL), machine.now).process is None
    assert machine.asked.count("scan") == 1


def test_who_accepts_in_a_namespace_that_no_process_is_known_in(machine):
    finding = Enricher(Processes(), find_acceptors=True)
    assert finding.flow(record(**ARRIVAL, netns=7), 50).process.pid == 9
    assert machine.asked[0] == ("inside", "/proc/8/ns/net", 7)
    gone = finding.flow(record(**ARRIVAL, netns=6), 50)
    assert (gone.process, gone.details) == (None, None)


def test_a_socket_without_inode_has_no_holder(enricher):
    enricher.look_at_holders(50)
    assert enricher.pids(SOCKET._replace(inode=None)) == ()


def test_where_there_is_no_route(machine, enricher):
    machine.route = OSError()
    flow = enricher.flow(record(), 50)
    assert (flow.route, flow.details.inode) == (None, 77)


def test_the_address_of_an_unbound_socket_is_the_routes(enricher):
    flow = enricher.flow(record(saddr=bytes(16)), 50)
    assert (str(flow.src.addr), flow.src.port) == ("10.0.0.99", 40001)


def test_a_route_by_all_that_the_kernel_goes_by(machine, enricher):
    machine.socket = SOCKET._replace(ifindex=3, details=b"four")
    flow = enricher.flow(record(oif=5, mark=6, sock_uid=7, bound=3), 50)
    assert machine.asked[0][4] == 5
    key = RouteKey(
        5, 6, 7, Bound.DEVICE | Bound.ADDRESS
    )  # the packet's, not what the socket has now
    assert machine.asked[-1] == ("route", "udp", "10.0.0.1:40001", "10.0.0.5:53", key)
    assert flow.details.interface == "dev3"


def test_nat_has_another_route(machine, enricher):
    """The kernel looks for it again, without ports; unless NAT leaves the destination."""
    wire = IPV4_MAPPED + bytes([10, 0, 0, 9])
    flow = enricher.flow(record(hop=wire, nat_dport=5353, nat=NatEnd.DST), 50)
    assert machine.asked[0] == ("find", "udp", 40001, 53, 0, 18, OWN)
    assert machine.asked[-1][:4] == ("route", None, "10.0.0.1:40001", "10.0.0.9:5353")
    assert (str(flow.dst), flow.hop) == ("10.0.0.5:53", None)
    assert (flow.nat.src, str(flow.nat.dst)) == (None, "10.0.0.9:5353")
    flow = enricher.flow(record(nat_saddr=wire, nat_sport=7, nat=NatEnd.SRC), 50)
    assert machine.asked[-1][:4] == ("route", "udp", "10.0.0.1:40001", "10.0.0.5:53")
    assert (str(flow.nat.src), flow.nat.dst) == ("10.0.0.9:7", None)


def test_a_socket_whose_peer_is_what_a_program_has_made_of_it(machine, enricher):
    """It is looked for as the process has named its peer, then as its packets have that."""
    wire = IPV4_MAPPED + bytes([10, 0, 0, 9])
    machine.peers = {5353}
    flow = enricher.flow(record(hop=wire, nat_dport=5353, nat=NatEnd.DST), 50)
    assert [asked[3] for asked in machine.asked if asked[0] == "find"] == [53, 5353]
    assert flow.details.inode == 77


def test_a_raw_socket_has_no_ports_for_its_route_and_is_not_listed(machine, enricher):
    assert enricher.flow(record(via=Via.RAW), 50).details is None
    assert [question[:2] for question in machine.asked] == [("route", None)]


@pytest.mark.parametrize(
    ("proto", "name", "icmp"),
    [(1, "icmp", (8, 3)), (58, "ipv6-icmp", (8, 3)), (253, "253", None), (132, "sctp", None)],
)
def test_protocols(enricher, proto, name, icmp):
    flow = enricher.flow(record(proto=proto, icmp_type=8, icmp_code=3), 50)
    assert (flow.proto, flow.icmp) == (name, icmp)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"details": b"four"}, RouteKey(0, 4, 1000, Bound.ADDRESS)),
        ({"details": b"four", "ifindex": 3}, RouteKey(3, 4, 1000, Bound.ADDRESS | Bound.DEVICE)),
        ({"details": b""}, None),  # procfs, or netlink without CAP_NET_ADMIN
    ],
)
def test_the_route_of_a_listed_socket(machine, enricher, changes, key):
    flow = enricher.complete(samples.flow(), SOCKET._replace(**changes))
    assert flow.route == (ROUTE if key else None)
    asked = [question[-1] for question in machine.asked if question[0] == "route"]
    assert asked == ([key] if key else [])


LINK_LOCAL = {"saddr": ip_address("fe80::1").packed, "daddr": ip_address("fe80::5").packed}


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("via", [Via.SOCKET, Via.PACKET])
def test_zones(machine, enricher, via, busy):
    enricher.skip_lookups = busy
    flow = enricher.flow(record(**LINK_LOCAL, oif=3, via=via, netns=7), 50)
    assert (flow.src.host, flow.dst.host, flow.oif) == ("fe80::1%dev3", "fe80::5%dev3", 3)
    assert machine.asked[0][0] == "inside"


def test_a_zone_that_is_not_known(enricher):
    flow = enricher.flow(record(**LINK_LOCAL), 50)
    assert (flow.dst.host, flow.dst.zone) == ("fe80::5", None)


@pytest.mark.parametrize(("device", "zone"), [(b"eth0", "eth0"), (b"lo", None)])
def test_the_zone_of_what_the_kernel_sends(machine, enricher, device, zone):
    """To this machine's own address it goes by the loopback device."""
    flow = enricher.flow(record(**LINK_LOCAL, oif=3, via=Via.KERNEL, comm=device, pid=0), 50)
    assert (flow.dst.zone, machine.asked) == (zone, [])


def test_the_zone_of_an_address_that_the_route_chose(machine, enricher):
    machine.route = Route("dev3", None, ip_address("fe80::1"))
    flow = enricher.flow(record(saddr=bytes(16)), 50)
    assert flow.src.host == "fe80::1%dev3"


def test_no_destination_no_route(machine, enricher):
    flow = enricher.flow(record(daddr=bytes(16)), 50)
    assert flow.route is None
    assert "route" not in [question[0] for question in machine.asked]
