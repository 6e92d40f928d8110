# SPDX-License-Identifier: Apache-2.0
"""What other schemas make of events: by these schemas' own lists of fields (tests/schemas), and as
they mean source and destination."""

import json
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.logs import format_1
from tests.samples import event, flow, process
from tracer.model.fields import Rendering
from tracer.model.flow import (
    ERROR_NOT_OBSERVED,
    Endpoint,
    EventKind,
    Icmp,
    Moved,
    Nat,
    Neighbour,
    Origin,
    Via,
)
from tracer.model.process import Container, Parent
from tracer.output.jsonl import to_json
from tracer.report.schemas import ecs, ocsf, otel
from tracer.report.schemas.mapping import table

LISTS = Path(__file__).with_name("schemas")
LOG_PAGE = (Path(__file__).parents[1] / "docs/log.md").read_text()
TIME, LAST = "2026-11-29T10:36:27.689374526Z", "2026-11-29T10:36:28.000000001Z"
NANOSECONDS = 1795948587689374526
RENDERING = Rendering("3f9a1c2b5d6e7f80", lambda _: "2026-11-29T10:00:00.120000000Z")
HOST = {"name": "web1", "machine_id": "ab" * 16, "boot_id": "88a1f0ed-5ae5-41ee-af6b-41921c311872"}
RUN = "3f9a1c2b5d6e7f80"
POD = "11111111-2222-3333-4444-555555555555"
PEER = Endpoint(ip_address("10.0.0.5"), 443)
DIG = process(
    units=("cron.service",), cgroup="/system.slice/cron.service", pidns_pid=7, initial_pid=4321,
    container=Container("ab" * 32, "docker", POD),
    parents=(Parent(4200, "cron", "/usr/sbin/cron"), Parent(1, "systemd", None)),
)  # fmt: skip


def line(a_flow, **changes):
    """An event as format 1 has it, with what the line about its run says."""
    numbers = {"bytes": 0, "error": ERROR_NOT_OBSERVED, **changes}
    text = format_1(a_flow, RENDERING, event(a_flow, **numbers), TIME, LAST)
    return json.loads(text) | {"run": RUN, "host": HOST}


def tcp(kind, **changes):
    return flow(**{"kind": kind, "proto": "tcp", "dst": PEER, "process": DIG, **changes})


def close(**since):
    a_flow = tcp(EventKind.CLOSE)
    moved = {"bytes": 130, "received": 900, "elapsed": 1_500_000_000, "error": 0, **since}
    return line(a_flow, **moved)


EVENTS = {
    "send": line(flow(process=DIG), bytes=10, error=0),
    "connect": line(tcp(EventKind.CONNECT)),
    "connected": line(tcp(EventKind.CONNECTED), elapsed=2_000_000, error=0),
    "connect_failed": line(tcp(EventKind.CONNECT_FAILED), elapsed=2_000_000, error=111),
    "accept": line(tcp(EventKind.ACCEPT), error=0),
    "close": close(since=Moved(30, 400)),
    "existing": line(tcp(EventKind.EXISTING), count=0),
    "forward": line(
        flow(kind=EventKind.FORWARD, process=None, interface=None,
             origin=Origin("eth0", Neighbour(None, "02:00:00:00:00:05"))),
        bytes=30, count=3, error=0,
    ),
    "volume": line(tcp(EventKind.VOLUME), bytes=100, received=500, count=0),
    "receive": line(flow(kind=EventKind.RECEIVE, process=DIG), received=20, count=2),
}  # fmt: skip
ODD = {
    "no process": line(flow(process=None, via=Via.KERNEL, interface="wg0"), error=0),
    "bare process": line(flow(process=process(
        pid=None, initial_pid=99, tid=None, exe=None, args=None, ppid=None, user=None)), error=0),
    "no args": line(flow(process=process(args=())), error=0),
    "cut args": line(flow(process=process(args=("dig",), args_truncated=True)), error=0),
    "no destination": line(flow(dst=Endpoint(None, None)), error=89),
    "nat": line(tcp(EventKind.CONNECTED, nat=Nat(
        Endpoint(ip_address("192.0.2.1"), 61000), Endpoint(ip_address("192.0.2.9"), 8443))),
        error=0),
    "zone": line(flow(src=Endpoint(ip_address("fe80::1"), 4, "eth0"),
                      dst=Endpoint(ip_address("fe80::2"), 5, "eth0")), error=0),
    "icmp": line(flow(proto="icmp", icmp=Icmp(8, 0), src=Endpoint(ip_address("10.0.0.1"), None),
                      dst=Endpoint(ip_address("10.0.0.5"), None)), error=0),
    "number": line(flow(proto="253"), error=0),
    "several": line(flow(process=DIG), count=7, error=0),
    "not known since": close(),
    "failed send": line(flow(process=DIG), error=1),
    "static pod": line(flow(process=process(container=Container("cd" * 32, None, "ab" * 16)))),
    "surrogate": line(flow(process=process(exe="/tmp/\udcff", args=("\udcff",))), error=0),
    "format 1": {name: value for name, value in line(flow()).items()
                 if name not in ("run", "host")},
    "format 2": {
        "time": TIME, "event": "send", "proto": "udp", "outcome": "sent", "error": None,
        "bytes": 1, "count": 1,
        "process": {"id": 3, "pid": 19971, "start_time": TIME, "start_boottime": 12.5,
                    "comm": "python3", "exe": None, "args": None, "parents": [], "uid": 0},
        "src": {"addr": "127.0.0.1", "port": 57645}, "dst": {"addr": "127.0.0.1", "port": 9999},
        "via": "socket", "socket": {"cookie": 1068848, "netns": 4026531833}, "run": RUN,
        "host": {"name": "web1", "machine_id": None, "boot_id": HOST["boot_id"]},
    },
}  # fmt: skip
ALL = EVENTS | ODD
SCHEMAS = {"ecs": ecs, "ocsf": ocsf, "otel": otel}


