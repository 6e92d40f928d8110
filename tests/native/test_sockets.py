# SPDX-License-Identifier: Apache-2.0
"""``sockwatch sockets`` against ss, procfs, and sockets that the test made."""

import contextlib
import json
import os
import platform
import pwd
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.native.conftest import DEADLINE, ip, sockwatch, wait_for
from tests.odd_holder import holding
from tracer.filter import bytecode
from tracer.filter.filters import Filters
from tracer.host import netns, procfs
from tracer.host.mounts import mounts
from tracer.host.netlink import sock_diag
from tracer.inventory import dump
from tracer.inventory.selection import Selection
from tracer.model.protocols import UDP
from tracer.model.socket import ALL_STATES

CROWD = Path(__file__).parents[1] / "crowd.py"
DENY_NETLINK = Path(__file__).with_name("deny_netlink.py")
EACH = 20 if os.environ.get("SOCKWATCH_PROBES") else 220  # fewer where all is emulated
INODE = -2  # in a row as it is compared
NOBODY = pwd.getpwnam("nobody")
NO_USER_NAMESPACES = bool(
    subprocess.run(
        ["unshare", "--user", "true"], user=NOBODY.pw_uid, check=False, capture_output=True
    ).returncode
)


@dataclass(frozen=True)
class Crowd:
    """Sockets in every state, in a network namespace of their own; ``said`` is what
    tests/crowd.py says of them."""

    netns: str
    said: dict[str, Any]

    @property
    def inside(self) -> list[str]:
        return ["ip", "netns", "exec", self.netns]


@pytest.fixture(scope="module")
def crowd() -> Iterator[Crowd]:
    name = f"swcrowd{os.getpid()}"
    with contextlib.ExitStack() as cleanup:
        ip("netns", "add", name)
        cleanup.callback(ip, "netns", "del", name)
        ip("-n", name, "link", "set", "lo", "up")
        argv = ["ip", "netns", "exec", name, sys.executable, str(CROWD), str(EACH)]
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        cleanup.enter_context(process)
        cleanup.callback(process.kill)
        assert process.stdout
        said = process.stdout.readline()
        assert said, process.communicate()[1]
        yield Crowd(name, json.loads(said))


def run(*options: str, inside: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    """``inside`` a namespace it lists that one only."""
    only = ("-N", "self") if inside else ()
    argv = [*(inside or []), *sockwatch("sockets", *only, *options)]
    return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)


def listed(*options: str, inside: list[str] | None = None) -> list[dict[str, Any]]:
    """The rows; nobody was warned, but that this machine's init has sockets and may not be
    looked into even by root."""
    done = run("--json", *options, inside=inside)
    rows = list(map(json.loads, done.stdout.splitlines()))
    hidden = sum(row["processes"] is None for row in rows)
    assert not (hidden and inside)
    warning = f"sockwatch: {hidden} of the sockets may be held by processes that cannot be looked"
    assert (done.returncode, done.stderr) == (0, f"{warning} into\n" if hidden else "")
    return rows


def pids(row: dict[str, Any]) -> frozenset[int]:
    return frozenset(one["pid"] for one in row["processes"] or ())


def of_ss(crowd: Crowd, *options: str) -> Counter[Any]:
    """Without those that are bound and no more: a newer ss lists them among connected ones, too."""
    argv = [*crowd.inside, "ss", "-tunapeHO", *options]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=DEADLINE)
    rows = map(ss_row, done.stdout.splitlines())
    return Counter(row for row in rows if row[INODE] not in crowd.said["bound_inactive"])


def ss_row(line: str) -> Any:
    """It leaves out a state that all rows have."""
    proto, *words = line.split()
    state = None if words[0].isdigit() else words.pop(0)
    recv_q, send_q, local, peer, *_ = words
    rest = line.partition(peer)[2]
    inode = int(re.search(r"ino:(\d+)", rest)[1])
    holders = frozenset(map(int, re.findall(r"pid=(\d+)", rest)))
    queues = int(recv_q), int(send_q)
    return proto, state, *queues, *ss_end(local), *ss_end(peer), inode or None, holders


