# SPDX-License-Identifier: Apache-2.0
"""Shipping to the current engine: the schema, the rows, deduplication, the grants."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.log_writer import LogWriter
from tests.servers import embedded, zookeeper

pytestmark = pytest.mark.skipif(
    not embedded.is_installed(), reason="chdb-core is not installed (pip install chdb-core)"
)
TABLES = ("events", "processes", "runs")
GRANTS = (
    *(f"GRANT INSERT ON net.{table}" for table in TABLES),
    *(f"GRANT SELECT(token, time) ON net.{table}" for table in TABLES),
)
TIMEOUT = 60  # seconds
FLEET = (Path(__file__).parents[1] / "docs/fleet.md").read_text()
EXPECTED = {
    "events": "ReplicatedMergeTree",
    "processes": "ReplicatedReplacingMergeTree",
    "runs": "ReplicatedMergeTree",
    "daily": "ReplicatedSummingMergeTree",
    "daily_from_events": "MaterializedView",
    **{f"fleet_{name}": "Distributed" for name in ("events", "processes", "runs", "daily")},
}


def ship(engine, *options, status=0):
    """Returns what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "tracer", "ship", "--to",
         f"clickhouse://127.0.0.1:{engine.port}/net", "--no-tls", *map(str, options)],
        env={**os.environ}, capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


QUERIES = re.findall(r"^(.*)\n\n```sql\n((?:(?!```).*\n)*)", FLEET, re.MULTILINE)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The folder of an engine that has a log of three days, shipped by a user who may insert only,
    in blocks of which each was sent twice."""
    folder = tmp_path_factory.mktemp("engine")
    with embedded.running(folder / "engine") as engine:
        engine.query("CREATE DATABASE net")
        ship(engine, "--create")
        ship(engine, "--create")  # changes nothing
    write(folder / "log")
    with embedded.running(folder / "engine", GRANTS) as engine:
        ship(engine, "--log", folder / "log", "--cursor", folder / "cursor", "--once")
        with pytest.raises(RuntimeError, match="Not enough privileges"):
            engine.query("SELECT dst FROM events", "net")
        (folder / "cursor").unlink()
        ship(engine, "--log", folder / "log", "--cursor", folder / "cursor", "--once")
    return folder


def write(path):
    now = datetime.now(UTC)
    writer = LogWriter(path, begin=now - timedelta(days=3))
    writer.start()
    writer.send(2000)
    writer.mark("lost", lost=3, received_lost=0)
    writer.raw("{damaged")
    writer.rotate()
    for minute in range(0, 1400, 5):
        writer.now = now - timedelta(minutes=1430 - minute)
        writer.send(1, dst={"addr": "10.0.0.9", "port": 53})
    writer.now = now - timedelta(minutes=10)
    writer.send(100, error="ECONNREFUSED", outcome="failed")
    close = {"bytes": 1000, "bytes_since": 4, "bytes_received": 9, "bytes_received_since": 8}
    writer.line("close", **(writer.event() | close | {"proto": "tcp"}))
    writer.alive()


@pytest.fixture(scope="module")
def engine(shipped):
    with embedded.running(shipped / "engine") as running:
        yield running


def test_each_line_is_there_once_though_it_was_sent_twice(engine):
    events = 2000 + 280 + 100 + 1
    assert engine.query("SELECT count(), sum(count) FROM events", "net") == [[str(events)] * 2]
    assert engine.query("SELECT sum(events) FROM daily", "net") == [[str(events)]]
    assert engine.query("SELECT count() FROM processes FINAL", "net") == [["1"]]
    assert engine.query("SELECT event, count() FROM runs GROUP BY event ORDER BY event", "net") == [
        ["alive", "2"], ["damaged", "1"], ["lost", "1"], ["start", "1"],
    ]  # fmt: skip


def test_values_are_those_of_the_log(engine):
    (row,) = engine.query(
        "SELECT sent, received, bytes, bytes_received, toString(dst), args, time > start_time "
        "FROM events WHERE event = 'close'",
        "net",
    )
    assert row == ["4", "8", "1000", "9", "::ffff:10.0.0.5", "['curl','-s']", "1"]
    asked = "SELECT toUnixTimestamp64Nano(min(time)) % 1000000000 FROM events"
    assert engine.query(asked, "net") != [["0"]]


def test_a_part_of_a_table_is_one_blocks(engine):
    """So that a block is there as a whole, or not at all."""
    asked = "SELECT uniqExact(_part) FROM events GROUP BY token, toYYYYMMDD(time)"
    assert set(map(tuple, engine.query(asked, "net"))) == {("1",)}


def test_there_are_ten_queries():
    assert len(QUERIES) == 10


@pytest.mark.parametrize(("question", "query"), QUERIES)
def test_the_queries_of_the_documentation(engine, question, query):
    assert question.endswith("?")
    assert engine.query(query, "net"), query


def test_the_grants_of_the_documentation():
    documented = re.findall(r"^(GRANT .*) TO web1;$", FLEET, re.MULTILINE)
    assert [grant.replace("sockwatch.", "net.") for grant in documented] == list(GRANTS)


def test_tables_of_an_older_version(tmp_path):
    """What they lack is added, also to those over all shards."""
    with embedded.running(tmp_path / "engine", macros=embedded.CLUSTER) as engine:
        engine.query("CREATE DATABASE net")
        ship(engine, "--create")
        asked = "SELECT table, name, type FROM system.columns WHERE database = 'net'"
        before = sorted(engine.query(asked))
        for table, column in (("events", "via"), ("fleet_events", "via"), ("runs", "unread")):
            engine.query(f"ALTER TABLE {table} DROP COLUMN {column}", "net")
        assert len(engine.query(asked)) == len(before) - 3
        ship(engine, "--create")
        assert sorted(engine.query(asked)) == before


def test_the_tables_with_replicas_and_shards(tmp_path):
    """All of the definition, as it stands; and who may only insert can ask which shard it is."""
    if not zookeeper.is_installed():
        pytest.skip("zookeeper is not installed")
    folder = tmp_path / "engine"
    (tmp_path / "log").touch()
    with zookeeper.running(tmp_path / "zookeeper") as port:
        with embedded.running(folder, zookeeper=port) as engine:
            engine.query("CREATE DATABASE net")
            assert "Replicated" in ship(engine, "--schema")
            ship(engine, "--create")
            asked = "SELECT name, engine FROM system.tables WHERE database = 'net'"
            assert dict(engine.query(asked)) == EXPECTED
        with embedded.running(folder, GRANTS, zookeeper=port) as engine:
            ship(engine, "--log", tmp_path / "log", "--cursor", tmp_path / "cursor", "--once")