def listed(name):
    """The schema's own list: what it says of each field."""
    lines = (LISTS / name).read_text().splitlines()
    fields = (line.split("\t") for line in lines if not line.startswith("#"))
    return {field: said for field, *said in fields}


ECS, OCSF, OTEL = (
    listed(name) for name in ("ecs-8.12.0-dev.tsv", "ocsf-1.6.0.tsv", "otel-1.44.0.tsv")
)


def flat(value, above=""):
    """Every value, by its path."""
    for name, part in value.items():
        path = f"{above}{name}"
        if isinstance(part, dict):
            yield path, part
            yield from flat(part, f"{path}.")
        else:
            yield path, part


def attributes(data, of="record"):
    (resource,) = data["resourceLogs"]
    if of == "resource":
        found = resource["resource"]["attributes"]
    else:
        ((record,),) = (scope["logRecords"] for scope in resource["scopeLogs"])
        found = record["attributes"]
    return {one["key"]: next(iter(one["value"].values())) for one in found}


def test_every_kind_of_event_is_here():
    assert set(EVENTS) == {kind.name.lower() for kind in EventKind}
    assert all(one["event"] == name for name, one in EVENTS.items())


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_documentation_has_the_table(name):
    schema = SCHEMAS[name]
    rows = (*getattr(schema, "RESOURCE", ()), *schema.ROWS)
    assert f"| key | from |\n| --- | --- |\n{table(rows)}" in LOG_PAGE
    assert f"`{name}`" in LOG_PAGE


def test_ecs_has_these_fields():
    for row in ecs.ROWS:
        if row.target.startswith("labels."):
            assert (ECS["labels"], row.kind) == (["object"], "keyword")
        else:
            assert ECS[row.target] == [row.kind], row.target
    assert set(ECS) == {row.target.partition(".")[0] if row.target.startswith("labels.")
                        else row.target for row in ecs.ROWS}  # fmt: skip


def test_ocsf_has_these_attributes():
    for row in ocsf.ROWS:
        if not row.target.startswith("unmapped."):
            assert OCSF[row.target][0] == row.kind, row.target
    assert OCSF["unmapped"][0] == "object_t"


def test_opentelemetry_has_these_attributes():
    """Others have names of ours."""
    rows = (*otel.RESOURCE, *otel.ROWS)
    theirs = {row.target: [row.kind] for row in rows if not row.target.startswith("sockwatch.")}
    assert theirs == OTEL


@pytest.mark.parametrize("event_of", ALL.values(), ids=ALL)
@pytest.mark.parametrize("name", SCHEMAS)
def test_it_is_one_line_of_json(name, event_of):
    text = to_json(SCHEMAS[name].convert(event_of))
    assert json.loads(text)
    assert text.isascii()
    assert "\n" not in text