def ss_end(text: str) -> tuple[str, int | None]:
    addr, _, port = text.rpartition(":")
    addr = addr.partition("%")[0].strip("[]").removeprefix("::ffff:")
    return canonical(addr), None if port == "*" else int(port)


def canonical(addr: str | None) -> str:
    """ss has one name for both unspecified addresses of a dual-stack socket."""
    return "*" if addr in ("0.0.0.0", "::", "*", None) else addr


def our_row(row: dict[str, Any]) -> Any:
    ends = (
        part for end in ("src", "dst") for part in (canonical(row[end]["addr"]), row[end]["port"])
    )
    return row["proto"], row["state"], row["recv_q"], row["send_q"], *ends, row["inode"], pids(row)


def proto_and_rest(row: Any) -> Any:
    """All but the state."""
    return row[0], row[2:]


# What is there


def test_the_same_as_ss(crowd):
    rows = listed(inside=crowd.inside)
    known = [row for row in rows if row["inode"] not in crowd.said["bound_inactive"]]
    assert Counter(map(our_row, known)) == of_ss(crowd)
    found = Counter(row["state"] for row in known)
    assert {name: found[name] for name in crowd.said["made"]} == crowd.said["made"]
    if EACH > 200:
        assert len(rows) >= 2000


@pytest.mark.native
@pytest.mark.parametrize(
    "name",
    ["established", "syn-sent", "syn-recv", "fin-wait-1", "fin-wait-2", "time-wait", "closed",
     "close-wait", "last-ack", "listening", "closing", "connected", "synchronized", "bucket"],
)  # fmt: skip
def test_states_by_name(crowd, name):
    rows = listed("--state", name, inside=crowd.inside)
    assert rows
    ours = Counter(proto_and_rest(our_row(row)) for row in rows)
    assert ours == Counter(map(proto_and_rest, of_ss(crowd, "state", name).elements()))


def test_states_that_netstat_cannot_show(crowd):
    (state,) = {row["state"] for row in listed("--state", "new-syn-recv", inside=crowd.inside)}
    assert state == "SYN-RECV"
    done = run("--state", "bound-inactive", "--json", inside=crowd.inside)
    if tuple(map(int, re.findall(r"\d+", platform.release())[:2])) < (6, 8):
        assert done.stdout == ""
        assert "this kernel does not list bound-inactive sockets" in done.stderr
        return
    rows = list(map(json.loads, done.stdout.splitlines()))
    assert {row["inode"] for row in rows} == set(crowd.said["bound_inactive"])
    assert {(row["state"], row["dst"]["addr"], len(row["processes"])) for row in rows} == {
        ("UNCONN", None, 1)
    }


@pytest.mark.native
def test_listening_and_all(crowd):
    rows = listed("-l", inside=crowd.inside)
    assert Counter(map(our_row, rows)) == of_ss(crowd, "state", "listening", "state", "closed")
    assert len(listed("-a", inside=crowd.inside)) == len(listed(inside=crowd.inside))


def test_every_holder_of_a_socket(crowd):
    shared = crowd.said["shared"]
    by_inode = {row["inode"]: row for row in listed("--udp", inside=crowd.inside)}
    for inode in (shared["inherited"], shared["passed"]):
        assert pids(by_inode[inode]) == set(shared["pids"])
    (first, *_) = by_inode[shared["inherited"]]["processes"]
    assert first == {
        "pid": shared["pids"][0],
        "comm": Path(f"/proc/{shared['pids'][0]}/comm").read_text().strip(),
        "exe": os.readlink(f"/proc/{shared['pids'][0]}/exe"),
        "exe_here": True,
        "fd": shared["fds"][0],
    }
    (row,) = [
        row
        for row in listed("-p", str(shared["pids"][1]), inside=crowd.inside)
        if row["inode"] == shared["passed"]
    ]
    assert len(row["processes"]) == 2


@pytest.mark.native
@pytest.mark.parametrize("place", ["ended", "table", "ring", "flight"])
def test_a_holder_in_an_odd_place(place):
    """Who it is, or null: never nobody."""
    with holding(place, "127.0.0.5", 7044) as (_, held):
        (row,) = (json.loads(line) for line in run("--json", "-P", "7044").stdout.splitlines())
        told = place != "ring" or "7044" in run("-P", "7044", "-p", str(held["pid"])).stdout
    assert row["inode"] == held["inode"]
    if place == "flight" or not told:
        assert row["processes"] is None
    else:
        (who,) = row["processes"]
        assert (who["pid"], who["exe"]) == (held["pid"], os.path.realpath(sys.executable))
        assert (who["fd"] is None) == (place == "ring")


