# SPDX-License-Identifier: Apache-2.0
"""Proofs on real traffic: nobody, somebody, and a witness that finds one frame among many."""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests import tiny
from tests.native.conftest import (
    DEADLINE,
    generate,
    ip,
    outsider,
    sockwatch,
    talking,
    wait_for,
)
from tests.native.proof import starting_proofs
from tests.native.test_bypasses import CLSACT, FILTER, TO_LO, U32, held
from tests.native.test_bypasses import run as run_in
from tests.native.test_missed_returns import is_sending, send_all
from tests.outsider import MAC
from tracer.host import netns, open_files

NOBODYS = "10.0.0.77"  # an address in the namespaces' network that nothing is sent to
BRIEFS = 10
TRIES = 3
AGAIN = 4  # times that TCP sends again: seconds, since it waits twice as long each time
IN_OPEN = 0x20  # inotify(7)
INOTIFY_EVENT = 16  # bytes, of a file that is watched itself
libc = ctypes.CDLL(None, use_errno=True)
# bypass.py DEVICE BYPASS COUNT: frames from a packet socket, past the device's queue or not
BYPASS = """
import socket, sys
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sock.setsockopt(263, 20, int(sys.argv[2]))  # SOL_PACKET, PACKET_QDISC_BYPASS
sock.bind((sys.argv[1], 0x0800))
frame = bytes.fromhex("020000000005" * 2) + b"\\x08\\x00" + bytes(60)
for _ in range(int(sys.argv[3])):
    sock.send(frame)
"""
# flood.py ADDRESS COUNT
FLOOD = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(int(sys.argv[2])):
    sock.sendto(b"x", (sys.argv[1], 9))
