# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

from tests.samples import flow, process
from tracer.event import FIELDS, Line, Rendering, address, outcome_json
from tracer.record import ERROR_NOT_OBSERVED

RENDERING = Rendering("tracepoint", lambda boot_ns: f"T+{boot_ns}")


def line(a_flow, error=0):
    return json.loads(Line(a_flow, RENDERING).text("NOW", 42, 1, error, 3))


def test_a_line_stands_alone():
    assert line(flow()) == {
        "time": "NOW",
        "event": "send",
        "proto": "udp",
        "outcome": "sent",
        "error": None,
        "bytes": 42,
        "count": 3,
        "segments": 1,
        "process": {
            "pid": 4321,
            "tid": 4322,
            "comm": "dig",
            "thread": "isc-net",
            "exe": "/usr/bin/dig",
            "args": ["dig", "@10.0.0.5", "x"],
            "ppid": 4200,
            "uid": 1000,
            "user": "ann",
            "start_time": "T+123",
        },
        "src": {"addr": "10.0.0.1", "port": 40001},
        "dst": {"addr": "10.0.0.5", "port": 53},
        "via": "socket",
        "interface": None,
        "socket": {"cookie": 18, "netns": 4026531833},
        "probe": "tracepoint",
    }


def test_no_process_is_null():
    assert line(flow(process=None))["process"] is None


def test_every_documented_field_is_there_and_no_other():
    def paths(value, prefix=""):
        for name, inner in value.items():
            yield prefix + name
            if name in ("process", "socket"):
                yield from paths(inner, f"{name}.")

    documented = {field.path for field in FIELDS} | {"socket"}
    assert set(paths(line(flow()))) == documented


def test_a_line_is_ascii_whatever_the_name():
    text = Line(flow(process=process(comm="\x1b[31m\u202e名")), RENDERING).text("NOW", 1, 1, 0, 1)
    assert text.isascii()
    assert text.rstrip("\n").isprintable()
    assert json.loads(text)["process"]["comm"] == "\x1b[31m\u202e名"


def test_outcomes():
    assert outcome_json(0) == '"outcome":"sent","error":null'
    assert outcome_json(111) == '"outcome":"failed","error":"ECONNREFUSED"'
    assert outcome_json(ERROR_NOT_OBSERVED) == '"outcome":null,"error":null'
    assert outcome_json(524) == '"outcome":"failed","error":"524"'


def test_mapped_addresses_are_ipv4():
    assert str(address(bytes(10) + b"\xff\xff\x0a\x00\x00\x05")) == "10.0.0.5"
    assert str(address(bytes(15) + b"\x01")) == "::1"


def test_the_readme_has_the_fields():
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    table = "".join(f"| `{field.path}` | {field.meaning} |\n" for field in FIELDS)
    assert table in readme