@pytest.mark.native
@pytest.mark.skipif(NO_USER_NAMESPACES, reason="users may not make user namespaces here")
def test_a_holder_whose_path_is_made_up():
    """A user mounts a program of his own on another one's path."""
    there = str(Path("/bin/true").resolve())
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "program")
        program.write_bytes(Path("/bin/bash").read_bytes())
        program.chmod(0o755)
        Path(folder).chmod(0o755)
        code = "exec 3<>/dev/udp/127.0.0.5/7047; echo; read"
        forge = f"mount --bind {program} {there} && exec {there} -c '{code}'"
        argv = ["unshare", "--user", "--map-root-user", "--mount", "bash", "-c", forge]
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, user=NOBODY.pw_uid, stdin=pipe, stdout=pipe) as forged:
            assert forged.stdout.readline()
            (row,) = map(json.loads, run("--json", "-P", "7047").stdout.splitlines())
            by_path, by_file = (
                run("-P", "7047", "--exe", path, "-H").stdout for path in (there, str(program))
            )
            devices = {mount.dev for mount in mounts()}
            certain = {procfs.file_at(path).dev for path in (there, str(program))} <= devices
    (who,) = row["processes"]
    assert (who["exe"], who["exe_here"]) == (there, False if certain else None)
    assert (bool(by_path), bool(by_file)) == (not certain, certain)


def test_netlink_and_procfs_say_the_same(crowd):
    def comparable(row: dict[str, Any]) -> Any:
        lengths = None if row["state"] == "LISTEN" else row["send_q"]
        return our_row(row | {"send_q": lengths}), row["uid"]

    by_netlink = listed("--source", "netlink", inside=crowd.inside)
    by_procfs = listed("--source", "procfs", inside=crowd.inside)
    assert {row["cookie"] for row in by_procfs} == {None}
    assert None not in {row["cookie"] for row in by_netlink}
    known = [row for row in by_netlink if row["inode"] not in crowd.said["bound_inactive"]]
    assert Counter(map(comparable, known)) == Counter(map(comparable, by_procfs))


def test_every_namespace_is_looked_into(crowd):
    inside = Counter(map(our_row, listed(inside=crowd.inside)))
    inode = Path(f"/run/netns/{crowd.netns}").stat().st_ino
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = str(sock.getsockname()[1])
        rows = listed()
        by_an_old_name = listed("--all-netns")
        (here,) = listed("-N", "self", "--sport", port)
        table = run().stdout.splitlines()
    own = Path("/proc/self/ns/net").stat().st_ino
    for everywhere in (rows, by_an_old_name):
        there = [row for row in everywhere if row["netns"] == inode]
        assert Counter(map(our_row, there)) == inside
        assert {row["netns_name"] for row in there} == {crowd.netns}
        (mine,) = [
            row
            for row in everywhere
            if (row["netns"], row["src"]["port"], row["proto"]) == (own, int(port), "udp")
        ]
        assert pids(mine) == {os.getpid()}
    assert pids(here) == {os.getpid()}
    assert "netns" not in here
    only = listed("-N", crowd.netns)
    assert Counter(map(our_row, only)) == inside
    assert not any("netns" in row for row in only)
    assert table[0].split()[-1] == "NETNS"
    in_column = Counter(line.split()[-1] for line in table[1:])
    assert in_column[crowd.netns] == sum(inside.values())
    assert in_column["self"] >= 1


@pytest.mark.native
@pytest.mark.usefixtures("crowd")
def test_a_namespace_without_a_name():
    """A process is all that leads there: the row has its inode."""
    code = (
        "import os, socket, sys\n"
        "sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "sock.bind(('127.0.0.1', 7099))\n"
        "print(os.stat('/proc/self/ns/net').st_ino, flush=True)\n"
        "sys.stdin.read()\n"
    )
    script = 'ip link set lo up && exec "$@"'
    argv = ["unshare", "--net", "sh", "-c", script, "sh", sys.executable, "-c", code]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as there:
        inode = int(there.stdout.readline())
        rows = listed()
        there.stdin.close()
    (row,) = [row for row in rows if row["netns"] == inode]
    assert (row["netns_name"], pids(row)) == (None, {there.pid})