@pytest.mark.parametrize("event_of", ALL.values(), ids=ALL)
@pytest.mark.parametrize("name", ["ecs", "ocsf"])
def test_what_is_not_known_is_left_out(name, event_of):
    for path, value in flat(SCHEMAS[name].convert(event_of)):
        if not path.startswith("unmapped."):
            assert value not in (None, {}, []) or path == "process.args", path


@pytest.mark.parametrize("event_of", ALL.values(), ids=ALL)
def test_ocsf_requires_no_more(event_of):
    """What an object must have, and what it must have one of."""
    found = dict(flat(ocsf.convert(event_of)))
    for path, (_, requirement) in OCSF.items():
        above = path.rpartition(".")[0]
        if requirement == "required" and (not above or above in found):
            assert path in found, path
    one_of = {
        "src_endpoint": ("ip", "hostname"),
        "dst_endpoint": ("ip", "hostname"),
        "actor.process": ("pid", "uid"),
        "actor.process.parent_process": ("pid",),
        "actor.process.user": ("name", "uid"),
        "device": ("hostname", "uid"),
    }
    for path, names in one_of.items():
        assert path not in found or any(f"{path}.{name}" in found for name in names), path
    assert {"src_endpoint", "dst_endpoint"} & found.keys()
    assert found["type_uid"] == 400100 + found["activity_id"]


def test_a_whole_ecs_document():
    assert ecs.convert(EVENTS["send"]) == {
        "@timestamp": TIME,
        "ecs": {"version": "8.11.0"},
        "event": {
            "kind": "event", "category": ["network"], "type": ["connection"], "action": "send",
            "outcome": "success", "module": "sockwatch", "dataset": "sockwatch.events",
        },
        "host": {"name": "web1", "hostname": "web1", "id": HOST["machine_id"],
                 "boot": {"id": HOST["boot_id"]}},
        "network": {"transport": "udp", "iana_number": "17", "type": "ipv4",
                    "direction": "egress"},
        "source": {"address": "10.0.0.1", "ip": "10.0.0.1", "port": 40001, "bytes": 10},
        "destination": {"address": "10.0.0.5", "ip": "10.0.0.5", "port": 53},
        "process": {
            "entity_id": f"{HOST['boot_id']}/4321/0.0", "pid": 4321, "vpid": 7, "name": "dig",
            "executable": "/usr/bin/dig", "args": ["dig", "@10.0.0.5", "x"], "args_count": 3,
            "start": "2026-11-29T10:00:00.120000000Z",
            "thread": {"id": 4322, "name": "isc-net"},
            "parent": {"pid": 4200, "name": "cron", "executable": "/usr/sbin/cron"},
            "real_user": {"id": "1000", "name": "ann"},
        },
        "user": {"id": "1000", "name": "ann"},
        "container": {"id": "ab" * 32, "runtime": "docker"},
        "related": {"ip": ["10.0.0.1", "10.0.0.5"], "user": ["ann"]},
        "labels": {"unit": "cron.service", "pod": POD, "via": "socket", "count": "1", "run": RUN},
    }  # fmt: skip


def test_a_whole_ocsf_event():
    assert ocsf.convert(EVENTS["connect_failed"]) == {
        "category_uid": 4, "class_uid": 4001, "activity_id": 5, "type_uid": 400105,
        "severity_id": 1, "time": NANOSECONDS // 10**6, "duration": 2,
        "status_id": 2, "status_code": "ECONNREFUSED",
        "metadata": {
            "version": "1.6.0", "product": {"name": "sockwatch", "vendor_name": "sockwatch"},
            "profiles": ["host", "container"], "event_code": "connect_failed",
            "original_time": TIME, "correlation_uid": RUN,
        },
        "is_src_dst_assignment_known": True,
        "src_endpoint": {"ip": "10.0.0.1", "port": 40001, "hostname": "web1"},
        "dst_endpoint": {"ip": "10.0.0.5", "port": 443},
        "connection_info": {"direction_id": 2, "protocol_num": 6, "protocol_name": "tcp",
                            "protocol_ver_id": 4, "uid": "18"},
        "traffic": {"bytes_out": 0},
        "device": {"hostname": "web1", "uid": HOST["machine_id"], "boot_uid": HOST["boot_id"],
                   "type_id": 0},
        "actor": {"process": {
            "uid": f"{HOST['boot_id']}/4321/0.0", "pid": 4321, "namespace_pid": 7, "tid": 4322,
            "name": "dig", "cmd_line": "dig @10.0.0.5 x", "created_time": 1795946400120,
            "file": {"path": "/usr/bin/dig", "name": "dig", "type_id": 1},
            "user": {"uid": "1000", "name": "ann"},
            "parent_process": {"pid": 4200, "name": "cron", "path": "/usr/sbin/cron"},
            "container": {"uid": "ab" * 32, "runtime": "docker", "pod_uuid": POD},
        }},
        "unmapped": {"unit": "cron.service", "via": "socket"},
    }  # fmt: skip


