# SPDX-License-Identifier: Apache-2.0
"""The kernel decides what the filter object decides, and each option does what it says."""

import ctypes
import os
import socket
import struct
import subprocess
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.native.conftest import DEADLINE, generate, ip, talking, wait_for
from tests.samples import raw_flow
from tracer.filter import maps
from tracer.filter.filters import NO_FILTERS, Filters
from tracer.kernel import btf, compiler, probes, session, syscall
from tracer.kernel.abi import unpack_flow
from tracer.model import protocols
from tracer.model.address import IPV4_MAPPED
from tracer.model.flow import Flow, NatEnd
from tracer.model.process import Process, text
from tracer.trace.enrich import flow_from_record

HERE = Path(__file__).parent
WATCHED = "127.0.0.5"


# What the kernel lets through


@pytest.mark.native
@pytest.mark.parametrize(
    ("options", "sends", "other"),
    [
        (("--dst", WATCHED), (WATCHED,), ("127.0.0.6",)),
        (("--dst", "127.0.0.4/31"), (WATCHED,), ("127.0.0.6",)),
        (("--dst", "localhost"), ("127.0.0.1",), (WATCHED,)),
        (("--dst", "127.0.0.0/8", "--not-dst", "127.0.0.6"), (WATCHED,), ("127.0.0.6",)),
        (("--dst", f"::ffff:{WATCHED}"), (WATCHED,), ("127.0.0.6",)),
        (("--src", "127.0.0.1"), (WATCHED,), ("::1",)),
        (("-P", "9999"), (WATCHED,), (WATCHED, "port=9998")),
        (("-P", "domain"), (WATCHED, "port=53"), (WATCHED,)),
        (("--dst", f"{WATCHED}:9999"), (WATCHED,), (WATCHED, "port=9998")),
        (("--dst", "[::1]:9999"), ("::1",), (WATCHED,)),
        (("--port", "9999"), (WATCHED,), (WATCHED, "port=9998")),
        (("--dport", "53,9000-9999"), (WATCHED, "port=9500"), (WATCHED, "port=8999")),
        (("-4",), (WATCHED,), ("::1",)),
        (("-6",), ("::1",), (WATCHED,)),
        (("-N", "/proc/self/ns/net"), (WATCHED,), ()),
    ],
    ids="-".join,
)
def test_options_both_ways(start, options, sends, other):
    tracer = start(*options, "--udp", "--comm", "generator")
    truth = generate("sendto", *sends)
    if other:
        assert generate("sendto", *other)
    events = tracer.finish().events
    assert [event["dst"]["port"] for event in events] == [truth[0]["dport"]]
    assert events[0]["dst"]["addr"] == truth[0]["dst"]


def test_sport(start):
    tracer = start("--sport", "40001-40003", "--dst", WATCHED)
    generate("bound", WATCHED, "sport=40002")
    generate("bound", WATCHED, "sport=40004")
    assert [event["src"]["port"] for event in tracer.finish().events] == [40002]


def test_either_port(start, probe):
    """That of a connection, too, which has its own port late or early."""
    tracer = start(
        "--probe", probe, "--port", "40002,7085", "--dst", WATCHED, "--comm", "generator"
    )
    generate("bound", WATCHED, "sport=40002")
    generate("bound", WATCHED, "sport=40004")
    generate("bound", WATCHED, "sport=40004", "port=40002")
    generate("connect", WATCHED, "port=7085")
    generate("connect", WATCHED, "port=7086")
    events = tracer.finish().events
    ends = [(one["proto"], one["src"]["port"], one["dst"]["port"]) for one in events]
    of_udp = [end for end in ends if end[0] == "udp"]
    assert of_udp == [("udp", 40002, 9999), ("udp", 40004, 40002)]
    assert {dport for proto, _, dport in ends if proto == "tcp"} == {7085}