"""


@pytest.fixture
def start_proof(tmp_path):
    with starting_proofs(tmp_path) as start:
        yield start


def run_inside(place, program, *arguments):
    argv = ["ip", "netns", "exec", place, sys.executable, "-c", program, *arguments]
    subprocess.run(argv, check=True, timeout=DEADLINE)


def assert_nobody(status, verdict):
    assert (verdict["verdict"], status) == ("nobody", 0), verdict


def assert_witness(status, verdict, device, unseen):
    """Nothing is proven, because of this device alone."""
    assert (verdict["verdict"], status) == ("not_proven", 4), verdict
    (found,) = verdict["differences"]
    assert (found["device"], found["unseen"], found["missing"]) == (device, unseen, 0)
    assert [reason["kind"] for reason in verdict["reasons"]] == ["witness"]


def test_nobody_beside_other_traffic(start_proof, namespaces, probe):
    proof = start_proof("--dst", NOBODYS, "--probe", probe)
    run_inside(namespaces.near, FLOOD, "10.0.0.5", "5000")
    generate("sendto", "fd00::5", "count=23", netns=namespaces.near)
    generate("gso", "10.0.0.5", netns=namespaces.near)
    generate("fragments", "10.0.0.5", netns=namespaces.near)
    generate("connect", "10.0.0.5", "port=9", netns=namespaces.near)
    status, verdict = proof.finish()
    assert_nobody(status, verdict)
    assert verdict["packets"] >= 5000
    assert verdict["devices"] >= 4
    assert verdict["namespaces"] >= 3
    assert "obody sent to 10.0.0.77 from " in verdict["sentence"]


def test_nobody_while_packets_are_sent_at_both_ends(start_proof, namespaces):
    """Counters are read, and hooks attached, while a device is never quiet."""
    argv = ["ip", "netns", "exec", namespaces.near, sys.executable, "-c", FLOOD]
    flood = subprocess.Popen([*argv, "10.0.0.5", "100000000"])
    try:
        wait_for(lambda: packets_of("near", namespaces.near)["tx"] > 1000)
        proof = start_proof("--dst", NOBODYS)
        status, verdict = proof.finish()
        assert flood.poll() is None
    finally:
        flood.kill()
        flood.wait()
    assert_nobody(status, verdict)
    assert verdict["packets"]


UDP_CORK = 1
SEES_CALLS = ("fexit", "kprobe")
WAYS_OF_UDP = {
    "10.0.0.1": ("send", "mapped", "mapped_connected", "gso", "gso_control", "more", "cork",
                 "splice", "sendfile", "sendmmsg", "zero_bytes", "fragments"),
    "fd00::1": ("send", "cork_ipv6"),
    "10.99.0.1": ("no_route",),
}  # fmt: skip


def test_udp_agrees_with_its_calls(start_proof, namespaces, probe):
    """However it is sent, and where that fails, too."""
    proof = start_proof("--dst", NOBODYS, "--probe", probe)
    for address, ways in WAYS_OF_UDP.items():
        for way in ways:
            generate(way, address, "port=9999", netns=namespaces.near)
    run_inside(namespaces.near, FLOOD, "10.0.0.5", "1000")
    status, verdict = proof.finish()
    assert verdict["udp_differences"] == []
    assert_nobody(status, verdict)


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, "10.0.0.5"),
        (socket.AF_INET6, "fd00::5"),
        (socket.AF_INET6, "::ffff:10.0.0.5"),
    ],
)
def test_a_datagram_whose_call_was_before(start_proof, namespaces, probe, family, address):
    """It was corked, and setsockopt() sends it: nothing else is counted without a call."""
    near = f"/run/netns/{namespaces.near}"
    with netns.inside(near, Path(near).stat().st_ino):
        sock = socket.socket(family, socket.SOCK_DGRAM)
    with sock:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_CORK, 1)
        sock.sendto(b"corked", (address, 9))
        proof = start_proof("--dst", NOBODYS, "--probe", probe)
        sock.setsockopt(socket.IPPROTO_UDP, UDP_CORK, 0)
        status, verdict = proof.finish()
    if probe in SEES_CALLS:
        assert verdict["udp_differences"] == [{"netns": namespaces.near, "unseen": 1}]
        assert (verdict["verdict"], status) == ("not_proven", 4)
        (reason,) = verdict["reasons"]
        assert reason["text"] == (
            f"the network namespace {namespaces.near} sent 1 UDP datagram (Udp:OutDatagrams) that "
            "no hook saw a call for"
        )
    else:
        assert_nobody(status, verdict)


def test_a_call_that_began_before(start_proof, namespaces, probe):
    """It waits for room, and sends once it has it. Its hooks were attached too late."""
    neighbours = "net.ipv4.neigh.near"
    settings = (f"{neighbours}.mcast_solicit=600", f"{neighbours}.unres_qlen_bytes=100000000")
    ip("netns", "exec", namespaces.near, "sysctl", "-q", *settings)
    near = f"/run/netns/{namespaces.near}"
    with netns.inside(near, Path(near).stat().st_ino):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
        thread = threading.Thread(target=send_all, args=(sock,))
        thread.start()
        wait_for(lambda: is_sending(thread))
        proof = start_proof("--dst", NOBODYS, "--probe", probe)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        thread.join(DEADLINE)
        _, verdict = proof.finish()
    if probe in SEES_CALLS:
        assert verdict["udp_differences"] == [{"netns": namespaces.near, "unseen": 1}]
    assert verdict["verdict"] != "nobody"


@pytest.mark.parametrize("way", ["sendto", "cork"])
def test_udp_in_a_namespace_made_meanwhile(start_proof, probe, way):
    """Its counters are read before it ends."""
    name = f"swbrief{os.getpid()}"
    proof = start_proof("--dst", NOBODYS, "--probe", probe)
    held = sockets_of(proof)
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "set", "lo", "up")
        generate("sendto", "127.0.0.1", netns=name)
        wait_for(lambda: sockets_of(proof) > held)  # it was found
        generate(way, "127.0.0.1", "port=9", netns=name)
    finally:
        ip("netns", "del", name)
    assert_nobody(*proof.finish())


def packets_of(device, place):
    """What a device has sent ("tx") and received ("rx")."""
    (shown,) = json.loads(ip("-n", place, "-s", "-j", "link", "show", "dev", device))
    return {way: found["packets"] for way, found in shown["stats64"].items()}


def test_somebody(start_proof, namespaces, probe):
    proof = start_proof("--dst", "10.0.0.5", "--probe", probe)
    (truth, *_) = generate("sendto", "10.0.0.5", "count=3", netns=namespaces.near)
    status, verdict = proof.finish()
    assert (verdict["verdict"], status) == ("somebody", 1)
    (row,) = verdict["answer"]
    assert row["process"]["pid"] == truth["pid"]
    assert (row["proto"], row["count"]) == ("udp", 3)
    assert f"(pid {truth['pid']})" in verdict["sentence"]


@contextlib.contextmanager
def router_of_a_guest(netns):
    """A process that holds a tap there, whose packets are forwarded to 10.0.0.5. Nothing is sent to
    it: a tap counts what is read, and it reads nothing."""
    ip("netns", "exec", netns, "sysctl", "-q", "net.ipv6.conf.default.disable_ipv6=1")
    ip("netns", "exec", netns, "sysctl", "-q", "net.ipv4.ip_forward=1")
    with outsider(netns, "napi", "swtap", "10.8.0.2", MAC) as guest:
        ip("-n", netns, "link", "set", "swtap", "up", "address", MAC)
        ip("-n", netns, "addr", "add", "10.8.0.1/24", "dev", "swtap")
        yield guest


def test_who_only_receives_is_somebody(start_proof, probe):
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as theirs,
    ):
        ours.bind(("127.0.0.1", 0))
        theirs.bind(("127.0.0.50", 0))
        proof = start_proof("--dst", "127.0.0.50", "--probe", probe)
        theirs.sendto(bytes(300), ours.getsockname())
        status, found = proof.finish()
    assert (status, found["verdict"]) == (1, "somebody")
    assert "packets came from there" in found["sentence"]
    (row,) = found["answer"]
    assert (row["process"]["pid"], row["bytes"], row["bytes_received"]) == (os.getpid(), 0, 300)


def test_somebody_is_forwarded(start_proof, namespaces):
    with router_of_a_guest(namespaces.near) as guest:
        proof = start_proof("--dst", "10.0.0.5", "-N", namespaces.near)
        guest.send("tcp", 3)
        status, verdict = proof.finish()
        pid = guest.process.pid
    assert (verdict["verdict"], status) == ("somebody", 1)
    (row,) = verdict["answer"]
    assert (row["process"]["pid"], row["proto"], row["count"]) == (pid, "tcp", 3)


def test_nobody_is_forwarded(start_proof, namespaces):
    """A machine that forwards is no reason to doubt, unless that is not watched."""
    with router_of_a_guest(namespaces.near) as guest:
        proof = start_proof("--dst", NOBODYS, "-N", namespaces.near)
        blind = start_proof("--dst", NOBODYS, "-N", namespaces.near, "--no-forward")
        guest.send("udp", 3)
        assert_nobody(*proof.finish())
        status, verdict = blind.finish()
    assert (verdict["verdict"], status) == ("not_proven", 4)
    assert {reason["kind"] for reason in verdict["reasons"]} == {"forwarding", "tun"}


def test_somebody_was_connected_before(start_proof, namespaces):
    """No hook sees what such a connection sends."""
    far = namespaces.far
    with listening_in(far) as server, talking("tcp", "10.0.0.5", str(server.port),
                                              netns=namespaces.near) as talker:  # fmt: skip
        silent = start_proof("--dst", "10.0.0.5")
        assert_nobody(*silent.finish())
    with listening_in(far) as server, talking("tcp", "10.0.0.5", str(server.port),
                                              netns=namespaces.near) as talker:  # fmt: skip
        proof = start_proof("--dst", "10.0.0.5")
        talker.talk()
        status, verdict = proof.finish()
    assert (verdict["verdict"], status) == ("somebody", 1), verdict
    (connection,) = verdict["connections"]
    assert connection["bytes_sent"] > 0
    assert connection["segments_sent"] > 0
    assert connection["dst"]["addr"] == "10.0.0.5"


def test_who_ends_a_connection_from_before_is_somebody(start_proof, namespaces):
    with listening_in(namespaces.far) as server:
        with talking("tcp", "10.0.0.5", str(server.port), netns=namespaces.near) as who:
            proof = start_proof("--dst", "10.0.0.5", "--dport", str(server.port))
            sender = who.said["pid"]
        wait_for(lambda: not Path(f"/proc/{sender}").exists())
        status, verdict = proof.finish()
    assert (verdict["verdict"], status) == ("somebody", 1), verdict
    (row,) = verdict["answer"]
    assert (row["process"]["pid"], row["proto"]) == (sender, "tcp")
    assert "connection" not in {reason["kind"] for reason in verdict["reasons"]}


class _Listening:
    def __init__(self, sock):
        self.port = sock.getsockname()[1]


@contextlib.contextmanager
def listening_in(place):
    """A socket that listens on 10.0.0.5, and accepts nothing."""
    with tcp_socket(place) as sock:
        sock.bind(("10.0.0.5", 0))
        sock.listen()
        yield _Listening(sock)


def test_one_frame_past_the_queue_among_many(start_proof, namespaces, probe):
    proof = start_proof("--dst", NOBODYS, "--probe", probe)
    run_inside(namespaces.near, FLOOD, "10.0.0.5", "50000")
    run_inside(namespaces.near, BYPASS, "near", "1", "1")
    run_inside(namespaces.near, FLOOD, "10.0.0.5", "50000")
    status, verdict = proof.finish()
    assert verdict["packets"] >= 100_000
    assert_witness(status, verdict, "near", 1)
    where = f"near in the network namespace {namespaces.near}"
    assert verdict["reasons"][0]["text"] == f"{where} sent 1 packet that no hook saw"


def test_frames_that_go_by_the_queue_are_seen(start_proof, namespaces):
    proof = start_proof("--dst", NOBODYS)
    run_inside(namespaces.near, BYPASS, "near", "0", "7")
    assert_nobody(*proof.finish())


def wait_for_looks(number=2):
    """Waits until the ways past the hooks have been looked for so often. Each look reads which
    drivers there are; the first one may have begun before."""
    watch = libc.inotify_init1(os.O_NONBLOCK)
    try:
        assert libc.inotify_add_watch(watch, b"/proc/devices", IN_OPEN) >= 0
        seen = bytearray()

        def looked():
            with contextlib.suppress(BlockingIOError):
                seen.extend(os.read(watch, 4096))
            return len(seen) >= number * INOTIFY_EVENT

        wait_for(looked)
    finally:
        os.close(watch)


@contextlib.contextmanager
def made(netns, make, undo):
    run_in(netns, make)
    yield None
    run_in(netns, undo)


WAYS = {
    "packet socket": (lambda netns: held(netns, "bypass"),
                      "packet socket with QDISC_BYPASS in network namespace {}: "),
    "nft dup": (lambda netns: made(netns, f"{FILTER} dup to 10.0.0.5", "nft delete table ip t"),
                "nftables dup in ip t c in network namespace {}"),
    "mirred": (lambda netns: made(netns, f"{CLSACT} {U32} {TO_LO}",
                                  "tc qdisc del dev near clsact"),
               "tc mirred on near (egress) to lo in network namespace {}"),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_way_past_the_hooks_in_between_is_named(start_proof, namespaces, way):
    """It is not there at the start, nor at the end. fexit and kprobe see what takes these ways."""
    make, sentence = WAYS[way]
    proof = start_proof("--dst", NOBODYS, "--probe", "tracepoint")
    with make(namespaces.near):
        wait_for_looks()
    status, verdict = proof.finish()
    assert (verdict["verdict"], status) == ("not_proven", 4), verdict
    (reason,) = verdict["reasons"]
    assert reason["text"].startswith(sentence.format(namespaces.near))
    assert reason["text"].endswith(" (for a time in between)")


@pytest.mark.parametrize("bypass", [0, 1])
def test_a_device_made_and_removed_meanwhile(start_proof, namespaces, bypass):
    near = namespaces.near
    proof = start_proof("--dst", NOBODYS)
    ip("-n", near, "link", "add", "va", "type", "veth", "peer", "vb")
    for device in ("va", "vb"):
        ip("-n", near, "link", "set", device, "up")
    run_inside(near, BYPASS, "va", "0", "5")
    run_inside(near, BYPASS, "va", str(bypass), "3")
    ip("-n", near, "link", "del", "va")
    status, verdict = proof.finish()
    if bypass:
        assert_witness(status, verdict, "va", 3)
    else:
        assert_nobody(status, verdict)


@pytest.mark.parametrize("bypass", [0, 1])
def test_a_namespace_made_and_removed_meanwhile(start_proof, bypass):
    """Its devices' counters are read before it ends."""
    name = f"swbrief{os.getpid()}"
    proof = start_proof("--dst", NOBODYS)
    held = sockets_of(proof)
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "set", "lo", "up")
        run_inside(name, BYPASS, "lo", "0", "4")
        wait_for(lambda: sockets_of(proof) > held)  # it was found
        run_inside(name, BYPASS, "lo", str(bypass), "2")
    finally:
        ip("netns", "del", name)
    status, verdict = proof.finish()
    if bypass:
        assert_witness(status, verdict, "lo", 2)
    else:
        assert_nobody(status, verdict)


