# SPDX-License-Identifier: Apache-2.0
"""A line becomes a row, and nothing of it is lost."""

import json
import random
import re
from pathlib import Path

import pytest

from tests.log_writer import LogWriter
from tracer.model.counts import COUNTS
from tracer.model.fields import LOSSES
from tracer.ship import rows
from tracer.ship.rows import EVENTS, PROCESSES, RUNS, Rows, with_token

ROOT = Path(__file__).parents[1]
SCHEMA = (ROOT / "packaging/clickhouse/schema.sql").read_text()
SEND = {
    "time": "2026-11-29T10:36:27.689374526Z", "event": "send", "proto": "udp", "outcome": "sent",
    "error": None, "bytes": 1, "count": 2, "last_time": "2026-11-29T10:36:28.000000001Z",
    "process": {"id": 3, "pid": 19971, "start_time": "2026-11-29T10:36:27.670000000Z",
                "comm": 'a","src":', "exe": "/usr/bin/python3.11", "args": ["a", ',"process":{'],
                "parent": "job.sh", "uid": 0, "user": "root", "unit": "cron.service", "tid": 9,
                "container": {"id": "c0", "runtime": "docker"}},
    "src": {"addr": "127.0.0.1", "port": 57645},
    "dst": {"addr": "fe80::5", "port": 9999, "zone": "eth0", "name": "db"}, "via": "socket",
    "nat": {"dst": {"addr": "10.0.0.7", "port": 80}},
    "socket": {"cookie": 1068848, "netns": 4026531833, "uid": 5},
    "route": {"interface": "lo", "source": "127.0.0.1"}, "run": "3f9a1c2b5d6e7f80",
}  # fmt: skip
# docs/log.md of format 1
FORMAT_1 = {
    "time": "2026-11-29T10:36:27.689374526Z", "event": "close", "proto": "tcp",
    "outcome": "closed", "error": None, "bytes": 10, "count": 1, "segments": 1, "latency_us": None,
    "bytes_received": 7, "duration": 1.5, "bytes_since": 4, "bytes_received_since": None,
    "process": {"pid": 7, "comm": "a", "exe": None, "args": None, "parents": [{"pid": 1}],
                "container": None},
    "src": {"addr": "::1", "port": None, "zone": None},
    "dst": {"addr": None, "port": None, "zone": None}, "nat": {"src": None, "dst": None},
    "socket": {"cookie": 1, "netns": 2, "inode": 3}, "route": None, "probe": "fexit",
}  # fmt: skip


def dumped(line):
    return json.dumps(line, separators=(",", ":")).encode()


def made(line, digits=9):
    """Returns the row of a line, and its table."""
    maker = Rows(digits)
    maker.host = "web1"
    row = maker.row(line if isinstance(line, bytes) else dumped(line))
    found = json.loads(with_token(row.text, "t"))
    assert found.pop("token") == "t"
    return found, row.table


def test_an_event():
    row, table = made(SEND)
    assert table == EVENTS
    assert json.loads(row.pop("more")) == {
        "process": {"tid": 9, "container": {"runtime": "docker"}},
        "dst": {"zone": "eth0"}, "socket": {"uid": 5}, "route": {"source": "127.0.0.1"},
    }  # fmt: skip
    assert row == {
        "time": "2026-11-29 10:36:27.689374526", "host": "web1", "run": "3f9a1c2b5d6e7f80",
        "event": "send", "proto": "udp", "outcome": "sent", "bytes": 1, "count": 2,
        "last_time": "2026-11-29 10:36:28.000000001", "process_id": 3, "pid": 19971,
        "start_time": "2026-11-29 10:36:27.670000000", "comm": 'a","src":',
        "exe": "/usr/bin/python3.11", "args": ["a", ',"process":{'], "parent": "job.sh", "uid": 0,
        "user": "root", "unit": "cron.service", "container": "c0", "src": "::ffff:127.0.0.1",
        "sport": 57645, "dst": "fe80::5", "dport": 9999, "name": "db", "via": "socket",
        "nat_dst": "::ffff:10.0.0.7", "nat_dport": 80, "cookie": 1068848, "netns": 4026531833,
        "route_interface": "lo",
    }  # fmt: skip