# Filters


@pytest.mark.native
def test_filters(crowd):
    rows = listed(inside=crowd.inside)
    port = next(row["src"]["port"] for row in rows if row["state"] == "LISTEN")
    expected: dict[tuple[str, ...], Callable[[Any], bool]] = {
        ("--dst", "127.0.0.0/8"): lambda row: (row["dst"]["addr"] or "").startswith("127."),
        ("--dst", "::1"): lambda row: row["dst"]["addr"] == "::1",
        ("--not-dst", "::1", "--tcp"): lambda row: (
            row["proto"] == "tcp" and row["dst"]["addr"] != "::1"
        ),
        ("--src", "::1", "--udp"): lambda row: (
            row["proto"] == "udp" and row["src"]["addr"] == "::1"
        ),
        ("--dport", "9"): lambda row: row["dst"]["port"] == 9,
        ("--sport", f"{port}"): lambda row: row["src"]["port"] == port,
        ("--port", f"{port}"): lambda row: port in (row["src"]["port"], row["dst"]["port"]),
        ("--dst", f"127.0.0.0/8:{port}"): lambda row: (
            (row["dst"]["addr"] or "").startswith("127.") and row["dst"]["port"] == port
        ),
        ("--dst", "[::1]"): lambda row: row["dst"]["addr"] == "::1",
        ("--dport", "1-20000,4444,65000-65535"): lambda row: (
            1 <= (row["dst"]["port"] or 0) <= 20000 or (row["dst"]["port"] or 0) >= 65000
        ),
        ("-u", "root"): lambda row: row["uid"] == 0,
        ("-u", "nobody"): lambda _: False,
        ("-p", "1"): lambda _: False,
        ("-4",): lambda row: ":" not in (row["dst"]["addr"] or row["src"]["addr"]),
        ("-6",): lambda row: ":" in (row["dst"]["addr"] or row["src"]["addr"]),
    }
    for options, wanted in expected.items():
        found = listed(*options, inside=crowd.inside)
        assert Counter(map(our_row, found)) == Counter(map(our_row, filter(wanted, rows))), options
    comm = Path(f"/proc/{crowd.said['shared']['pids'][0]}/comm").read_text().strip()
    held = [row for row in rows if row["processes"]]
    assert len(listed("--comm", comm, inside=crowd.inside)) == len(held)


ADDRESSES = st.sampled_from(["127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"])


@st.composite
def networks(draw):
    addr = ip_address(draw(ADDRESSES))
    length = draw(st.sampled_from([0, 1, 8, 31, 32, 96, 104, 127, 128]))
    return ip_network((addr, min(length, addr.max_prefixlen)), strict=False)


PORTS = st.sampled_from([0, 1, 9, *range(30_000, 61_000, 500), 65_535])
RANGES = st.tuples(PORTS, PORTS).map(lambda ends: frozenset(range(min(ends), max(ends) + 1)))
FILTERS = st.builds(
    Filters,
    dst=st.lists(networks(), max_size=3).map(tuple),
    not_dst=st.lists(networks(), max_size=2).map(tuple),
    src=st.lists(networks(), max_size=2).map(tuple),
    dport=st.one_of(st.just(frozenset()), RANGES),
    sport=st.one_of(st.just(frozenset()), RANGES),
    port=st.one_of(st.just(frozenset()), RANGES),
    pid=st.just(frozenset()),
    uid=st.sampled_from([frozenset(), frozenset({0}), frozenset({1})]),
    comm=st.just(frozenset()),
    netns=st.just(frozenset()),
    version=st.sampled_from([frozenset({4}), frozenset({6}), frozenset({4, 6})]),
    proto=st.sampled_from([frozenset(), frozenset({"udp"}), frozenset({"tcp"}), UDP]),
)


