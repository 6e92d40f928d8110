# SPDX-License-Identifier: Apache-2.0
import json
from dataclasses import replace
from ipaddress import ip_address

import pytest

from tests.samples import event, flow, process
from tracer.model.address import address
from tracer.model.expand import expanded
from tracer.model.fields import ARGS_BYTES, FIELDS, PROCESS_FIELDS, Rendering, first_args
from tracer.model.flow import (
    ERROR_NOT_OBSERVED,
    HOLDS_DEVICE,
    Endpoint,
    EventKind,
    Icmp,
    Nat,
    Neighbour,
    Origin,
    Route,
    SocketDetails,
    Via,
)
from tracer.model.process import Container, Holder, Parent
from tracer.trace.line import Line, ProcessLines, outcome_json

RENDERING = Rendering("3f9a1c2b5d6e7f80", lambda boot_ns: f"T+{boot_ns}")


EVENT = event(count=3, bytes=42, received=7, elapsed=1_500_000)


def told(a_flow, an_event=EVENT, rendering=RENDERING):
    """What is written: the process's line (None: there is none), and the event's."""
    line = Line(a_flow, rendering, ProcessLines(rendering))
    before = line.process and json.loads(f'{{"time":"NOW{line.process.text}')
    return before, json.loads(line.text(an_event, "NOW", "LATER"))


def line(a_flow, error=0):
    """An event with all that is known of its process."""
    before, found = told(a_flow, replace(EVENT, error=error))
    return expanded(found, before and before["process"])


def test_a_line_stands_alone():
    who = process(
        args=("dig", "@10.0.0.5", "x" * 200),
        parents=(Parent(4200, "job.sh", "/bin/bash"),),
        units=("cron.service",),
        container=Container("ab", "podman", None),
    )
    before, found = told(flow(process=who), event(count=3, bytes=42))
    assert found == {
        "time": "NOW",
        "event": "send",
        "proto": "udp",
        "outcome": "sent",
        "error": None,
        "bytes": 42,
        "count": 3,
        "last_time": "LATER",
        "process": {
            "id": 1,
            "pid": 4321,
            "start_time": "T+123",
            "comm": "dig",
            "exe": "/usr/bin/dig",
            "args": ["dig", "@10.0.0.5", "x" * 188],
            "args_truncated": True,
            "parent": "job.sh",
            "uid": 1000,
            "user": "ann",
            "unit": "cron.service",
            "container": {"id": "ab"},
            "tid": 4322,
            "thread": "isc-net",
        },
        "dst": {"addr": "10.0.0.5", "port": 53},
        "via": "socket",
        "src": {"addr": "10.0.0.1", "port": 40001},
        "socket": {"cookie": 18, "netns": 4026531833},
        "run": "3f9a1c2b5d6e7f80",
    }
    assert before == {
        "time": "NOW",
        "event": "process",
        "process": {
            "id": 1,
            "pid": 4321,
            "initial_pid": None,
            "comm": "dig",
            "exe": "/usr/bin/dig",
            "exe_file": None,
            "exe_here": None,
            "mntns": None,
            "args": ["dig", "@10.0.0.5", "x" * 200],
            "args_truncated": False,
            "ppid": 4200,
            "uid": 1000,
            "user": "ann",
            "loginuid": None,
            "start_time": "T+123",
            "start_boottime": 0.0,
            "parents": [
                {"pid": 4200, "comm": "job.sh", "exe": "/bin/bash", "exe_here": None,
                 "script": None}
            ],
            "cgroup": None,
            "unit": "cron.service",
            "container": {"id": "ab", "runtime": "podman", "pod": None, "user": None},
            "netns": None,
            "pidns": None,
            "pidns_pid": None,
        },
        "run": "3f9a1c2b5d6e7f80",
    }  # fmt: skip


def test_it_is_expanded_to_all_that_is_known():
    found = line(flow(process=process(tid=4321, thread="dig")))
    assert (found["process"]["tid"], found["process"]["thread"]) == (4321, "dig")
    assert found["src"] == {"addr": "10.0.0.1", "port": 40001, "zone": None}
    assert (found["segments"], found["nat"]) == (1, {"src": None, "dst": None})
    nothing = dict.fromkeys(("inode", "state", "uid", "cgroup", "interface"))
    assert found["socket"] == {"cookie": 18, "netns": 4026531833, **nothing}
    assert found["run"] == RENDERING.run


@pytest.mark.parametrize(
    ("uid", "cgroup", "written"),
    [
        (1000, "/a", {}),  # the process's
        (0, "/b", {"uid": 0, "cgroup": "/b"}),
        (None, None, {"uid": None, "cgroup": None}),  # not known: that is not the process's
    ],
)
def test_what_a_socket_shares_with_its_process_is_not_guessed(uid, cgroup, written):
    found = SocketDetails(77, "ESTAB", uid, cgroup, None)
    before, brief = told(flow(process=process(uid=1000, cgroup="/a"), details=found))
    usual = {"cookie": 18, "netns": 4026531833, "inode": 77, "state": "ESTAB"}
    assert brief["socket"] == usual | written
    whole = expanded(brief, before["process"])["socket"]
    assert (whole["uid"], whole["cgroup"]) == (uid, cgroup)
    gone = expanded(told(flow(process=process(cgroup="/a")))[1], before["process"])["socket"]
    assert (gone["uid"], gone["cgroup"]) == (None, None)