BRIEF = (
    ("unshare", "-n", "sh", "-c", "ip link set lo up && {tiny}"),
    ("sh", "-c", "ip netns add {name} && ip -n {name} link set lo up; "
                 "ip netns exec {name} {tiny}; ip netns del {name}"),
)  # fmt: skip


@pytest.mark.parametrize("command", BRIEF, ids=("unshare", "ip netns"))
def test_namespaces_that_last_for_some_milliseconds(start_proof, tmp_path, command):
    """They are opened before they end. Nothing but the first program in there tells of them. Where
    all CPUs are busy, one may be missed."""
    program = tiny.write(tmp_path / "tiny", "127.0.0.1", 9)
    names = {"tiny": program, "name": f"swbrief{os.getpid()}"}
    argv = [word.format(**names) for word in command]
    for _ in range(TRIES):
        proof = start_proof("--dst", NOBODYS)
        for _ in range(BRIEFS):
            subprocess.run(argv, check=True, timeout=DEADLINE)
        status, verdict = proof.finish()
        if status == 0:
            break
    assert_nobody(status, verdict)
    assert verdict["packets"] >= BRIEFS
    assert verdict["namespaces"] > BRIEFS


@pytest.fixture
def pair():
    """Names for two namespaces of the test."""
    return tuple(f"sw{side}{os.getpid()}" for side in ("left", "right"))