@settings(
    max_examples=EACH, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(FILTERS)
def test_the_kernels_bytecode_leaves_out_none_too_many(crowd, filters):
    def fail(message: str) -> None:
        raise AssertionError(message)

    path = f"/run/netns/{crowd.netns}"
    inode = Path(path).stat().st_ino
    everything = Selection(ALL_STATES, Filters(proto=filters.proto))
    wanted = Selection(ALL_STATES, filters)
    with netns.inside(path, inode):
        own: dict[int, str | None] = {inode: None}
        found = Counter(sock.cookie for sock in dump.sockets(wanted, own, "netlink", fail))
        every = dump.sockets(everything, own, "netlink", fail)
        assert found == Counter(sock.cookie for sock in every if wanted.takes(sock))


def test_the_kernel_decides_what_it_can(crowd):
    """Not only the look again that follows."""
    path = f"/run/netns/{crowd.netns}"
    code = bytecode.assemble(Filters(dport=frozenset({9})))
    with netns.inside(path, Path(path).stat().st_ino), sock_diag.connect() as diag:
        rows = list(sock_diag.dump(diag, "udp", 4, ALL_STATES, 0, bytecode=code))
    assert {row.dport for row in rows} == {9}


# What it shows


@pytest.mark.native
def test_the_table(crowd):
    done = run(inside=crowd.inside)
    header, *rows = done.stdout.splitlines()
    assert header.split() == [
        "PROTO", "STATE", "RECV-Q", "SEND-Q", "LOCAL", "PEER", "PID", "WHO", "USER"
    ]  # fmt: skip
    assert len(rows) == len(listed(inside=crowd.inside))
    ends = [header.index("RECV-Q") + 6, header.index("SEND-Q") + 6]
    assert all(row[at - 1] != " " and row[at] == " " for row in rows for at in ends)
    starts = [header.index(name) for name in ("STATE", "LOCAL", "PEER", "WHO", "USER")]
    assert all(row[at] != " " and row[at - 1] == " " for row in rows for at in starts)
    assert not run("-H", inside=crowd.inside).stdout.startswith("PROTO")
    both = ",".join(map(str, crowd.said["shared"]["pids"]))
    assert [row.split()[6] for row in rows].count(both) == 2


def test_extended(crowd):
    rows = listed("-e", "-m", "-i", inside=crowd.inside)
    assert {row["interface"] for row in rows} == {None, "lo"}
    held = [row for row in rows if row["inode"]]
    assert {row["mark"] for row in held} == {0}
    established = [row for row in rows if (row["proto"], row["state"]) == ("tcp", "ESTAB")]
    assert all(row["tcp"]["cwnd"] > 0 and row["tcp"]["rtt_us"] > 0 for row in established)
    assert all(row["memory"]["rcvbuf"] > 0 and row["memory"]["sndbuf"] > 0 for row in held)
    waiting = [row for row in held if row["proto"] == "udp" and row["recv_q"]]
    assert [row["memory"]["rmem_alloc"] == row["recv_q"] for row in waiting] == [True]
    assert {row["tcp"] for row in rows if row["proto"] == "udp"} == {None}
    full = next(row for row in rows if row["state"] == "LAST-ACK")
    assert full["memory"]["wmem_queued"] > 0
    text = run("-e", "-m", "-i", "--state", "fin-wait-1", inside=crowd.inside).stdout
    assert re.search(r" ino:\d+ sk:\d+ uid:0 netns:\d+ .*memory:\(rmem_alloc:\d+,", text)
    assert re.search(r"tcp:\(congestion:\w+,.*cwnd:\d+", text)


def test_tcp_numbers_are_those_of_getsockopt():
    server = socket.create_server(("127.0.0.1", 0))
    with server, socket.create_connection(server.getsockname()) as client:
        client.sendall(b"x" * 777)
        mss = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        (row,) = listed("-N", "self", "-i", "--tcp", "--dport", str(server.getsockname()[1]))
    assert row["tcp"]["mss"] == mss
    assert row["tcp"]["bytes_sent"] == 777
    assert row["tcp"]["retransmits"] == 0


def test_cgroup_and_mark():
    mounts = Path("/proc/self/mountinfo").read_text()
    if " - cgroup2 " not in mounts:
        pytest.skip("no cgroup2 file system is mounted")
    found = re.search(r"^0::(.*)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 7)
        (row,) = listed("-N", "self", "-e", "--sport", str(sock.getsockname()[1]))
    assert (row["mark"], row["cgroup"]) == (7, found[1])


@pytest.mark.native
def test_exposed(namespaces):
    near = Path(f"/run/netns/{namespaces.near}")
    ports: dict[str, int] = {}
    held = []

    def bind(name: str, family: int, addr: str, **options: Any) -> None:
        kind = options.get("kind", socket.SOCK_STREAM)
        sock = socket.socket(family, kind)
        held.append(sock)
        if options.get("v6only"):
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if "device" in options:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, options["device"])
        sock.bind((addr, 0))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        ports[name] = sock.getsockname()[1]

    from tracer.host.netns import inside  # noqa: PLC0415  not the fixture of that name

    v4, v6, udp = socket.AF_INET, socket.AF_INET6, socket.SOCK_DGRAM
    with contextlib.ExitStack() as cleanup:
        with inside(str(near), near.stat().st_ino):
            bind("wildcard", v4, "0.0.0.0")
            bind("udp", v4, "0.0.0.0", kind=udp)
            bind("loopback", v4, "127.0.0.1")
            bind("loopback6", v6, "::1")
            bind("address", v4, "10.0.0.1")
            bind("address6", v6, "fd00::1", kind=udp)
            bind("dual", v6, "::")
            bind("v6only", v6, "::", v6only=True)
            bind("device", v4, "0.0.0.0", device=b"near")
            bind("lo", v4, "0.0.0.0", device=b"lo")
        for sock in held:
            cleanup.enter_context(sock)
        rows = {row["src"]["port"]: row for row in listed("--exposed", "-N", namespaces.near)}
        text = run("--exposed", "-N", namespaces.near).stdout
    local = next(
        entry["addr"]
        for row in rows.values()
        for entry in row["reachable"]
        if entry["addr"].startswith("fe80:")
    )
    reachable = {
        name: {(entry["addr"], entry["interface"]) for entry in rows[port]["reachable"]}
        for name, port in ports.items()
        if port in rows
    }
    four, six = {("10.0.0.1", "near")}, {("fd00::1", "near"), (local, "near")}
    assert reachable == {
        "wildcard": four,
        "udp": four,
        "address": four,
        "address6": {("fd00::1", "near")},
        "dual": four | six,
        "v6only": six,
        "device": four,
    }
    assert "reachable:10.0.0.1%near" in text


@pytest.mark.native
def test_names():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.connect(("127.0.0.1", 9))
        port = str(sock.getsockname()[1])
        name = socket.getnameinfo(("127.0.0.1", 0), 0)[0]
        assert run("-N", "self", "-r", "-H", "--sport", port).stdout.split()[5] == f"{name}:9"
        (row,) = listed("-N", "self", "-r", "--sport", port)
    assert row["dst"] == {"addr": "127.0.0.1", "name": name, "port": 9, "zone": None}


# Where it cannot be had


@pytest.mark.native
def test_without_netlink_it_reads_procfs(crowd):
    denied = [*crowd.inside, sys.executable, str(DENY_NETLINK)]
    done = run("--json", inside=denied)
    assert done.returncode == 0
    (said,) = done.stderr.splitlines()
    assert "sock_diag cannot be used (Permission denied): reading /proc/net instead" in said
    rows = list(map(json.loads, done.stdout.splitlines()))
    by_procfs = listed("--source", "procfs", inside=crowd.inside)
    assert Counter(map(our_row, rows)) == Counter(map(our_row, by_procfs))
    forced = run("--source", "netlink", inside=denied)
    assert (forced.returncode, forced.stdout) == (2, "")
    assert forced.stderr == (
        "sockwatch: sock_diag cannot be used (Permission denied): use --source procfs\n"
    )


def test_the_kernels_errors_are_raised():
    with sock_diag.connect() as diag, pytest.raises(OSError, match="Invalid argument"):
        list(sock_diag.dump(diag, "udp", 4, ALL_STATES, 0, bytecode=b"\xff" * 8))


@pytest.mark.native
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--state", "sleeping"), "there is no state 'sleeping': one of established, "),
        (("-l", "--state", "closed"), "--listening and --state ask for different states"),
        (("--exposed", "--state", "all"), "--exposed and --state do not go together"),
        (("--watch", "-l"), "--watch and --listening do not go together"),
        (("--watch", "--source", "procfs"), "--watch hears of sockets by netlink only"),
        (("-p", "0"), "'0' is not a pid: give a number from 1 to "),
        (("--source", "proc"), "Invalid value for '--source'"),
        (("--dst", "300.1.1.1.1"), "300.1.1.1.1"),
        (("-N", "4026532999999"), "there is no network namespace"),
        (("-N", "4294967295"), "nothing leads to the network namespace 4294967295"),
        (("--colour",), "No such option"),
    ],
)
def test_bad_input_is_one_line(options, said):
    done = run(*options)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("sockwatch: ")
    assert said in line


