# SPDX-License-Identifier: Apache-2.0
"""Shipping to real servers, ClickHouse and ZooKeeper from Debian: 2 shards of 2 replicas."""

import json
import os
import random
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from tests.log_writer import LogWriter
from tests.servers import clickhouse, process, zookeeper
from tracer.errors import FAILED

pytestmark = pytest.mark.skipif(
    not (clickhouse.is_installed() and zookeeper.is_installed()),
    reason="clickhouse-server and zookeeper are not installed (scripts/test does it on Debian 12)",
)
PASSWORD = "SOCKWATCH_CLICKHOUSE_PASSWORD"
KILLS = 50
LINES = 60_000
TIMEOUT = 60  # seconds


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fleet")
    with zookeeper.running(folder / "zookeeper") as port:
        servers = clickhouse.fleet(folder, port, shards=2, replicas=2)
        try:
            for server in servers:
                server.start()
            yield servers
        finally:
            for server in servers:
                server.kill()


@pytest.fixture
def net(fleet, request):
    """A database of this test's own on all servers, with the tables."""
    name = request.node.name.split("[")[0][:60]
    for server in fleet:
        server.query(f"CREATE DATABASE {name}")
    ship(fleet, name, "--create")
    return name


def to(servers, database):
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    return f"clickhouse://shipper@{hosts}/{database}"


def begin(servers, database, *options, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "tracer", "ship", "--to", to(servers, database), "--no-tls",
         *map(str, options)],
        env={PASSWORD: "s3cret", **os.environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, **more,
    )  # fmt: skip


def ship(servers, database, *options, status=0):
    """Returns what it says."""
    shipping = begin(servers, database, *options)
    out, said = shipping.communicate(timeout=TIMEOUT)
    assert shipping.returncode == status, said
    return out + said


def wait_for(condition):
    until = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)  # between two questions


def sync(server, database, table="events"):
    server.query(f"SYSTEM SYNC REPLICA {table}", database)


def counted(server, database, table="events"):
    """Returns how many rows there are, how many are different, and the last one's number."""
    (row,) = server.query(f"SELECT count(), uniqExact(bytes), max(bytes) FROM {table}", database)
    return [int(value) for value in row if value != "\\N"]


def is_pending(cursor):
    """Says whether a block may have been sent that is not known to be there."""
    known = json.loads(cursor.read_text()) if cursor.exists() else {"start": 0, "end": 0}
    return known["end"] > known["start"]


def test_each_line_is_there_once_whatever_is_killed(fleet, net, tmp_path):
    """Kills ship at any moment, and its servers in turn; the log is rotated meanwhile."""
    shard = fleet[:2]
    log, cursor = tmp_path / "log", tmp_path / "cursor"
    writer = LogWriter(log)
    writer.start()
    moments = random.Random(1)
    gone, pending = None, 0
    for kill in range(KILLS):
        writer.send(LINES // KILLS // 2)
        shipping = begin(shard, net, "--log", log, "--cursor", cursor, "--every", 0.1)
        if kill % 10 == 5 and kill < 45:
            gone = shard[kill // 10 % 2]
            gone.kill()
        writer.send(LINES // KILLS // 2)
        if kill % 7 == 3:
            writer.rotate(compress=bool(kill % 2))
        until = time.monotonic() + 0.1 + 0.5 * moments.random()
        # two of three with a block under way
        while time.monotonic() < until and not (kill % 3 and is_pending(cursor)):
            time.sleep(0.001 * moments.random())
        shipping.kill()
        _, said = shipping.communicate()
        assert shipping.returncode == -9, said
        assert "Traceback" not in said
        pending += is_pending(cursor)
        if gone and kill % 10 == 7:
            gone.start()
            gone = None
    print(pending)
    assert pending > 10  # else nothing was tried
    ship(shard, net, "--log", log, "--cursor", cursor, "--once")
    for server in shard:
        sync(server, net)
        assert counted(server, net) == [LINES, LINES, LINES]
    assert counted(fleet[2], net, "fleet_events") == [LINES, LINES, LINES]
    assert counted(fleet[2], net)[0] == 0


def test_what_a_day_without_servers_has_cost(fleet, net, tmp_path):
    """Retention goes on meanwhile; what it has removed is told on both servers. The oldest file is
    open, and read to its end though it is gone."""
    shard = fleet[2:]
    log, cursor = tmp_path / "log", tmp_path / "cursor"
    writer = LogWriter(log)
    writer.start()
    writer.send(10)
    shipping = begin(shard, net, "--log", log, "--cursor", cursor, "--every", 0.1)
    try:
        wait_for(lambda: counted(shard[0], net) == [10, 10, 10])
        for server in shard:
            server.kill()
        for _ in range(4):
            writer.send(1000)
            writer.rotate()
        writer.backup(4).unlink()
        writer.backup(3).unlink()
        writer.send(10)
        for server in shard:
            server.start()
        wait_for(lambda: counted(shard[0], net)[0] == 10 + 3 * 1000 + 10)
    finally:
        shipping.kill()
        _, said = shipping.communicate()
    assert "cannot ship now, the log keeps it" in said
    assert "lines are gone from the log" in said
    for server in shard:
        sync(server, net, "runs")
        (row,) = server.query("SELECT lines, run FROM runs WHERE event = 'missing'", net)
        assert row == [str(1000 + 2), writer.run]  # events; the beginning of their file


def test_a_row_that_is_refused(fleet, net, tmp_path):
    writer = LogWriter(tmp_path / "log")
    writer.start()
    writer.send(50)
    writer.send(1, bytes="many")
    writer.send(50)
    options = ("--log", writer.path, "--cursor", tmp_path / "cursor", "--once")
    assert "1 row refused by the server, and sent as it is" in ship(fleet[:2], net, *options)
    (row,) = fleet[0].query("SELECT count(), countIf(bytes IS NULL), max(more) FROM events", net)
    assert row[:2] == ["101", "1"]
    assert "many" in row[2]


def test_what_is_wrong_is_said(fleet, net, tmp_path, monkeypatch):
    options = ("--log", tmp_path / "log", "--cursor", tmp_path / "cursor")
    assert "sockwatch ship --create" not in ship(fleet[:1], net, *options, "--once")
    assert "make them with --create" in ship(fleet[:1], "system", *options, status=FAILED)
    assert "database, then the tables" in ship(fleet[:1], "nowhere", *options, status=FAILED)
    (closed,) = process.free_ports(1)
    away = [SimpleNamespace(port=closed)]
    assert "Connection refused" in ship(away, net, *options, "--once", status=FAILED)
    monkeypatch.setitem(os.environ, PASSWORD, "wrong")
    assert "see --password-file" in ship(fleet[:1], net, *options, status=FAILED)
    (tmp_path / "secret").write_text("s3cret\n")
    ship(fleet[:1], net, *options, "--once", "--password-file", tmp_path / "secret")
