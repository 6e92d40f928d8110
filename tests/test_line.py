# SPDX-License-Identifier: Apache-2.0
import json
from ipaddress import ip_address

import pytest

from tests.samples import event, flow, process
from tracer.model.address import address
from tracer.model.fields import FIELDS, Rendering
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
from tracer.trace.line import Line, outcome_json

RENDERING = Rendering("tracepoint", lambda boot_ns: f"T+{boot_ns}")


def line(a_flow, error=0):
    text = Line(a_flow, RENDERING).text(
        event(count=3, bytes=42, received=7, elapsed=1_500_000, error=error), "NOW", "LATER"
    )
    return json.loads(text)


def test_a_line_stands_alone():
    assert line(flow()) == {
        "time": "NOW",
        "event": "send",
        "proto": "udp",
        "outcome": "sent",
        "error": None,
        "bytes": 42,
        "count": 3,
        "last_time": "LATER",
        "segments": 1,
        "process": {
            "pid": 4321,
            "initial_pid": None,
            "tid": 4322,
            "comm": "dig",
            "thread": "isc-net",
            "exe": "/usr/bin/dig",
            "exe_file": None,
            "exe_here": None,
            "mntns": None,
            "args": ["dig", "@10.0.0.5", "x"],
            "args_truncated": False,
            "ppid": 4200,
            "uid": 1000,
            "user": "ann",
            "loginuid": None,
            "start_time": "T+123",
            "start_boottime": 0.0,
            "parents": [],
            "cgroup": None,
            "unit": None,
            "container": None,
            "netns": None,
            "pidns": None,
            "pidns_pid": None,
            "holders": None,
        },
        "src": {"addr": "10.0.0.1", "port": 40001, "zone": None},
        "dst": {"addr": "10.0.0.5", "port": 53, "zone": None},
        "via": "socket",
        "interface": None,
        "socket": {
            "cookie": 18,
            "netns": 4026531833,
            "inode": None,
            "state": None,
            "uid": None,
            "cgroup": None,
            "interface": None,
        },
        "nat": {"src": None, "dst": None},
        "route": None,
        "probe": "tracepoint",
    }


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
    text = Line(flow(), RENDERING._replace(name_of=names)).text(event(), "NOW", "")
    found = json.loads(text)
    assert found["dst"] == {
        "addr": "10.0.0.5", "port": 53, "zone": None, "name": "dns.example.net"
    }  # fmt: skip
    assert found["src"]["name"] is None


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
    flows = [flow(kind=kind, icmp=Icmp(8, 0)) for kind in kinds]
    forwarded = flow(kind=EventKind.FORWARD, origin=Origin(), role=HOLDS_DEVICE)
    shown = {path for one in (*flows, forwarded) for path in paths(line(one))}
    assert shown == documented


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
    text = Line(flow(process=process(comm="\x1b[31m\u202e名")), RENDERING).text(event(), "NOW", "")
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
