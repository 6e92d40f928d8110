# SPDX-License-Identifier: Apache-2.0
"""picosnitch (from PyPI; Python 3.12 and fexit), for scripts/benchmarks/detection.py. It keeps no
pids: a process is found by its name. Some of what it records of it has no address; bytes count
nevertheless, as in its own benchmark."""

import atexit
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from detection_lab import Lab
from detection_score import Found, Truth
from tools import DoesNotStartError, Tool

_ROOT: Final = Path("/tmp/picosnitch")  # where it keeps all that it writes, with PICOSNITCH_TEST
_DATABASE: Final = _ROOT / "var/lib/picosnitch/picosnitch.db"
_SETTINGS: Final = """
[database]
write_limit_seconds = 1
[desktop]
notifications = false
geoip_lookup = false
"""
_LIMIT: Final = 300  # seconds until it records something, also under emulation
FLUSH: Final = 20  # seconds until all is in its database
_SUMS: Final = """
SELECT name, addr, SUM(send), SUM(recv)
FROM connections
    JOIN executables ON exe_id = executables.id
    JOIN addresses ON raddr_id = addresses.id
WHERE contime >= ? GROUP BY name, addr
"""


def start(lab: Lab, folder: Path) -> list[Tool]:
    """Once it records what a process sends."""
    _ROOT.mkdir(mode=0o700)  # it must not be there
    atexit.register(shutil.rmtree, _ROOT, ignore_errors=True)
    settings = _ROOT / "etc/picosnitch/config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(_SETTINGS)
    os.environ["PICOSNITCH_TEST"] = "1"
    argv = [sys.executable, "-m", "picosnitch", "start-no-daemon"]
    tool = Tool(argv, folder, folder / "out", "")
    given_up = time.monotonic() + _LIMIT
    trial = lab.script("client", "detection_scenarios", "one", "0.01")
    while not _records():
        subprocess.run(trial, check=True, stdout=subprocess.DEVNULL)
        time.sleep(2)
        if tool.process.poll() is not None or time.monotonic() > given_up:
            raise DoesNotStartError(tool.errors.read_text()[-500:])
    time.sleep(FLUSH)
    return [tool]


def _records() -> bool:
    if not _DATABASE.exists():
        return False
    try:
        return bool(_sums(0))
    except sqlite3.OperationalError:  # it has no tables yet
        return False


def _sums(since: float) -> list[tuple[str, str, int, int]]:
    """Of what it has recorded since then: name, remote address, bytes sent and received."""
    with closing(sqlite3.connect(_DATABASE, timeout=10)) as database:
        return database.execute(_SUMS, (int(since),)).fetchall()


def find(truth: Truth) -> Found:
    """What it has of a scenario."""
    names = {one["comm"] for one in truth.processes}
    of_them = [row for row in _sums(truth.since) if row[0] in names]
    there = [row for row in of_them if row[1] == truth.address]
    everyone = len(truth.processes)
    return Found(
        everyone if of_them else 0, everyone if there else 0, bool(there),
        sum(row[2] for row in of_them), sum(row[3] for row in of_them),
    )  # fmt: skip