@contextlib.contextmanager
def joined(left, right):
    """Makes the two, joined by devices that are up, until the block ends. There is no process in
    them. Yields what deletes the left one's name before that."""
    with contextlib.ExitStack() as undo, contextlib.ExitStack() as undo_left:
        for name, stack in ((left, undo_left), (right, undo)):
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)
        ip("-n", left, "link", "add", "left", "type", "veth", "peer", "right", "netns", right)
        for name, device, address in ((left, "left", "10.7.0.1"), (right, "right", "10.7.0.2")):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", device)
            ip("-n", name, "link", "set", device, "up")
        yield undo_left.close


def test_a_device_sends_on_its_own_in_a_brief_namespace(start_proof, pair):
    """No process is in there. The kernel tells of it, whatever the tracer does meanwhile."""
    left, right = pair
    proof = start_proof("--dst", NOBODYS)
    proof.process.send_signal(signal.SIGSTOP)
    try:
        with joined(left, right):
            wait_for(lambda: packets_of("left", left)["tx"])
            wait_for(lambda: packets_of("right", right)["tx"])
    finally:
        proof.process.send_signal(signal.SIGCONT)
    assert_nobody(*proof.finish())


def test_a_connection_outlives_its_process_and_its_namespaces_name(start_proof, pair):
    """What it has left to send, it sends again and again, where nothing leads to."""
    left, right = pair
    proof = start_proof("--dst", NOBODYS)
    with joined(left, right) as end_left:
        with tcp_socket(right) as server, tcp_socket(left) as client:
            server.bind(("10.7.0.2", 0))
            server.listen()
            client.connect(server.getsockname())
            ip("-n", right, "addr", "del", "10.7.0.2/24", "dev", "right")
            client.send(b"never acknowledged")
        end_left()
        before = packets_of("right", right)["rx"]
        wait_for(lambda: packets_of("right", right)["rx"] >= before + AGAIN)
    assert_nobody(*proof.finish())


