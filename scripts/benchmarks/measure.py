# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: commands timed, medians with their spread."""

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

SOCKWATCH = str(Path(sys.executable).with_name("sockwatch"))


class Cost(NamedTuple):
    """Of a command: seconds from start to end, CPU seconds, largest resident set in bytes (of
    it, or of a child of its own)."""

    wall: float
    cpu: float
    memory: int


def run(argv: Sequence[str]) -> Cost:
    """Its output is thrown away; a failure ends the benchmark."""
    started = time.monotonic()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    ended = time.monotonic()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"bench: {' '.join(argv)} failed: run it by hand to see why")
    return Cost(ended - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """``median (least to most)``."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def pss(pid: int) -> int:
    """Proportional set size in bytes, from smaps_rollup, proc(5)."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)[1]) * 1024


def in_namespace(script: str, runs: str) -> None:
    """Runs a benchmark (``script inside RUNS``) in a network namespace of its own, with lo up;
    exits with its status."""
    name = f"swbench{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        argv = ["ip", "netns", "exec", name, sys.executable, script, "inside", runs]
        sys.exit(subprocess.run(argv, check=False).returncode)
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)