def test_a_whole_opentelemetry_record():
    data = otel.convert(EVENTS["accept"])
    schema = "https://opentelemetry.io/schemas/1.44.0"
    (resource,) = data["resourceLogs"]
    (scope,) = resource["scopeLogs"]
    (record,) = scope["logRecords"]
    assert (resource["schemaUrl"], scope["schemaUrl"]) == (schema, schema)
    assert scope["scope"] == {"name": "sockwatch"}
    assert {name: value for name, value in record.items() if name != "attributes"} == {
        "timeUnixNano": str(NANOSECONDS), "severityNumber": 9, "eventName": "sockwatch.accept",
    }  # fmt: skip
    assert attributes(data, "resource") == {
        "service.name": "sockwatch", "host.name": "web1", "host.id": HOST["machine_id"],
        "sockwatch.boot_id": HOST["boot_id"], "sockwatch.run": RUN,
    }  # fmt: skip
    assert {"key": "process.pid", "value": {"intValue": "4321"}} in record["attributes"]
    args = [{"stringValue": one} for one in ("dig", "@10.0.0.5", "x")]
    assert {
        "key": "process.command_args", "value": {"arrayValue": {"values": args}},
    } in record["attributes"]  # fmt: skip
    assert attributes(data) == {
        "network.transport": "tcp", "network.type": "ipv4",
        "network.local.address": "10.0.0.1", "network.local.port": "40001",
        "network.peer.address": "10.0.0.5", "network.peer.port": "443",
        "source.address": "10.0.0.5", "source.port": "443",
        "destination.address": "10.0.0.1", "destination.port": "40001",
        "client.address": "10.0.0.5", "client.port": "443",
        "server.address": "10.0.0.1", "server.port": "40001",
        "process.pid": "4321", "process.vpid": "7", "process.parent_pid": "4200",
        "process.executable.path": "/usr/bin/dig", "process.executable.name": "dig",
        "process.command_args": {"values": args}, "process.args_count": "3",
        "process.creation.time": "2026-11-29T10:00:00.120000000Z",
        "process.real_user.id": "1000", "process.real_user.name": "ann",
        "process.linux.cgroup": "/system.slice/cron.service", "thread.name": "isc-net",
        "container.id": "ab" * 32, "container.runtime.name": "docker", "k8s.pod.uid": POD,
        "sockwatch.outcome": "accepted", "sockwatch.count": "1", "sockwatch.bytes_sent": "0",
        "sockwatch.comm": "dig", "sockwatch.tid": "4322", "sockwatch.unit": "cron.service",
        "sockwatch.via": "socket",
    }  # fmt: skip


OURS, THEIRS = "10.0.0.1", "10.0.0.5"
# source, ECS's direction, OCSF's, its activity, ECS's types and outcome
MEANT = {
    "send": (OURS, "egress", 2, 6, [], "success"),
    "connect": (OURS, "egress", 2, 99, [], "unknown"),
    "connected": (OURS, "egress", 2, 1, ["start"], "success"),
    "connect_failed": (OURS, "egress", 2, 5, [], "failure"),
    "accept": (THEIRS, "ingress", 1, 1, ["start"], "success"),
    "close": (OURS, "unknown", 0, 2, ["end"], "success"),
    "existing": (OURS, "unknown", 0, 99, [], None),
    "forward": (OURS, "unknown", 0, 6, [], "success"),
    "volume": (OURS, "unknown", 0, 6, [], None),
    "receive": (THEIRS, "ingress", 1, 6, [], None),
}


