# SPDX-License-Identifier: Apache-2.0
"""Connections from the address that is watched, and who accepts them."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.logs import lines_of
from tests.native.conftest import DEADLINE, ip, stopped, talking, wait_for
from tests.native.proof import starting_proofs

SERVER = Path(__file__).parents[1] / "server.py"
WATCHED, HERE = "10.0.0.5", "10.0.0.1"
SENT = len(b"from a talker")


class Server:
    """A running tests/server.py in a namespace of ours; ``pid`` accepts."""

    def __init__(self, netns, port, mode="alone", addr=HERE):
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", netns, sys.executable, str(SERVER), addr, str(port), mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = json.loads(self.process.stdout.readline())["pid"]

    def says(self, word):
        assert self.process.stdout.readline() == f"{word}\n"


@contextlib.contextmanager
def serving(*arguments, **more):
    server = Server(*arguments, **more)
    try:
        yield server
    finally:
        server.process.communicate(timeout=DEADLINE)


def asked(namespaces):
    """Not what another test sends in namespaces of its own."""
    return "--dst", WATCHED, "-N", namespaces.near


def lines(tracer):
    return lines_of(tracer.log)


def sees_accept(tracer):
    return any(line["event"] == "accept" for line in lines(tracer))


def connect_once(tracer, namespaces, server, port, addr=HERE, *, is_seen=True):
    """A connection from there that sends once."""
    with contextlib.ExitStack() as open_for_now:
        with stopped(tracer):
            talker = talking("tcp", addr, str(port), netns=namespaces.far)
            talker = open_for_now.enter_context(talker)
            server.says("accepted")
        if is_seen:
            wait_for(lambda: sees_accept(tracer))
        talker.talk()
    server.says("closed")


def test_who_accepts(start, probe, namespaces):
    with serving(namespaces.near, 7050) as server:
        tracer = start(*asked(namespaces), "--probe", probe)
        connect_once(tracer, namespaces, server, 7050)
        run = tracer.finish()
    accept, close = run.events
    assert [accept["event"], close["event"]] == ["accept", "close"]
    for line in run.events:
        assert line["process"]["pid"] == server.pid
        assert (line["src"]["addr"], line["src"]["port"]) == (HERE, 7050)
        assert line["dst"]["addr"] == WATCHED
    assert (accept["outcome"], accept["bytes"]) == ("accepted", 0)
    assert accept["process"]["comm"] in ("python3", "python")
    assert accept["process"]["exe"] == close["process"]["exe"]
    assert (close["bytes"], close["bytes_received"]) == (0, SENT)
    assert "--accept" not in run.err
    assert "accept" not in run.err.split(" by ")[0]


@pytest.mark.parametrize("mode", ["workers", "child"])
def test_who_accepts_where_several_could(start, probe, namespaces, mode):
    """One of those that hold the listening socket has it; or who alone holds that has left it to a
    child."""
    with serving(namespaces.near, 7051, mode) as server:
        tracer = start(*asked(namespaces), "--probe", probe)
        connect_once(tracer, namespaces, server, 7051)
        accept, *_ = tracer.finish().events
    assert (accept["event"], accept["process"]["pid"]) == ("accept", server.pid)


def test_who_will_accept_is_not_guessed(start, probe, namespaces):
    """Two could. The better probes see that nobody has, and tell so by the end."""
    with serving(namespaces.near, 7052, "nobody"):
        tracer = start(*asked(namespaces), "--probe", probe)
        with talking("tcp", HERE, "7052", netns=namespaces.far) as talker:
            talker.talk()
            if probe == "tracepoint":
                wait_for(lambda: sees_accept(tracer))
    wait_for(lambda: any(line["event"] == "close" for line in lines(tracer)))
    accept, _ = tracer.finish().events
    assert (accept["event"], accept["process"]) == ("accept", None)


def test_ipv6(start, probe, namespaces):
    with serving(namespaces.near, 7053, addr="::") as server:
        tracer = start("--dst", "fd00::5", *asked(namespaces), "--probe", probe)
        connect_once(tracer, namespaces, server, 7053, "fd00::1")
        connect_once(tracer, namespaces, server, 7053)
        run = tracer.finish()
    accepted = [line for line in run.events if line["event"] == "accept"]
    assert [line["dst"]["addr"] for line in accepted] == ["fd00::5", WATCHED]
    assert {line["process"]["pid"] for line in run.events} == {server.pid}


@pytest.mark.parametrize("by", ["pid", "comm", "uid"])
def test_by_process(start, probe, namespaces, by):
    """The connections of others are left out, with their end."""
    with serving(namespaces.near, 7054) as server, serving(namespaces.near, 7055) as other:
        options = {
            "pid": ("-p", str(server.pid)), "comm": ("--comm", "nothing"), "uid": ("-u", "65533"),
        }[by]  # fmt: skip
        tracer = start(*asked(namespaces), "--probe", probe, *options)
        connect_once(tracer, namespaces, other, 7055, is_seen=False)
        connect_once(tracer, namespaces, server, 7054, is_seen=by == "pid")
        run = tracer.finish()
    found = [(line["event"], line["process"]["pid"]) for line in run.events]
    assert found == ([("accept", server.pid), ("close", server.pid)] if by == "pid" else [])
    assert run.stop["undecided"] == 0
    assert run.stop["matched"] == len(found)


def test_left_out(start, probe, namespaces):
    with serving(namespaces.near, 7056) as server:
        tracer = start(*asked(namespaces), "--probe", probe, "--no-accept")
        connect_once(tracer, namespaces, server, 7056, is_seen=False)
        run = tracer.finish()
    assert run.events == []
    assert "connections from there (--accept)" in run.err


def test_a_namespace_without_a_name(start, probe, namespaces):
    """As a container's: something of the connection's must lead there."""
    with serving(namespaces.near, 7057) as server:
        tracer = start(*asked(namespaces), "--probe", probe)
        ip("netns", "del", namespaces.near)
        try:
            connect_once(tracer, namespaces, server, 7057)
            accept, _ = tracer.finish().events
        finally:
            ip("netns", "attach", namespaces.near, str(server.pid))
    assert (accept["event"], accept["process"]["pid"]) == ("accept", server.pid)


def test_whom_nobody_accepts_is_somebody(tmp_path, probe, namespaces):
    """The better probes tell of it only when it ends; the kernel knows."""
    with starting_proofs(tmp_path) as start_proof, serving(namespaces.near, 7059, "nobody"):
        proof = start_proof(*asked(namespaces), "--probe", probe)
        with talking("tcp", HERE, "7059", netns=namespaces.far) as talker:
            talker.talk()
            status, verdict = proof.finish()
    assert (verdict["verdict"], status) == ("somebody", 1)
    found = [*verdict["answer"], *verdict["connections"]]
    assert [(one["process"], one["dst"]["addr"]) for one in found] == [(None, WATCHED)]


def test_who_is_talked_to_is_somebody(tmp_path, probe, namespaces):
    with (
        starting_proofs(tmp_path) as start_proof,
        serving(namespaces.near, 7058) as server,
    ):
        proof = start_proof(*asked(namespaces), "--probe", probe)
        with talking("tcp", HERE, "7058", netns=namespaces.far):
            server.says("accepted")
            status, verdict = proof.finish()
    assert (verdict["verdict"], status) == ("somebody", 1)
    assert f"(pid {server.pid})" in verdict["sentence"]
