# SPDX-License-Identifier: Apache-2.0
"""Shipping to the current engine: the schema, the rows, deduplication, the grants."""

import os
import subprocess
import sys

import pytest

from tests.log_writer import LogWriter
from tests.servers import embedded

pytestmark = pytest.mark.skipif(
    not embedded.is_installed(), reason="chdb-core is not installed (pip install chdb-core)"
)
TABLES = ("events", "processes", "runs")
GRANTS = (
    *(f"GRANT INSERT ON net.{table}" for table in TABLES),
    *(f"GRANT SELECT(token, time) ON net.{table}" for table in TABLES),
)
TIMEOUT = 60  # seconds


def ship(engine, *options, status=0):
    """Returns what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "tracer", "ship", "--to",
         f"clickhouse://127.0.0.1:{engine.port}/net", "--no-tls", *map(str, options)],
        env={**os.environ}, capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The folder of an engine that has a log, shipped by a user who may insert only."""
    folder = tmp_path_factory.mktemp("engine")
    with embedded.running(folder / "engine") as engine:
        engine.query("CREATE DATABASE net")
        ship(engine, "--create")
        ship(engine, "--create")  # changes nothing
    writer = LogWriter(folder / "log")
    writer.start()
    writer.send(2000)
    writer.rotate()
    writer.send(1000)
    with embedded.running(folder / "engine", GRANTS) as engine:
        ship(engine, "--log", folder / "log", "--cursor", folder / "cursor", "--once")
        with pytest.raises(RuntimeError, match="Not enough privileges"):
            engine.query("SELECT dst FROM events", "net")
    return folder


@pytest.fixture(scope="module")
def engine(shipped):
    with embedded.running(shipped / "engine") as running:
        yield running


def test_each_line_is_there_once(engine):
    assert engine.query("SELECT count(), uniqExact(bytes) FROM events", "net") == [["3000"] * 2]
    print(engine.query("SELECT * FROM events LIMIT 1 FORMAT Vertical","net"))