@pytest.mark.parametrize("kind", EVENTS)
def test_what_each_kind_means(kind):
    source, direction, direction_id, activity, stages, outcome = MEANT[kind]
    destination = ({OURS, THEIRS} - {source}).pop()
    document, found = ecs.convert(EVENTS[kind]), ocsf.convert(EVENTS[kind])
    assert (document["source"]["ip"], document["destination"]["ip"]) == (source, destination)
    assert document["network"]["direction"] == direction
    assert document["event"]["type"] == ["connection", *stages]
    assert document["event"].get("outcome") == outcome
    assert document["event"]["action"] == kind
    assert (found["src_endpoint"]["ip"], found["dst_endpoint"]["ip"]) == (source, destination)
    assert found["connection_info"]["direction_id"] == direction_id
    assert found["activity_id"] == activity
    assert found.get("activity_name") == (kind if activity == 99 else None)
    assert found["metadata"]["event_code"] == kind
    opens = kind in ("connect", "connected", "connect_failed", "accept")
    assert found["is_src_dst_assignment_known"] is opens
    record = attributes(otel.convert(EVENTS[kind]))
    assert (record["source.address"], record["destination.address"]) == (source, destination)
    assert record.get("client.address") == (source if opens else None)
    assert document.get("server", {}).get("ip") == (destination if opens else None)
    local = None if kind == "forward" else OURS
    assert record.get("network.local.address") == local
    here = "src_endpoint" if source == OURS else "dst_endpoint"
    assert ("hostname" in found[here]) is (kind != "forward")


# what the source has sent, what the destination
BYTES = {
    "send": (10, None), "connected": (0, None), "accept": (None, 0), "close": (30, 400),
    "existing": (None, None), "forward": (30, None), "volume": (100, 500), "receive": (20, None),
}  # fmt: skip


@pytest.mark.parametrize("kind", BYTES)
def test_bytes_add_up(kind):
    """A close has what no volume has told of."""
    sent, received = BYTES[kind]
    both = sent + received if sent is not None and received is not None else None
    document, traffic = ecs.convert(EVENTS[kind]), ocsf.convert(EVENTS[kind]).get("traffic", {})
    assert (document["source"].get("bytes"), document["destination"].get("bytes")) == (
        sent, received,
    )  # fmt: skip
    assert document["network"].get("bytes") == both
    assert tuple(traffic.get(name) for name in ("bytes_out", "bytes_in", "bytes")) == (
        sent, received, both,
    )  # fmt: skip


def test_bytes_that_are_not_known():
    assert "bytes" not in ecs.convert(ODD["not known since"])["source"]
    assert "traffic" not in ocsf.convert(ODD["not known since"])
    assert "sockwatch.bytes_sent" not in attributes(otel.convert(ODD["not known since"]))


def test_times():
    assert ecs.convert(EVENTS["close"])["event"]["duration"] == 1_500_000_000
    assert ecs.convert(EVENTS["connected"])["event"]["duration"] == 2_000_000
    several = ecs.convert(ODD["several"])
    assert (several["event"]["start"], several["event"]["end"]) == (TIME, LAST)
    assert several["labels"]["count"] == "7"
    found = ocsf.convert(ODD["several"])
    assert (found["start_time"], found["end_time"], found["count"]) == (
        NANOSECONDS // 10**6, 1795948588000, 7,
    )  # fmt: skip


def test_a_failure():
    for name in ("failed send", "no destination"):
        document, found = ecs.convert(ODD[name]), ocsf.convert(ODD[name])
        assert document["event"]["outcome"] == "failure"
        assert document["error"]["code"] == found["status_code"] == ODD[name]["error"]
        assert found["status_id"] == 2
        assert attributes(otel.convert(ODD[name]))["error.type"] == ODD[name]["error"]
    timed_out = EVENTS["connect_failed"] | {"error": "ETIMEDOUT"}
    assert ocsf.convert(timed_out)["activity_id"] == 4


def test_nat():
    document = ecs.convert(ODD["nat"])
    assert document["source"]["nat"] == {"ip": "192.0.2.1", "port": 61000}
    assert document["destination"]["nat"] == {"ip": "192.0.2.9", "port": 8443}
    assert document["related"]["ip"] == ["10.0.0.1", "192.0.2.1", "10.0.0.5", "192.0.2.9"]
    assert ocsf.convert(ODD["nat"])["unmapped"]["nat"] == ODD["nat"]["nat"]
    assert attributes(otel.convert(ODD["nat"]))["sockwatch.nat.destination.address"] == "192.0.2.9"