def test_a_process_has_one_number_whichever_thread_acts():
    processes = ProcessLines(RENDERING)
    first = processes.of(process())
    assert processes.of(process(tid=4399, thread="other")) is first
    assert processes.of(process(exe="/bin/other")).number == first.number + 1
    for pid in range(600):
        processes.of(process(pid=pid))
    again = processes.of(process())  # forgotten meanwhile
    assert (first.number, again.number) == (1, 603)


@pytest.mark.parametrize(
    ("args", "first"),
    [
        ((), ()),
        (("a" * 150, "b" * 50), ("a" * 150, "b" * 50)),
        (("a" * 200, "b"), ("a" * 200,)),
        (("a" * 199, "\u00e9\u00e9"), ("a" * 199, "")),
        (("\u540d" * 100,), ("\u540d" * 66,)),
    ],
)
def test_the_first_bytes_of_arguments(args, first):
    assert first_args(args) == first
    assert sum(len(arg.encode()) for arg in first) <= ARGS_BYTES
    _, found = told(flow(process=process(args=args)))
    assert found["process"].get("args_truncated", False) == (args != first)


def test_the_life_of_a_connection():
    connected = line(flow(kind=EventKind.CONNECTED, proto="tcp"))
    assert (connected["event"], connected["outcome"]) == ("connected", "connected")
    assert connected["latency_us"] == 1500
    failed = line(flow(kind=EventKind.CONNECT_FAILED, proto="tcp"), 111)
    assert (failed["event"], failed["outcome"]) == ("connect_failed", "failed")
    assert (failed["error"], failed["latency_us"]) == ("ECONNREFUSED", 1500)
    closed = line(flow(kind=EventKind.CLOSE, proto="tcp"))
    assert (closed["bytes"], closed["bytes_received"], closed["duration"]) == (42, 7, 0.0015)


def test_what_was_found_out_stands_in_the_line():
    found = line(
        flow(
            process=process(
                units=("user@1000.service", "app.scope"),
                container=Container("ab", "podman", None),
                parents=(
                    Parent(4200, "bash", "/bin/bash", exe_here=True, script="/opt/job.sh"),
                    Parent(1, "init", None),
                ),
            ),
            details=SocketDetails(77, "UNCONN", 1000, "/user.slice", "eth0"),
            holders=(Holder(1, "init", "/sbin/init"), Holder(4321, "dig", None)),
            route=Route("eth0", ip_address("10.0.0.254"), ip_address("10.0.0.1")),
        )
    )
    assert found["socket"] == {
        "cookie": 18,
        "netns": 4026531833,
        "inode": 77,
        "state": "UNCONN",
        "uid": 1000,
        "cgroup": "/user.slice",
        "interface": "eth0",
    }
    assert found["process"]["unit"] == "user@1000.service"
    assert found["process"]["container"] == {
        "id": "ab",
        "runtime": "podman",
        "pod": None,
        "user": None,
    }
    assert found["process"]["parents"] == [
        {
            "pid": 4200,
            "comm": "bash",
            "exe": "/bin/bash",
            "exe_here": True,
            "script": "/opt/job.sh",
        },
        {"pid": 1, "comm": "init", "exe": None, "exe_here": None, "script": None},
    ]
    assert found["process"]["holders"] == [
        {"pid": 1, "comm": "init", "exe": "/sbin/init", "exe_here": None},
        {"pid": 4321, "comm": "dig", "exe": None, "exe_here": None},
    ]
    assert found["route"] == {"interface": "eth0", "gateway": "10.0.0.254", "source": "10.0.0.1"}


def test_names_are_in_the_line_only_if_asked_for():
    names = {"10.0.0.5": "dns.example.net"}.get
    _, found = told(flow(), rendering=RENDERING._replace(name_of=names))
    assert found["dst"] == {"addr": "10.0.0.5", "port": 53, "name": "dns.example.net"}
    assert "name" not in found["src"]


def test_a_zone_is_apart_from_its_address():
    dst = Endpoint(ip_address("fe80::99"), 53, "eth0")
    assert line(flow(dst=dst))["dst"] == {"addr": "fe80::99", "port": 53, "zone": "eth0"}


def test_what_nat_made_of_both_ends():
    src, dst = Endpoint(ip_address("10.1.0.1"), 7), Endpoint(ip_address("fd00::9"), 5353)
    assert line(flow(nat=Nat(src, dst)))["nat"] == {
        "src": {"addr": "10.1.0.1", "port": 7, "zone": None},
        "dst": {"addr": "fd00::9", "port": 5353, "zone": None},
    }
    assert line(flow(nat=Nat(src, None)))["nat"]["dst"] is None