DAMAGE = (b"", b'"', b"0", b",", b"}", b"{", b"x", b"\\", b"\xff")
USUAL = {name: value for name, value in SEND.items() if name not in ("last_time", "socket")} | {
    "socket": {"cookie": 18446744073709551615, "netns": 4026531833}, "x": {"src": {"addr": "::1"}},
}  # fmt: skip
CLOSE = {**USUAL, "duration": 1.25}  # where it stands does not matter
FOUND = {**USUAL["socket"], "inode": 77, "state": "CLOSE-WAIT"}  # of a socket
PAIRS = {
    "usual": USUAL,
    "a socket that was found": {**USUAL, "socket": FOUND},
    "and was bound": {**USUAL, "socket": {**FOUND, "interface": "eth0"}},
    "format 1": FORMAT_1,
    "no process": {**USUAL, "process": None},
    "more of a socket": SEND,
    "a list": {**USUAL, "x": [1]},
    "no port": {**USUAL, "src": {"addr": "10.0.0.1", "port": None}},
    "IPv6": {**USUAL, "src": {"addr": "fe80::1", "port": 1}},
    "as it is logged": {
        name: USUAL[name]
        for name in ("time", "event", "bytes", "count", "process", "dst", "via", "src", "socket")
    },
    "its socket before": dict(sorted(USUAL.items(), key=lambda item: item[0] == "src")),
    "no socket": {**USUAL, "socket": None},
    "socket last": dict(sorted(USUAL.items(), key=lambda item: item[0] == "socket")),
    "a close": dict(sorted(CLOSE.items(), key=lambda item: item[0] > "duration")),
    "a number that is none": {**USUAL, "bytes": None},
}


@pytest.mark.parametrize("line", PAIRS.values(), ids=PAIRS)
def test_the_quick_way_makes_the_same_row(line, monkeypatch):
    quick, _ = made(line)
    monkeypatch.setattr(Rows, "_parts_of", lambda *_: None)
    whole, _ = made(line)
    for row in (quick, whole):
        row["more"] = json.loads(row.get("more", "{}"))
    assert quick == whole


@pytest.mark.parametrize("line", [USUAL, {**USUAL, "socket": FOUND}], ids=["usual", "found"])
@pytest.mark.parametrize("seed", range(20))
def test_damage_is_the_same_to_the_quick_way(seed, line, monkeypatch):
    """A byte is another one, gone, or one too many."""
    places = random.Random(seed)
    whole = Rows(9)
    monkeypatch.setattr(whole, "_parts_of", lambda _: None)
    for _ in range(300):
        raw = bytearray(dumped(line))
        at = places.randrange(len(raw))
        raw[at : at + places.randrange(2)] = places.choice(DAMAGE)
        quick, slow = (maker.row(bytes(raw)) for maker in (Rows(9), whole))
        assert (quick is None) == (slow is None), raw
        if quick:
            assert loaded(quick) == loaded(slow), raw


def loaded(row):
    found = json.loads(with_token(row.text, ""))
    return {**found, "more": json.loads(found.get("more", "{}"))}


def test_a_part_that_is_met_again_is_the_same():
    maker = Rows(9)
    first, second = (maker.row(dumped(SEND)) for _ in range(2))
    assert first == second


def test_what_is_shared_takes_bounded_memory(monkeypatch):
    monkeypatch.setattr(rows, "_MAX_PARTS", 10)
    maker = Rows(9)
    for number in range(100):
        maker.row(dumped({**SEND, "bytes": number, "src": {"addr": "::1", "port": number}}))
    assert len(maker._parts) <= 10


def test_a_line_of_format_1():
    row, table = made(FORMAT_1)
    assert table == EVENTS
    assert row["bytes_since"] == 4
    assert "bytes_received_since" not in row
    assert "dst" not in row
    assert json.loads(row["more"])["process"] == {"parents": [{"pid": 1}]}


