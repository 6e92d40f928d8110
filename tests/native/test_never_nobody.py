# SPDX-License-Identifier: Apache-2.0
"""Every way to an address that this kernel can make is made, and no proof says that nobody sent.

Somebody is named where the probe sees the way; else nothing is proven, and the way is named.
"""

import contextlib
import subprocess
from pathlib import Path

import pytest

from tests.bypass_cases import (
    ALL,
    CALLS,
    EITHER,
    FRAME,
    GUESTS,
    HELD,
    RULES,
    SENT,
    TUNNELS,
    Way,
)
from tests.cases import HERE
from tests.native.conftest import DEADLINE, generate, ip, two_namespaces, wait_for
from tests.native.proof import starting_proofs
from tests.native.test_bypasses import add_macvtap, holder, new_cgroup, run
from tests.native.test_cases import perform
from tracer.inventory.bypasses.seen import SEEN, is_seen


@pytest.fixture
def start_proof(tmp_path):
    with starting_proofs(tmp_path) as start:
        yield start


@pytest.fixture(scope="class")
def network():
    with two_namespaces() as made:
        yield made


@contextlib.contextmanager
def made(near, way):
    """Makes the way; yields the process that holds it."""
    for module in way.modules:  # without it, what needs it says so
        subprocess.run(["modprobe", module], check=False, capture_output=True, timeout=DEADLINE)
    if way.make:
        run(near, way.make)
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(holder(near, *way.held)) if way.held else None


def send(near, way, held):
    """Uses the way; returns what the generator says."""
    if way.writes:
        write(held, way.writes)
    if way.runs:
        run(near, way.runs)
    return sent_by_generator(near, way.sends) if way.sends else []


def write(held, content):
    """Has the holder write it."""
    held.stdin.write(f"{content.hex()}\n")
    held.stdin.flush()
    assert held.stdout.readline() == "\n"


def sent_by_generator(near, words):
    case, dst, *options = words
    given = dict(option.split("=", 1) for option in options)
    (said,) = perform([{"case": case, "dst": dst, "options": given, "netns": near}])
    if "unsupported" in said:
        pytest.skip(f"this kernel has no {case}: {said['unsupported']}")
    return said["truth"]


def assert_verdict(way, probe, finished, senders):
    """Never nobody. ``senders`` are pids."""
    status, verdict = finished
    word = verdict["verdict"]
    assert word == {1: "somebody", 4: "not_proven"}.get(status), verdict
    if way.somebody is not EITHER:
        assert word == ("somebody" if probe in way.somebody else "not_proven"), verdict
        if word == "somebody":
            assert_senders(way, verdict, senders, probe)
    found = [(one["kind"], one["text"]) for one in verdict["reasons"]]
    for kind, words in way.reasons:
        if must_be_named(kind, probe, word):
            assert any(kind == one and words in text for one, text in found), verdict


def must_be_named(kind, probe, word):
    """What the probe sees all of need not be; where somebody was found, nothing but ways must."""
    if kind in SEEN:
        return is_seen(kind, probe, forward=True) is not True
    return word == "not_proven"


def assert_senders(way, verdict, pids, probe):
    rows = verdict["answer"] + verdict["connections"]
    if probe in way.unknown:
        assert [row["process"] for row in rows] == [None] * len(rows), verdict
    elif way.sender:
        assert way.sender in [row["sender"] for row in rows], verdict
    else:
        assert pids <= {row["process"]["pid"] for row in rows if row["process"]}, verdict


def pids_of(truth):
    assert truth
    return {line["pid"] for line in truth}


def check(start_proof, near, probe, way):
    """Makes a way, uses it while a proof runs, and compares the verdict."""
    with made(near, way) as held:
        proof = start_proof("--dst", way.dst, "--probe", probe, *way.options)
        truth = send(near, way, held)
        finished = proof.finish()
    assert_verdict(way, probe, finished, pids_of(truth) if way.sends else set())


class TestSent:
    """What leaves nothing behind shares its network namespaces."""

    @pytest.mark.parametrize("way", SENT, ids=lambda way: way.name)
    def test_never_nobody(self, start_proof, network, probe, way):
        check(start_proof, network.near, probe, way)