def tcp_socket(place):
    path = f"/run/netns/{place}"
    with netns.inside(path, Path(path).stat().st_ino):
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def test_a_namespace_ends_in_spite_of_the_proof(start_proof, namespaces):
    """It is kept for a moment only; with it, a link to another one goes."""
    near, name = namespaces.near, f"swends{os.getpid()}"
    ip("netns", "add", name)
    try:
        ip("-n", near, "link", "add", "va", "type", "veth", "peer", "vb", "netns", name)
        proof = start_proof("--dst", NOBODYS)
    finally:
        ip("netns", "del", name)
    wait_for(lambda: " va@" not in ip("-n", near, "link", "show"))
    assert_nobody(*proof.finish())


def sockets_of(proof):
    folder = Path(f"/proc/{proof.process.pid}/fd")
    number = 0
    for fd in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            number += os.readlink(fd).startswith("socket:")
    return number


def test_the_time_is_over(start_proof):
    proof = start_proof("--dst", NOBODYS, "--duration", "0.3")
    assert_nobody(*proof.finish(None))


@pytest.mark.parametrize("number", [2, 15])
def test_a_signal_ends_it_with_the_verdict(start_proof, number):
    proof = start_proof("--dst", NOBODYS, "--duration", "1h")
    assert_nobody(*proof.finish(number))


def test_people_get_a_sentence():
    asked = "to 10.0.0.77 (proto udp or udplite)"
    argv = sockwatch("prove", "--dst", NOBODYS, "--udp", "--duration", "0.2")
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)
    if open_files.find().unreadable:
        assert done.returncode == 4
        assert done.stdout.startswith(
            "It is not proven that nobody sent to 10.0.0.77 (proto udp or udplite)"
        )
    else:
        assert done.returncode == 0
        assert done.stdout.startswith(f"Nobody sent {asked} from ")
        assert done.stdout.count("\n") == 1
    assert "watching whether anybody sends to 10.0.0.77 (proto udp or udplite)" in done.stderr


def test_where_nothing_can_be_attached_nothing_is_proven():
    argv = sockwatch("prove", "--dst", NOBODYS, "--duration", "0")
    done = subprocess.run(
        ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *argv],
        check=False, capture_output=True, text=True, timeout=DEADLINE,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
