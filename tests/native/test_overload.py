# SPDX-License-Identifier: Apache-2.0
"""More than the ring holds: nothing is lost, and what is lost is said."""

import json
import re
import signal
import subprocess
import sys
from collections import Counter

import pytest

from tests.native.conftest import DEADLINE, wait_for

SMALLEST = ("-b", "1")
EACH = 20_000
FLOOD = """
import socket, sys
number, *addrs = sys.argv[1:]
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 0))
for i in range(int(number)):
    sock.sendto(b"x" * (i % 100), (addrs[i % len(addrs)], 9999))
"""
# the most addresses that an overflow map cannot hold, each once
MANY = """
import ipaddress, socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 0))
for i in range(40_000):
    sock.sendto(b"x", (str(ipaddress.ip_address(0x7F010000 + i)), 9999))
"""


def flood(code, *arguments):
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)])


def counted(events):
    """Events and bytes by process and destination."""
    counts, sizes = Counter(), Counter()
    for event in events:
        key = event["process"]["pid"], event["dst"]["addr"]
        counts[key] += event["count"]
        sizes[key] += event["bytes"]
    return counts, sizes


@pytest.mark.parametrize("options", [SMALLEST, ("-S", "0.5")], ids=["smallest ring", "summary"])
def test_all_is_counted(start, options):
    tracer = start("--dst", "127.0.0.0/8", "--comm", "python3", "--comm", "python", "-q", *options)
    senders = [flood(FLOOD, EACH, "127.0.0.5", "127.0.0.6") for _ in range(2)]
    for sender in senders:
        assert sender.wait(DEADLINE) == 0
    run = tracer.finish()
    half = sum(i % 100 for i in range(0, EACH, 2)), sum(i % 100 for i in range(1, EACH, 2))
    counts, sizes = counted(event for event in run.events if event["dst"]["port"] == 9999)
    keys = [(one.pid, addr) for one in senders for addr in ("127.0.0.5", "127.0.0.6")]
    assert counts == dict.fromkeys(keys, EACH // 2)
    assert [sizes[key] for key in keys] == [*half, *half]
    assert run.stop["coalesced"] > 0
    assert (run.stop["lost"], run.stop["matched"]) == (0, 2 * EACH)
    several = [event for event in run.events if event["count"] > 1]
    assert several
    assert all(event["time"] < event["last_time"] for event in several)
    assert "last_time" not in next((one for one in run.events if one["count"] == 1), {})


def test_a_summary_has_a_line_for_each_flow_and_interval(start):
    tracer = start("--dst", "127.0.0.5", "-S", "0.2")
    assert flood(FLOOD, EACH, "127.0.0.5").wait(DEADLINE) == 0
    run = tracer.finish()
    assert sum(event["count"] for event in run.events) == EACH
    assert len(run.events) < EACH / 100
    rows = [row for row in run.out.splitlines() if re.search(r" sent ×[\d.]+k?$", row)]
    assert len(rows) == len(run.events)


@pytest.mark.native
def test_what_is_lost_is_counted_and_said_at_once(start):
    tracer = start("--dst", "127.1.0.0/16", "-q", "--strict", *SMALLEST)
    tracer.process.send_signal(signal.SIGSTOP)
    assert flood(MANY).wait(DEADLINE) == 0
    tracer.process.send_signal(signal.SIGCONT)
    wait_for(lambda: '"event":"lost"' in tracer.log.read_text())
    run = tracer.finish()
    assert run.status == 3
    lost = [line for line in run.lines if line["event"] == "lost"]
    assert sum(line["lost"] for line in lost) == run.stop["lost"] > 0
    assert sum(event["count"] for event in run.events) + run.stop["lost"] == 40_000
    assert "not recorded: events lost " in run.err
    assert json.loads(tracer.log.read_text().splitlines()[-1])["event"] == "stop"


def test_strict_with_nothing_lost(start):
    tracer = start("--dst", "127.0.0.5", "--strict")
    assert flood(FLOOD, 100, "127.0.0.5").wait(DEADLINE) == 0
    assert tracer.finish().status == 0


CONNECTIONS, EACH_SECOND = 20_000, 5_000
# Short connections, which are reset so that no port stays in TIME_WAIT.
CONNECT = """
import os, socket, struct, sys, time
number, each_second = map(int, sys.argv[1:])
with socket.create_server(("127.0.0.5", 0), backlog=1024) as server:
    if not os.fork():
        for _ in range(number):
            server.accept()[0].close()
        os._exit(0)
    began = time.monotonic()
    for i in range(number):
        time.sleep(max(0, began + i / each_second - time.monotonic()))
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.connect(server.getsockname())
    os.wait()
"""


@pytest.mark.native
def test_many_short_connections(start):
    """Each is three flows of its own."""
    tracer = start("--dst", "127.0.0.5", "--tcp", "-q", "--log-max-size", "0")
    assert flood(CONNECT, CONNECTIONS, EACH_SECOND).wait(DEADLINE) == 0
    run = tracer.finish()
    assert (run.stop["lost"], run.stop["processes_lost"]) == (0, 0)
    kinds = Counter()
    for event in run.events:
        kinds[event["event"]] += event["count"]
    assert kinds == dict.fromkeys(("connect", "connected", "close"), CONNECTIONS)
