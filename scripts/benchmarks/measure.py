# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: commands timed, medians with their spread, results kept."""

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

SOCKWATCH = str(Path(sys.executable).with_name("sockwatch"))
RESULTS = Path(__file__).parents[2] / "bench" / "results"


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
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Run by run."""
    return [one / other for one, other in zip(above, below, strict=True)]


def pss(pid: int) -> int:
    """Proportional set size in bytes, from smaps_rollup, proc(5)."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)[1]) * 1024


def save(part: str, results: Any, kernel: str = platform.release()) -> None:
    """The raw numbers, and on what they were measured."""
    machine = {"kernel": kernel, "cpus": os.cpu_count(), "when": time.strftime("%F")}
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{part}.json"
    path.write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")


def saved(part: str) -> Any:
    """What :func:`save` kept."""
    return json.loads((RESULTS / f"{part}.json").read_text())["results"]


def in_namespace(script: str, *arguments: str) -> None:
    """Runs a benchmark (``script inside ARGUMENTS``) in a network namespace of its own, with lo
    up; exits with its status."""
    name = f"swbench{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        argv = ["ip", "netns", "exec", name, sys.executable, script, "inside", *arguments]
        sys.exit(subprocess.run(argv, check=False).returncode)
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def is_inside() -> bool:
    """Whether :func:`in_namespace` has done its part; takes its word from the arguments."""
    inside = sys.argv[1:2] == ["inside"]
    if inside:
        del sys.argv[1]
    return inside


def asked_runs(default: int = 5) -> int:
    """The first argument."""
    return int(sys.argv[1]) if len(sys.argv) > 1 else default
