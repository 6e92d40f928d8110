# SPDX-License-Identifier: Apache-2.0
"""What open TCP connections move, both ways: every byte is told once."""

import contextlib
import json
import socket
import subprocess
import sys
import threading

from tests.native.conftest import DEADLINE, ip, sockwatch, wait_for

WATCHED = "127.0.0.50"


@contextlib.contextmanager
def connection(addr=WATCHED):
    """A connection of this process to itself: the end that connected, and the other one."""
    with socket.create_server((addr, 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
        with near, far:
            yield near, far


def move(sender, receiver, size):
    """Sends so many bytes, and waits until they are read."""
    thread = threading.Thread(target=sender.sendall, args=(bytes(size),))
    thread.start()
    left = size
    while left:
        got = len(receiver.recv(1 << 20))
        assert got
        left -= got
    thread.join(DEADLINE)


def of_connect(lines, near_port):
    return [line for line in lines if line["src"]["port"] == near_port]


def sums(run, port):
    """Payload sent and received, by the log's lines of a connection."""
    volumes = of_connect(run.volumes, port)
    ends = [line for line in of_connect(run.events, port) if line["event"] == "close"]
    return (
        sum(line["bytes"] for line in volumes) + sum(line["bytes_since"] for line in ends),
        sum(line["bytes_received"] for line in volumes)
        + sum(line["bytes_received_since"] for line in ends),
    )


def report(run, *options):
    argv = [*sockwatch(), "report", str(run.log), "--json", *options]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=DEADLINE)
    found = map(json.loads, done.stdout.splitlines())
    return [row for row in found if "coverage" not in row]


def test_a_connection_that_stays_open(start, probe):
    """It outlives the tracer, which tells of it at every look and at the end."""
    tracer = start("--dst", WATCHED, "--probe", probe, "--volumes", "0.1")
    with connection() as (near, far):
        port = near.getsockname()[1]
        move(near, far, 5_500_000)
        wait_for(lambda: tracer.log.read_text().count('"volume"') >= 1)
        move(far, near, 1_000_000)
        move(near, far, 7)
        run = tracer.finish()
    assert sums(run, port) == (5_500_007, 1_000_000)
    assert max(line["time"] for line in run.lines) == run.stop["time"]  # all was watched
    (row,) = run.answer
    assert row.split()[-4:-2] == ["5500007", "1000000"]
    (row,) = report(run, "--by", "process")
    assert (row["bytes"], row["bytes_received"]) == (5_500_007, 1_000_000)


def test_the_end_tells_only_the_rest(start, probe):
    tracer = start("--dst", WATCHED, "--probe", probe, "--volumes", "0.1")
    with connection() as (near, far):
        port = near.getsockname()[1]
        move(near, far, 100_000)
        wait_for(lambda: '"volume"' in tracer.log.read_text())
        move(near, far, 11)
        move(far, near, 13)
    wait_for(lambda: '"close"' in tracer.log.read_text())
    run = tracer.finish()
    (end,) = [line for line in of_connect(run.events, port) if line["event"] == "close"]
    assert (end["bytes"], end["bytes_received"]) == (100_011, 13)
    assert sums(run, port) == (100_011, 13)
    (row,) = report(run, "--by", "process")
    assert (row["bytes"], row["bytes_received"]) == (100_011, 13)


def test_one_from_before(start, probe):
    """What it moved before is told by itself; the other end's FIN is no byte received."""
    with connection() as (near, far):
        port = near.getsockname()[1]
        move(near, far, 30_000)
        move(far, near, 40)
        tracer = start("--dst", WATCHED, "--probe", probe, "--volumes", "0.1")
        move(near, far, 500)
        far.shutdown(socket.SHUT_WR)
        assert near.recv(1) == b""
        wait_for(lambda: '"volume"' in tracer.log.read_text())
        near.close()
        wait_for(lambda: '"close"' in tracer.log.read_text())
        run = tracer.finish()
    (line,) = of_connect(run.existing, port)
    assert (line["bytes_before"], line["bytes_received_before"]) == (30_000, 40)
    assert sums(run, port) == (500, 0)


def test_in_a_namespace_with_loss(start, probe, namespaces):
    """What is sent again counts once."""
    near = namespaces.near
    for rule in (
        "add table ip t",
        "add chain ip t in { type filter hook input priority 0 ; }",
        "add rule ip t in meta length > 1000 numgen random mod 20 0 drop",
    ):
        ip("netns", "exec", near, "nft", rule)
    tracer = start("--dst", WATCHED, "--probe", probe, "--volumes", "0.2")
    code = (
        "import socket, threading, sys\n"
        f"server = socket.create_server(('{WATCHED}', 7001))\n"
        "near = socket.create_connection(server.getsockname())\n"
        "far, _ = server.accept()\n"
        "threading.Thread(target=near.sendall, args=(bytes(300_000),)).start()\n"
        "left = 300_000\n"
        "while left: left -= len(far.recv(1 << 20))\n"
        "print(near.getsockname()[1], flush=True)\n"
        "sys.stdin.readline()\n"
    )
    argv = ["ip", "netns", "exec", near, sys.executable, "-c", code]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sender:
        port = int(sender.stdout.readline())
        run = tracer.finish()
        sender.communicate("\n", timeout=DEADLINE)
    assert sums(run, port) == (300_000, 0)


def test_what_is_counted_and_did_not_come_is_0(start):
    tracer = start("--dst", WATCHED, "--udp")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"hello", (WATCHED, 7002))
        run = tracer.finish()
    (row,) = run.answer
    assert row.split()[-5:-2] == ["1", "5", "0"]


def test_failures_only_tells_of_no_volumes(start):
    tracer = start("--dst", WATCHED, "-x", "--volumes", "0.1")
    with connection() as (near, far):
        move(near, far, 1000)
        run = tracer.finish()
    assert run.volumes == []


def test_a_script_asks_whether_a_connection_from_before_moves(start):
    """Its data is no event."""
    options = ("--dst", WATCHED, "-q", "-c", "1", "--no-accept")
    with connection() as (near, far):
        calm = start(*options, "--duration", "0.1")
        assert calm.finish(None).status == 1
        busy = start(*options)
        move(near, far, 100_000)
        run = busy.finish()
    assert run.status == 0
    assert " 100000 " in run.out