def test_no_process_is_null():
    assert line(flow(process=None))["process"] is None


def test_every_documented_field_is_there_and_no_other():
    def paths(value, prefix=""):
        for name, inner in value.items():
            yield prefix + name
            if name in ("process", "socket", "icmp", "nat"):
                yield from paths(inner, f"{name}.")

    paths_of_fields = [field.path for field in FIELDS]
    assert len(set(paths_of_fields)) == len(paths_of_fields)
    documented = {*paths_of_fields, "socket", "icmp", "nat"}
    kinds = (EventKind.SEND, EventKind.CONNECTED, EventKind.CLOSE, EventKind.EXISTING)
    end = Endpoint(ip_address("10.1.0.1"), 7)
    everything = flow(
        process=process(args_truncated=True, container=Container("ab", None, None)),
        icmp=Icmp(8, 0),
        nat=Nat(end, end),
        interface="wg0",
        route=Route("eth0", None, None),
        details=SocketDetails(77, "UNCONN", 0, "/user.slice", "eth0"),
        holders=(Holder(1, "init", None),),
    )
    flows = [everything._replace(kind=kind) for kind in kinds]
    forwarded = flow(kind=EventKind.FORWARD, origin=Origin(), role=HOLDS_DEVICE)
    lines = [told(one, replace(EVENT, segments=3)) for one in (*flows, forwarded)]
    assert {path for _, found in lines for path in paths(found)} == documented
    of_process = ["id", *(field.name for field in PROCESS_FIELDS)]
    assert all([*before["process"]] == of_process for before, _ in lines)


def test_a_forwarded_packet():
    by = Origin("eth0", Neighbour(ip_address("192.168.1.7"), "02:00:00:00:00:07"), sent_here=False)
    found = line(flow(kind=EventKind.FORWARD, via=Via.DEVICE, process=None, origin=by))
    assert (found["event"], found["outcome"]) == ("forward", "forwarded")
    assert (found["via"], found["process"]) == ("eth0", None)
    assert found["neighbour"] == {"addr": "192.168.1.7", "mac": "02:00:00:00:00:07"}
    held = flow(kind=EventKind.FORWARD, origin=Origin("tap0"), role=HOLDS_DEVICE)
    assert line(held)["process"]["role"] == "holds the device"
    assert line(held)["neighbour"] is None
    assert "neighbour" not in line(flow())
    assert "role" not in line(flow())["process"]


@pytest.mark.parametrize(
    ("origin", "shown"),
    [
        (Origin("eth0", Neighbour(ip_address("192.168.1.7"), None)), "[eth0 from 192.168.1.7]"),
        (Origin("eth0", Neighbour(None, "02:00:00:00:00:07")), "[eth0 from 02:00:00:00:00:07]"),
        (Origin("eth0"), "[eth0]"),
        (Origin(), "[unknown]"),
    ],
)
def test_who_a_forwarded_packet_is_from(origin, shown):
    assert flow(process=None, origin=origin).sender == shown
    assert flow(origin=origin).sender == "dig"


def test_only_icmp_has_a_type_and_a_code():
    assert "icmp" not in line(flow())
    ping = flow(proto="icmp", icmp=Icmp(8, 0), dst=Endpoint(ip_address("10.0.0.5"), None))
    assert line(ping)["icmp"] == {"type": 8, "code": 0}
    assert line(ping)["dst"]["port"] is None


def test_a_line_is_ascii_whatever_the_name():
    hostile = flow(process=process(comm="\x1b[31m\u202e名"))
    text = Line(hostile, RENDERING, ProcessLines(RENDERING)).text(event(), "NOW", "")
    assert text.isascii()
    assert text.rstrip("\n").isprintable()
    assert json.loads(text)["process"]["comm"] == "\x1b[31m\u202e名"


@pytest.mark.parametrize(
    ("kind", "error", "text"),
    [
        (EventKind.SEND, 0, '"outcome":"sent","error":null'),
        (EventKind.SEND, 111, '"outcome":"failed","error":"ECONNREFUSED"'),
        (EventKind.SEND, 524, '"outcome":"failed","error":"524"'),
        (EventKind.SEND, ERROR_NOT_OBSERVED, '"outcome":null,"error":null'),
        (EventKind.CONNECT, ERROR_NOT_OBSERVED, '"outcome":null,"error":null'),
        (EventKind.CONNECT_FAILED, ERROR_NOT_OBSERVED, '"outcome":"failed","error":null'),
        (EventKind.ACCEPT, 0, '"outcome":"accepted","error":null'),
        (EventKind.CLOSE, 104, '"outcome":"failed","error":"ECONNRESET"'),
    ],
)
def test_outcomes(kind, error, text):
    assert outcome_json(kind, error) == text


def test_mapped_addresses_are_ipv4():
    assert str(address(bytes(10) + b"\xff\xff\x0a\x00\x00\x05")) == "10.0.0.5"
    assert str(address(bytes(15) + b"\x01")) == "::1"
    assert address(bytes(16)) is None