def test_a_process(tmp_path):
    writer = LogWriter(tmp_path / "log")
    writer.start()
    writer.send()
    row, table = made((tmp_path / "log").read_bytes().splitlines()[1])
    assert table == PROCESSES
    assert row == {
        "time": "2026-11-29 10:00:00.002000000", "host": "web1", "run": "3f9a1c2b5d6e7f80",
        "id": 7, "pid": 107, "comm": "curl", "exe": "/usr/bin/curl", "args": ["curl", "-s"],
        "ppid": 1, "uid": 1000, "user": "ann", "start_time": "2026-11-29 09:00:00.000000000",
        "parents": '[{"pid":1,"comm":"init"}]', "cgroup": "/a.slice", "container": "c0",
        "container_runtime": "docker",
    }  # fmt: skip


def test_a_line_about_the_run_names_the_host(tmp_path):
    writer = LogWriter(tmp_path / "log", host="db7")
    writer.start()
    row, table = made((tmp_path / "log").read_bytes().strip())
    assert table == RUNS
    assert (row["host"], row["filter"]) == ("db7", '{"dst":["10.0.0.0/8"]}')
    assert (row["machine_id"], row["boot_id"]) == ("0" * 32, "b0")


def test_times_for_a_server_that_keeps_seconds():
    row, _ = made(SEND, digits=0)
    assert row["time"] == "2026-11-29 10:36:27"
    assert row["last_time"] == "2026-11-29 10:36:28"


@pytest.mark.parametrize(
    "line",
    [
        b"", b"{", b"[]", b"null", b"7", b'{"time":"2026-11-29T10:36:27.689374526Z"}',
        dumped({**SEND, "time": None}), dumped({**SEND, "time": "2026-11-29T10:36:27Z"}),
        dumped({**SEND, "time": "2026-11-29T10:36:27.68937452\u0665Z"}),
        dumped({**SEND, "time": "2026-02-30T10:36:27.689374526Z"}),
        dumped({**SEND, "time": "2026-11-29T24:36:27.689374526Z"}),
        dumped({**SEND, "time": "0026-11-29T10:36:27.689374526Z"}),
        dumped({**SEND, "event": None}), dumped(SEND)[:-1], dumped(SEND)[:200], dumped(SEND) + b"x",
        dumped(SEND).replace(b'"via"', b'"via'), dumped(SEND).replace(b'"pid":1', b'"pid":x'),
        dumped(SEND).replace(b'"bytes":1', b'"bytes":x'), b"[" * 100_000, b"\xff" + dumped(SEND),
    ],
)  # fmt: skip
def test_damaged_lines(line):
    assert Rows(9).row(line) is None


def columns(table):
    definition = SCHEMA.partition(f"CREATE TABLE IF NOT EXISTS {table} (\n")[2].partition("\n)")[0]
    return [line.split()[0] for line in definition.splitlines() if " ALIAS " not in line]


def leaves(names):
    for value in names.values():
        if isinstance(value, str):
            yield value
        else:
            yield from leaves(value)


@pytest.mark.parametrize("table", [EVENTS, PROCESSES, RUNS])
def test_the_schema_has_what_is_sent(table):
    sent = ["token", "time", "host", "more", *leaves(rows._COLUMNS[table])]
    assert sorted(set(sent)) == sorted(columns(table))


def test_every_count_of_a_run_has_a_column():
    assert set(COUNTS) - rows._NOT_LOGGED | set(LOSSES) | {"seen", "matched"} <= set(columns(RUNS))


def test_the_schema_is_ascii_and_each_table_has_its_window():
    assert SCHEMA.isascii()
    engines = re.findall(r"^ENGINE = Replicated(?:.*\n)+?SETTINGS\n((?:    .*\n)+)", SCHEMA, re.M)
    assert len(engines) == 4
    for settings in engines:
        assert "    replicated_deduplication_window = 10000" in settings
        assert "    non_replicated_deduplication_window = 10000" in settings
