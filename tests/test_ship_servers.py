# SPDX-License-Identifier: Apache-2.0
"""Shipping to real servers, ClickHouse and ZooKeeper from Debian: 2 shards of 2 replicas."""

import os
import random
import subprocess
import sys
import time

import pytest

from tests.log_writer import LogWriter
from tests.servers import clickhouse, zookeeper

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
        env={**os.environ, PASSWORD: "s3cret"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, **more,
    )  # fmt: skip


def ship(servers, database, *options, status=0):
    """Returns what it says."""
    process = begin(servers, database, *options)
    out, said = process.communicate(timeout=TIMEOUT)
    assert process.returncode == status, said
    return out + said


def wait_for(condition):
    until = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)  # between two questions


def sync(server, database):
    server.query("SYSTEM SYNC REPLICA events", database)


def counted(server, database, table="events", what="count(), uniqExact(bytes), max(bytes)"):
    (row,) = server.query(f"SELECT {what} FROM {table}", database)
    return [int(value) for value in row]


def test_each_line_is_there_once_whatever_is_killed(fleet, net, tmp_path):
    """Kills ship at any moment, and its servers in turn; the log is rotated meanwhile."""
    shard = fleet[:2]
    log, cursor = tmp_path / "log", tmp_path / "cursor"
    writer = LogWriter(log)
    writer.start()
    moments = random.Random(1)
    gone = None
    for kill in range(KILLS):
        writer.send(LINES // KILLS // 2)
        process = begin(shard, net, "--log", log, "--cursor", cursor, "--every", 0.1)
        if kill % 10 == 5 and kill < 45:
            gone = shard[kill // 10 % 2]
            gone.kill()
        writer.send(LINES // KILLS // 2)
        if kill % 7 == 3:
            writer.rotate(compress=bool(kill % 2))
        try:
            process.wait(0.15 + 0.4 * moments.random())
        except subprocess.TimeoutExpired:
            process.kill()
        _, said = process.communicate()
        assert process.returncode == -9, said
        assert "Traceback" not in said
        if gone and kill % 10 == 7:
            gone.start()
            gone = None
    ship(shard, net, "--log", log, "--cursor", cursor, "--once")
    for server in shard:
        sync(server, net)
        assert counted(server, net) == [LINES, LINES, LINES]
    assert counted(fleet[2], net, "fleet_events") == [LINES, LINES, LINES]
    assert counted(fleet[2], net) == [0, 0, 0]