@pytest.mark.parametrize("way", HELD, ids=lambda way: way.name)
def test_what_is_only_held(start_proof, namespaces, probe, way):
    if probe in way.seen:
        pytest.skip(f"{probe} would see what it sends")
    check(start_proof, namespaces.near, probe, way)


@pytest.mark.parametrize("way", [*GUESTS, *RULES, *TUNNELS], ids=lambda way: way.name)
def test_never_nobody(start_proof, namespaces, probe, way):
    check(start_proof, namespaces.near, probe, way)


def test_macvtap(start_proof, namespaces, probe, tmp_path):
    """Behind the header of a virtio device, which is all 0."""
    way = Way("macvtap", somebody=EITHER, reasons=(("macvtap", "tap7"),))
    path = add_macvtap(namespaces.near, tmp_path)
    ip("-n", namespaces.near, "link", "set", "mvt", "up")
    with holder(namespaces.near, "opened", str(path)) as held:
        proof = start_proof("--dst", way.dst, "--probe", probe)
        write(held, bytes(10) + FRAME)
        finished = proof.finish()
    assert_verdict(way, probe, finished, set())


@pytest.mark.parametrize(("dst", "somebody"), [(HERE, ALL), ("127.0.0.200", EITHER)])
def test_what_a_cgroup_rewrites(start_proof, probe, dst, somebody):
    """Asked for is what it becomes, or what it was."""
    reason = ("cgroup_program", "sendmsg4 program past on cgroup /swbypass")
    way = Way("sendmsg4", dst, somebody=somebody, reasons=(reason,))
    with new_cgroup() as folder, holder(None, "sendmsg4", str(folder), "127.0.0.5"):
        proof = start_proof("--dst", dst, "--probe", probe)
        truth = generate("rewritten", "127.0.0.5", "port=9999", f"cgroup={folder}", "to=127.0.0.5")
        finished = proof.finish()
    assert_verdict(way, probe, finished, pids_of(truth))


@pytest.mark.parametrize("way", ["connection", "bypass_on_lo"])
@pytest.mark.parametrize("keeps", ["thread", "file", "socket"])
def test_what_is_in_a_namespace_without_a_name(start_proof, probe, keeps, way):
    """No listing has its sockets, and nothing reads its devices' counters."""
    leads = {"thread": "a thread", "file": "a descriptor", "socket": "a socket"}[keeps]
    with holder(None, "unnamed", keeps, way) as held:
        comm = Path(f"/proc/{held.pid}/comm").read_text().strip()
        reason = ("unreadable", f"which only {leads} of {comm} (pid {held.pid}) leads to")
        proof = start_proof("--dst", HERE, "--probe", probe)
        write(held, FRAME)
        finished = proof.finish()
    assert_verdict(Way(keeps, somebody=EITHER, reasons=(reason,)), probe, finished, set())


def sent_by_lo():
    return int(Path("/sys/class/net/lo/statistics/tx_packets").read_text())


def test_netconsole(start_proof, probe):
    """It sends the kernel's messages, to loopback here."""
    way = Way("netconsole", "127.0.0.5", somebody=EITHER, reasons=(("netconsole", "netconsole"),))
    target = "netconsole=9998@127.0.0.1/lo,9999@127.0.0.5/"
    loaded = subprocess.run(["modprobe", "netconsole", target], check=False, capture_output=True)
    if loaded.returncode:
        pytest.skip(f"this kernel has no netconsole: {loaded.stderr.decode()}")
    try:
        proof = start_proof("--dst", way.dst, "--probe", probe)
        before = sent_by_lo()
        with open("/dev/kmsg", "w") as messages:
            messages.write("<1>a message for netconsole\n")  # without its end it could go on
        wait_for(lambda: sent_by_lo() > before)  # a slow console before it may have it wait
        finished = proof.finish()
    finally:
        subprocess.run(["modprobe", "-r", "netconsole"], check=True, timeout=DEADLINE)
    assert finished[1]["verdict"] == ("somebody" if probe in CALLS else "not_proven"), finished
    assert_verdict(way, probe, finished, set())