def test_an_ip_has_no_zone():
    """Elasticsearch refuses a whole document otherwise."""
    source = ecs.convert(ODD["zone"])["source"]
    assert (source["ip"], source["address"]) == ("fe80::1", "fe80::1%eth0")
    found = ocsf.convert(ODD["zone"])
    assert (found["src_endpoint"]["ip"], found["unmapped"]["src_zone"]) == ("fe80::1", "eth0")
    assert found["connection_info"]["protocol_ver_id"] == 6
    assert attributes(otel.convert(ODD["zone"]))["network.type"] == "ipv6"


def test_protocols():
    network = ecs.convert(ODD["icmp"])
    assert network["network"]["transport"] == "icmp"
    assert network["event"]["type"] == ["info"]
    assert "port" not in network["source"]
    assert ocsf.convert(ODD["icmp"])["unmapped"]["icmp"] == {"type": 8, "code": 0}
    unnamed = ecs.convert(ODD["number"])["network"]
    assert (unnamed["iana_number"], "transport" in unnamed) == ("253", False)


def test_without_a_process():
    assert "device" not in ocsf.convert(ODD["format 1"])
    for kind, one in (("forward", EVENTS["forward"]), ("send", ODD["no process"])):
        document, found = ecs.convert(one), ocsf.convert(one)
        assert "process" not in document
        assert "user" not in document
        assert "actor" not in found
        assert found["metadata"]["event_code"] == kind
    forwarded = ecs.convert(EVENTS["forward"])
    assert forwarded["observer"] == {"ingress": {"interface": {"name": "eth0"}}}
    assert forwarded["source"]["packets"] == 3


def test_a_process_of_which_little_is_known():
    document, found = ecs.convert(ODD["bare process"]), ocsf.convert(ODD["bare process"])
    assert document["process"].keys() == {"entity_id", "name", "start", "thread", "real_user"}
    assert document["user"] == {"id": "1000"}
    assert "file" not in found["actor"]["process"]
    assert "pod_uuid" not in ocsf.convert(ODD["static pod"])["actor"]["process"]["container"]
    assert ecs.convert(ODD["static pod"])["labels"]["pod"] == "ab" * 16


def test_arguments():
    assert ecs.convert(ODD["no args"])["process"]["args_count"] == 0
    cut = ecs.convert(ODD["cut args"])["process"]
    assert (cut["args"], "args_count" in cut) == (["dig"], False)
    assert "cmd_line" not in ocsf.convert(ODD["cut args"])["actor"]["process"]


@pytest.mark.parametrize("name", SCHEMAS)
def test_arguments_left_out(name):
    secret = line(flow(process=process(args=("mysql", "-phunter2"))), error=0)
    assert "hunter2" in to_json(SCHEMAS[name].convert(secret))
    text = to_json(SCHEMAS[name].convert(secret, no_args=True))
    assert "hunter2" not in text
    assert "args" not in text
    assert "cmd_line" not in text


def test_a_file_that_is_removed():
    one = line(flow(process=process(exe="/tmp/x (deleted)")), error=0)
    file = ocsf.convert(one)["actor"]["process"]["file"]
    assert (file["path"], file["name"]) == ("/tmp/x (deleted)", "x")


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize(
    "damage",
    [
        {"time": "yesterday"},
        {"time": 5},
        {"process": {"pid": "4321"}},
        {"process": {"exe": 5}},
        {"process": {"args": "dig"}},
        {"process": {"args": [5]}},
        {"src": {"addr": 5}},
        {"dst": {"addr": "10.0.0.5", "port": "53"}},
        {"dst": {"addr": "10.0.0.5", "port": -1}},
        {"dst": {"addr": "10.0.0.5", "port": True}},
        {"proto": "no such protocol"},
        {"proto": None},
        {"bytes": "10"},
        {"bytes": 1 << 63},
        {"count": "1"},
    ],
    ids=str,
)
def test_what_is_no_event_is_refused(name, damage):
    with pytest.raises((ValueError, KeyError, TypeError)):
        SCHEMAS[name].convert(EVENTS["send"] | damage)