@pytest.mark.native
def test_a_reader_that_goes_away(crowd):
    argv = " ".join([*crowd.inside, *sockwatch("sockets", "-N", "self", "-H")])
    done = subprocess.run(
        f"{argv} | head -n 1", shell=True, check=True, capture_output=True, text=True
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


# What is destroyed


@contextlib.contextmanager
def watching(*options: str) -> Iterator[subprocess.Popen[str]]:
    argv = sockwatch("sockets", "--watch", *options)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watch:
        try:
            yield watch
        finally:
            watch.kill()


@pytest.mark.native
def test_a_watch_that_nobody_reads_can_be_stopped():
    reader, full = os.pipe()
    os.set_blocking(full, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(full, b"." * 4096)
    os.set_blocking(full, True)
    argv = sockwatch("sockets", "--watch", "--src", "127.0.0.1")
    with subprocess.Popen(argv, stdout=full, stderr=full) as watch:
        try:
            _wait_until_it_hears(watch.pid)
            for _ in range(3):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.bind(("127.0.0.1", 0))
            watch.send_signal(signal.SIGINT)
            assert watch.wait(DEADLINE) == 0
        finally:
            watch.kill()
    os.close(full)
    os.close(reader)


def read_until(watch: subprocess.Popen[str], condition: Callable[[dict[str, Any]], bool]) -> Any:
    assert watch.stdout
    for line in watch.stdout:
        row = json.loads(line)
        if condition(row):
            return row
    raise AssertionError("it ended")


def test_what_is_destroyed():
    """A socket that was there when the watch began, and one that came later."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as early:
        early.bind(("127.0.0.1", 0))
        early.connect(("127.0.0.1", 9))
        inode = os.fstat(early.fileno()).st_ino
        port = early.getsockname()[1]
        with watching("--json", "--src", "127.0.0.1") as watch:
            _wait_until_it_hears(watch.pid)
            early.close()
            row = read_until(watch, lambda row: row["src"]["port"] == port)
            with socket.create_server(("127.0.0.1", 0)) as server:
                peer = server.getsockname()[1]
            late = read_until(watch, lambda row: row["src"]["port"] == peer)
            watch.send_signal(signal.SIGINT)
            assert watch.wait(DEADLINE) == 0
    assert (row["event"], row["proto"], row["inode"]) == ("destroyed", "udp", inode)
    assert row["dst"] == {"addr": "127.0.0.1", "port": 9, "zone": None}
    assert [one["pid"] for one in row["processes"]] == [os.getpid()]
    assert (late["proto"], late["dst"]["addr"]) == ("tcp", None)


def _wait_until_it_hears(pid: int) -> None:
    """Until it has a snapshot: it polls from then on."""
    wait_for(lambda: "poll" in Path(f"/proc/{pid}/wchan").read_text())


@pytest.mark.native
@pytest.mark.parametrize("asked_for", [True, False])
def test_what_is_destroyed_elsewhere(crowd, asked_for):
    path = Path(f"/run/netns/{crowd.netns}")
    with netns.inside(str(path), path.stat().st_ino):
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.bind(("::1", 0))
    port = sock.getsockname()[1]
    options = ("-N", crowd.netns) if asked_for else ()
    with sock, watching("--json", *options) as watch:
        _wait_until_it_hears(watch.pid)
        sock.close()
        row = read_until(watch, lambda row: row["src"]["port"] == port)
    assert (row["src"]["addr"], [one["pid"] for one in row["processes"]]) == ("::1", [os.getpid()])
    assert row.get("netns_name") == (None if asked_for else crowd.netns)


@pytest.mark.native
@pytest.mark.parametrize("asked_for", [True, False])
def test_what_is_destroyed_in_a_namespace_that_is_made_anew(asked_for):
    """Nor does the watch keep the one before alive."""
    name = f"swanew{os.getpid()}"
    path = Path(f"/run/netns/{name}")
    with contextlib.ExitStack() as cleanup:
        ip("netns", "add", name)
        cleanup.callback(ip, "netns", "del", name)
        ip("link", "add", name, "type", "veth", "peer", "name", "sw", "netns", name)
        options = ("-N", name) if asked_for else ()
        watch = cleanup.enter_context(watching("--json", *options))
        _wait_until_it_hears(watch.pid)
        assert _is_heard(path)
        ip("netns", "del", name)
        wait_for(lambda: not Path(f"/sys/class/net/{name}").exists())
        ip("netns", "add", name)
        inode = path.stat().st_ino
        wait_for(lambda: _is_heard(path))
        with netns.inside(str(path), inode):
            sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.bind(("::", 7048))
        sock.close()
        row = read_until(watch, lambda row: row["src"]["port"] == 7048)
        watch.send_signal(signal.SIGINT)
        _, said = watch.communicate(timeout=DEADLINE)
    assert row.get("netns", inode) == inode
    gone = f"nothing leads to the network namespace {name} any more: not watched"
    anew = f"{name} is another network namespace now ({inode}): watching that"
    assert [line.removeprefix("sockwatch: ") for line in said.splitlines() if name in line] == (
        [gone, anew] if asked_for else []
    )


def _is_heard(path: Path) -> bool:
    """Says whether a netlink socket there is in the four groups of sock_diag."""
    with netns.inside(str(path), path.stat().st_ino):
        rows = Path("/proc/thread-self/net/netlink").read_text().splitlines()
    return any((row.split()[1], row.split()[3]) == ("4", "0000000f") for row in rows)


@pytest.fixture
def many_sockets():
    """More than a pipe takes the answer of at once, when nobody reads it."""
    code = (
        "import resource, socket, sys\n"
        "most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))\n"
        "held = [socket.socket(2, 2) for _ in range(8000)]\n"
        "print(flush=True)\n"
        "sys.stdin.read()\n"
    )
    pipe = subprocess.PIPE
    argv = [sys.executable, "-c", code]
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe) as process:
        assert process.stdout.readline()
        yield


@pytest.mark.native
@pytest.mark.usefixtures("many_sockets")
@pytest.mark.parametrize("options", [("--dst", "127.1.2.3"), ("--help",), ("--state", "nonsense")])
def test_nobody_waits_for_holders_that_are_not_asked_for(options):
    """Output is at its end when the command is, for a pipe's reader, too."""
    run(*options)  # which reads to the end


def test_a_devices_name_cannot_reach_the_terminal_raw(namespaces):
    """Whoever may make one in a container names it."""
    near = Path(f"/run/netns/{namespaces.near}")
    name = "\x1b[31m\u202e\u3164"
    ip("-n", namespaces.near, "link", "set", "near", "down")
    ip("-n", namespaces.near, "link", "set", "near", "name", name, "up")
    from tracer.host.netns import inside  # noqa: PLC0415  not the fixture of that name

    with inside(str(near), near.stat().st_ino):
        listener = socket.create_server(("10.0.0.1", 0))
    with listener:
        port = str(listener.getsockname()[1])
        wanted = ("sockets", "--exposed", "--all-netns", "--sport", port)
        argv = sockwatch(*wanted)
        done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=DEADLINE)
        argv = sockwatch(*wanted, "--json")
        lines = subprocess.run(argv, check=True, capture_output=True, timeout=DEADLINE).stdout
    assert r"reachable:10.0.0.1%\x1b[31m\u202e\u3164" in done.stdout
    assert (done.stdout + done.stderr).replace("\n", "").isprintable()
    (row,) = map(json.loads, lines.splitlines())
    assert row["reachable"] == [{"addr": "10.0.0.1", "interface": name}]