def test_either_port_of_a_connection(start, probe):
    """It is known when the connection has it, and then asked for again."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        mine = start("--probe", probe, "--port", str(port), "--tcp")
        others = start("--probe", probe, "--port", str(port ^ 1), "--dst", WATCHED, "--tcp")
        assert sock.connect_ex((WATCHED, 7087))
    events = mine.finish().events
    assert events
    assert {(one["src"]["port"], one["dst"]["port"]) for one in events} == {(port, 7087)}
    assert others.finish().events == []


def test_pid_and_protocols(start):
    udp, tcp = start("--dst", WATCHED, "--udp"), start("--dst", WATCHED, "--tcp")
    mine = start("--dst", WATCHED, "--pid", str(os.getpid()))
    generate("sendto", WATCHED)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"from this process", (WATCHED, 9999))
    generate("connect", WATCHED, "port=9")
    assert [event["proto"] for event in udp.finish().events] == ["udp", "udp"]
    assert {event["proto"] for event in tcp.finish().events} == {"tcp"}
    assert [event["bytes"] for event in mine.finish().events] == [17]


def test_any_protocol(start, namespaces, probe):
    """Each passes one filter: by name, by number, and by neither."""
    near, options = namespaces.near, ("--probe", probe, "--dst", WATCHED, "--comm", "generator")
    ip("netns", "exec", near, "sysctl", "-q", "net.ipv4.ping_group_range=0 0")
    tracers = {
        words: start(*options, *words)
        for words in (
            ("--proto", "icmp"), ("--proto", "253", "--udp"), ("--tcp",), ("--proto", "sctp"), ()
        )
    }  # fmt: skip
    for case in ("ping", "raw_icmp", "raw_protocol", "raw_tcp", "sendto"):
        port = ("port=9999",) if case == "raw_tcp" else ()
        assert generate(case, WATCHED, *port, netns=near)
    found = {
        words: sorted({event["proto"] for event in tracer.finish().events})
        for words, tracer in tracers.items()
    }
    assert found == {
        ("--proto", "icmp"): ["icmp"],
        ("--proto", "253", "--udp"): ["253", "udp"],
        ("--tcp",): ["tcp"],
        ("--proto", "sctp"): [],
        (): ["253", "icmp", "tcp", "udp"],
    }


def test_comm_and_user(start):
    comm, uid = start("--comm", "a-strange-name"), start("-u", "nobody", "--dst", WATCHED)
    generate("name", WATCHED, "comm=a-strange-name")
    generate("name", WATCHED, "comm=a-strange-nam")
    generate("user", WATCHED, "uid=65534")
    (named,) = comm.finish().events
    assert named["process"]["comm"] == "a-strange-name"
    (owned,) = uid.finish().events
    assert (owned["process"]["uid"], owned["process"]["user"]) == (65534, "nobody")


def test_netns(start, namespaces):
    near, far = start("-N", namespaces.near), start("-N", namespaces.far)
    truth = generate("sendto", "10.0.0.5", "count=3", netns=namespaces.near)
    assert len(near.finish().events) == len(truth)
    assert far.finish().events == []


def make_netns(name):
    """With 10.0.0.5; returns its inode."""
    ip("netns", "add", name)
    ip("-n", name, "link", "set", "lo", "up")
    ip("-n", name, "addr", "add", "10.0.0.5/32", "dev", "lo")
    return Path(f"/run/netns/{name}").stat().st_ino


def is_given(name, inode):
    """Makes a namespace and says whether it has that number; deletes it if not."""
    given = make_netns(name) == inode
    if not given:
        ip("netns", "del", name)
    return given


def send_in(name, port):
    assert "10.0.0.5/32" in ip("-n", name, "addr", "show", "dev", "lo")
    code = f"echo x > /dev/udp/10.0.0.5/{port}"
    argv = ["ip", "netns", "exec", name, "bash", "-c", code]
    subprocess.run(argv, check=True, timeout=DEADLINE)


def wait_for_word(tracer, word):
    for line in tracer.process.stderr:
        if word in line:
            return
    raise AssertionError(f"it has not said {word!r}")


@pytest.fixture
def name():
    """Of a network namespace; those whose names begin so are deleted in the end."""
    begin = f"swns{os.getpid()}"
    yield begin
    for path in Path("/run/netns").glob(f"{begin}*"):
        ip("netns", "del", path.name)


@pytest.mark.native
def test_netns_that_is_made_anew(start, name):
    """The name is followed, and a stranger that is given the old number is not shown."""
    inode = make_netns(name)
    tracer = start("-N", name)
    send_in(name, 701)
    ip("netns", "del", name)
    wait_for_word(tracer, f"nothing leads to the network namespace {name} any more")
    stranger = f"{name}.stranger"
    wait_for(lambda: is_given(stranger, inode))
    send_in(stranger, 703)
    anew = make_netns(name)
    wait_for_word(tracer, f"{name} is another network namespace now ({anew})")
    send_in(name, 702)
    run = tracer.finish()
    shown = [(event["dst"]["port"], event["process"]["netns"]) for event in run.events]
    assert shown == [(701, inode), (702, anew)]
    marks = [line for line in run.lines if line["event"] == "netns"]
    assert [(mark["before"], mark["netns"]) for mark in marks] == [(inode, None), (None, anew)]


@pytest.mark.native
def test_netns_that_is_replaced_at_once(start, name):
    """Its number is not given away before that is noticed."""
    inode = make_netns(name)
    tracer = start("-N", name)
    ip("netns", "del", name)
    anew = make_netns(name)
    assert anew != inode
    wait_for_word(tracer, f"{name} is another network namespace now ({anew})")
    send_in(name, 705)
    assert [event["dst"]["port"] for event in tracer.finish().events] == [705]


@pytest.mark.native
def test_netns_that_has_lost_its_name(start, name):
    """A process is still there."""
    inode = make_netns(name)
    with talking("udp", "10.0.0.5", "704", netns=name) as talker:
        tracer = start("-N", name)
        ip("netns", "del", name)
        talker.talk()
        (event,) = tracer.finish().events
    assert event["socket"]["netns"] == inode


# The same filter object in Python and in the kernel, on random filters and flows


RAW_TRACEPOINT = 17  # BPF_PROG_TYPE_RAW_TRACEPOINT
MAP_DELETE_ELEM, PROG_TEST_RUN = 3, 10
TEST_RUN_ATTR = struct.Struct("=IIIIQQIIIIQQII8x")


class Kernel:
    """The filter's own C code, asked through BPF_PROG_TEST_RUN."""

    def __init__(self) -> None:
        os.environ["BCC_KERNEL_SOURCE"] = str(probes.bpf_folder())
        from bcc import BPF  # noqa: PLC0415  heavy: only where it is used

        probe = probes.Probe(
            "test", ("base", "addresses", "maps", "filter", "identity", "socket", "emit"), (), ((),)
        )
        text = probes.source(probe, btf.declarations(btf.Btf(), probes.KERNEL_STRUCTS))
        text += (HERE / "filter_verdict.bpf.c").read_text()
        flags = probes.compiler_flags(
            (),
            ring_pages=1,
            filter_entries=session.FILTER_ENTRIES,
            accept_arguments=2,
            sock_addr={},
            task_pt_regs=False,
            pid_namespace=False,
        )
        self._module = BPF(text=text.encode(), cflags=flags)
        self._maps = compiler.map_descriptors(self._module)
        self._program = self._module.load_func(b"filter_verdict", RAW_TRACEPOINT)
        self._filled: list[tuple[str, bytes]] = []

    def fill(self, filters: Filters) -> None:
        for name, key in self._filled:
            self._clear(name, key)
        self._filled = []
        for name, entries in maps.entries(filters).items():
            for key, value in entries:
                syscall.map_update(self._maps[name], key, value)
                self._filled.append((name, key))

    def passes(self, tail: bytes) -> bool:
        flow = ctypes.create_string_buffer(tail, len(tail))
        context = ctypes.create_string_buffer(struct.pack("=Q", ctypes.addressof(flow)), 8)
        attr = TEST_RUN_ATTR.pack(
            self._program.fd, 0, 0, 0, 0, 0, 0, 0, 8, 0, ctypes.addressof(context), 0, 0, 0
        )
        buffer = ctypes.create_string_buffer(attr, len(attr))
        result = syscall._libc.syscall(
            syscall._SYSCALL_NUMBER["x86_64"], PROG_TEST_RUN, buffer, len(attr)
        )
        assert result == 0, os.strerror(ctypes.get_errno())
        return bool(struct.unpack_from("=I", buffer.raw, 4)[0])

    def _clear(self, name: str, key: bytes) -> None:
        if name in ("filter_parts", "dports", "sports", "protos"):
            syscall.map_update(self._maps[name], key, bytes(4 if name == "filter_parts" else 8))
            return
        where = ctypes.create_string_buffer(key, len(key))
        syscall._bpf(
            MAP_DELETE_ELEM,
            syscall._MAP_ELEM_ATTR.pack(self._maps[name], ctypes.addressof(where), 0, 0),
        )


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    return Kernel()


