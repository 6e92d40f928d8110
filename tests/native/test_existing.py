# SPDX-License-Identifier: Apache-2.0
"""Sockets that were there before the tracer."""

import os
import resource
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.cases import PROBE_NAMES
from tests.logs import lines_of
from tests.native.conftest import DEADLINE, sockwatch, talking
from tests.odd_holder import holding
from tracer.host import netns

WATCHED = "127.0.0.5"
MOST = 15_000  # descriptors held
# seconds between connections: so many that the look at what is there falls among them, also where
# it takes long because all is emulated
PACE = 0.02 if os.environ.get("SOCKWATCH_PROBES") else 0.001


def test_sockets_from_before(start):
    with (
        talking("listen", WATCHED, "7010"),
        talking("tcp", WATCHED, "7010", "share") as tcp,
        talking("udp", WATCHED, "7011", "connect") as udp,
        talking("udp", WATCHED, "7012") as unconnected,
        talking("udp", "127.0.0.6", "7013", "connect"),
    ):
        tracer = start("--dst", WATCHED)
        udp.talk()
        unconnected.talk()
        run = tracer.finish()
    assert [line["event"] for line in run.lines] == [
        "start",
        *["existing"] * 2,
        *["send"] * 2,
        "stop",
    ]
    by_proto = {line["proto"]: line for line in run.existing}
    for proto, port, talker in (("tcp", 7010, tcp.said), ("udp", 7011, udp.said)):
        line = by_proto[proto]
        assert line["dst"] == {"addr": WATCHED, "port": port, "zone": None}
        assert line["src"]["addr"] == "127.0.0.1"
        assert (line["process"]["pid"], line["process"]["user"]) == (talker["pid"], "root")
        assert (line["socket"]["inode"], line["socket"]["cookie"]) == (
            talker["inode"],
            talker["cookie"],
        )
        assert (line["socket"]["state"], line["count"], line["bytes"]) == ("ESTAB", 0, 0)
        assert (line["outcome"], line["error"]) == (None, None)
        assert line["route"]["interface"] == "lo"
    holders = [one["pid"] for one in by_proto["tcp"]["process"]["holders"]]
    assert holders == sorted([tcp.said["pid"], tcp.said["child"]])
    assert run.stop["existing"] == 2
    rows = [line.split() for line in run.out.splitlines()[1:5]]
    assert [row[-1] for row in rows] == ["existing", "existing", "sent", "sent"]
    # in the answer, what was there stands by what was sent
    (row,) = [line for line in run.answer if f" udp {WATCHED}:7011 " in " ".join(line.split())]
    assert row.split()[-5:-3] == ["1", "13"]


@pytest.mark.native
def test_they_are_filtered_as_events_are(start):
    with (
        talking("udp", WATCHED, "7021", "connect") as one,
        talking("udp", WATCHED, "7022", "connect"),
    ):
        by_pid = start("--dst", WATCHED, "-p", str(one.said["pid"]))
        by_port = start("--dst", WATCHED, "-P", "7022")
        by_user = start("--dst", WATCHED, "-u", "nobody")
        failed = start("--dst", WATCHED, "-x")
        found = [
            [line["dst"]["port"] for line in tracer.finish().existing]
            for tracer in (by_pid, by_port, by_user, failed)
        ]
    assert found == [[7021], [7022], [], []]


@pytest.mark.native
def test_in_another_namespace(start, namespaces):
    with talking("udp", "10.0.0.5", "7031", "connect", netns=namespaces.near) as udp:
        (line,) = start("--dst", "10.0.0.5").finish().existing
    assert line["socket"]["netns"] == Path(f"/run/netns/{namespaces.near}").stat().st_ino
    assert (line["process"]["pid"], line["src"]["addr"]) == (udp.said["pid"], "10.0.0.1")
    assert line["route"] == {"interface": "near", "gateway": None, "source": "10.0.0.1"}


@pytest.mark.parametrize("place", ["ended", "table"])
def test_a_thread_has_it(start, place):
    """Of a process whose first thread has ended, or with a descriptor table of its own."""
    exe = os.path.realpath(sys.executable)
    with holding(place, WATCHED, 7041) as (process, held):
        by_program = start("--dst", WATCHED, "-P", "7041", "--exe", exe)
        by_pid = start("--dst", WATCHED, "-P", "7041", "-p", str(held["pid"]))
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline()
        runs = [by_program.finish(), by_pid.finish()]
    for run in runs:
        assert [line["event"] for line in run.lines[1:-1]] == ["existing", "send"]
        for line in run.lines[1:-1]:
            who = line["process"]
            assert (who["pid"], who["exe"], who["args"][2]) == (held["pid"], exe, place)
            assert line["socket"]["inode"] == held["inode"]
        assert run.stop["undecided"] == 0


@pytest.mark.native
def test_a_thread_has_it_in_another_namespace(start, namespaces):
    """Only the other threads lead there."""
    with holding("ended", "10.0.0.5", 7042, netns=namespaces.near) as (_, held):
        inode = Path(f"/run/netns/{namespaces.near}").stat().st_ino
        assert netns.path_of(inode, held["pid"]).startswith(f"/proc/{held['pid']}/task/")
        (line,) = start("--dst", "10.0.0.5").finish().existing
    assert (line["process"]["pid"], line["process"]["netns"]) == (held["pid"], inode)
    assert line["socket"]["inode"] == held["inode"]


@pytest.mark.native
def test_whose_it_is_that_is_in_flight_is_not_known(start):
    with holding("flight", WATCHED, 7043) as (_, held):
        shown = start("--dst", WATCHED, "-P", "7043").finish()
        filtered = start("--dst", WATCHED, "-P", "7043", "-p", str(held["pid"])).finish()
    (line,) = shown.existing
    assert line["process"] is None
    assert filtered.existing == []
    assert filtered.stop["undecided"] == 1


@pytest.mark.parametrize("probe", PROBE_NAMES)
def test_none_is_missed_or_shown_twice_around_the_start(refusals, tmp_path, probe):
    """Connections are made all the while."""
    if refusals[probe]:
        pytest.skip(f"this kernel refuses {probe}: {refusals[probe].strip()}")
    ready, log = tmp_path / "ready", tmp_path / "log"
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, MOST + 1000), most))
    held, ports = [], []
    with socket.create_server((WATCHED, 0), backlog=4096) as server:
        port = server.getsockname()[1]
        argv = sockwatch(
            "--dst", WATCHED, "--probe", probe, "--log", log, "--ready-file", ready, "-q"
        )
        with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as tracer:
            after = 100
            while after and len(held) < MOST and tracer.poll() is None:
                time.sleep(PACE)
                sock = socket.create_connection((WATCHED, port))
                held.append(sock)
                ports.append(sock.getsockname()[1])
                held.append(server.accept()[0])
                after -= ready.exists()
            assert ready.exists()
            tracer.terminate()
            assert tracer.wait(DEADLINE) == 0
    lines = lines_of(log)
    for sock in held:
        sock.close()
    shown = Counter(
        line["src"]["port"] for line in lines if line["event"] in ("existing", "connected")
    )
    assert shown == Counter(ports)
    events = Counter(line["event"] for line in lines)
    assert events["existing"] > 0
    assert events["connected"] >= 100
    assert {line["process"]["pid"] for line in lines if "process" in line} == {os.getpid()}
    order = [line["event"] for line in lines]
    assert "existing" not in order[order.index("connected") :]