# Few enough values that filters and flows meet often.
V4 = st.sampled_from(["10.0.0.5", "10.0.0.6", "10.0.1.5", "10.1.0.5", "192.168.0.1", "0.0.0.0"])
V6 = st.sampled_from(["fd00::5", "fd00::6", "fd01::5", "::1", "::2", "2001:db8::1"])
ADDRESSES = st.one_of(V4, V6).map(ip_address)
PORTS = st.sampled_from([0, 1, 53, 63, 64, 8000, 8080, 65535])
PROTOS = st.sampled_from([0, 1, 6, 17, 58, 63, 64, 132, 136, 255])
NUMBERS = st.integers(1, 4)
COMMS = st.sampled_from([b"a", b"b", b"dig", b"a-name-of-fifte", b"\xff"])


@st.composite
def networks(draw):
    addr = draw(ADDRESSES)
    length = draw(st.sampled_from([0, 1, 8, 16, 24, 31, 32, 64, 96, 127, 128]))
    return ip_network((addr, min(length, addr.max_prefixlen)), strict=False)


ELSEWHERE = ("failed", "accept", "follow", "summary", "exe", "cgroup", "container", "unit")
FILTERS = st.builds(
    Filters,
    dst=st.lists(networks(), max_size=4).map(tuple),
    not_dst=st.lists(networks(), max_size=3).map(tuple),
    src=st.lists(networks(), max_size=2).map(tuple),
    dport=st.frozensets(PORTS, max_size=3),
    sport=st.frozensets(PORTS, max_size=2),
    port=st.just(frozenset()),
    pid=st.frozensets(NUMBERS, max_size=2),
    uid=st.frozensets(NUMBERS, max_size=2),
    comm=st.frozensets(COMMS, max_size=2),
    netns=st.frozensets(NUMBERS, max_size=2),
    version=st.sampled_from([frozenset({4}), frozenset({6}), frozenset({4, 6})]),
    proto=st.frozensets(PROTOS.map(protocols.name), max_size=3),
    # decided of an event, by the process table, or by other hooks
    **{name: st.just(getattr(NO_FILTERS, name)) for name in ELSEWHERE},
)
# in place of the ports of each end
EITHER_PORT = st.builds(
    lambda filters, ports: filters._replace(dport=frozenset(), sport=frozenset(), port=ports),
    FILTERS,
    st.frozensets(PORTS, min_size=1, max_size=3),
)


def sixteen(addr) -> bytes:
    return IPV4_MAPPED + addr.packed if addr.version == 4 else addr.packed


@st.composite
def tails(draw) -> bytes:
    """``struct flow``; both addresses of one family, and half of them without a process."""
    version = draw(st.sampled_from([V4, V6]))
    known = draw(st.booleans())
    nat = draw(st.integers(0, 3))
    changed = st.one_of(version.map(ip_address).map(sixteen))
    return raw_flow(
        hop=draw(changed) if nat & NatEnd.DST else bytes(16),
        nat_dport=draw(PORTS) if nat & NatEnd.DST else 0,
        nat_saddr=draw(changed) if nat & NatEnd.SRC else bytes(16),
        nat_sport=draw(PORTS) if nat & NatEnd.SRC else 0,
        nat=nat,
        saddr=draw(st.one_of(version.map(ip_address).map(sixteen), st.just(bytes(16)))),
        daddr=sixteen(ip_address(draw(version))),
        pid=draw(NUMBERS) if known else 0,
        uid=draw(NUMBERS) if known else 0,
        netns=draw(NUMBERS),
        sport=draw(PORTS),
        dport=draw(PORTS),
        proto=draw(PROTOS),
        comm=draw(COMMS) if known else b"",
    )


def flow_of(tail: bytes) -> Flow:
    fields = unpack_flow(tail)
    comm = text(fields.comm)
    process = Process(
        fields.pid, fields.tid, comm, comm, None, None, fields.ppid, fields.uid, None, 1
    )
    return flow_from_record(fields, process if fields.pid else None)


@pytest.mark.native
@settings(
    max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.one_of(FILTERS, EITHER_PORT), st.lists(tails(), min_size=10, max_size=10))
def test_python_decides_what_the_kernel_decides(kernel, filters, flows):
    kernel.fill(filters)
    assert [filters.matches(flow_of(tail)) for tail in flows] == list(map(kernel.passes, flows))


@pytest.mark.native
def test_ten_thousand_destinations_leave_each_its_verdict(kernel):
    inside = tuple(ip_network((0x0A000000 + 2 * i, 32)) for i in range(10_000))
    kernel.fill(Filters(dst=inside))
    for i in (0, 1, 9_998, 9_999, 19_998, 19_999, 20_000):
        addr = IPV4_MAPPED + (0x0A000000 + i).to_bytes(4, "big")
        tail = raw_flow(saddr=IPV4_MAPPED + bytes(4), daddr=addr)
        assert kernel.passes(tail) == (i % 2 == 0 and i < 20_000)
