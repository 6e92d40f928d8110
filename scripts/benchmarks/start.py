# SPDX-License-Identifier: Apache-2.0
"""How soon a tool is ready after exec, and how much memory it holds while tracing. In a network
namespace of its own."""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import measure
import tools
from tools import WATCHED, DoesNotStartError, Tool

DATAGRAMS = 10_000
FIRST = "sockwatch, first start"


def first_start(folder: Path) -> Tool:
    """Nothing is kept from an earlier one."""
    os.environ["CACHE_DIRECTORY"] = str(folder / "cache")
    try:
        return sockwatch(folder)
    finally:
        del os.environ["CACHE_DIRECTORY"]


def sockwatch(folder: Path) -> Tool:
    """Any other start."""
    return tools.sockwatch(folder, "--dst", WATCHED)


TOOLS: dict[str, Callable[[Path], Tool]] = {
    "sockwatch": sockwatch,
    FIRST: first_start,
    "bpftrace": tools.bpftrace,
    "BCC's tcpconnect": tools.tcpconnect,
}


def start(name: str) -> dict[str, float]:
    """Seconds from exec to attached, and bytes held after some traffic."""
    with tempfile.TemporaryDirectory() as temporary:
        tool = TOOLS[name](Path(temporary))
        tools.send(WATCHED, DATAGRAMS)
        tool.settle()
        cost = {"seconds": tool.seconds_to_ready, "pss": tool.pss}
        tool.end()
    return cost


def main() -> None:
    """Argument: how many runs (5)."""
    if not measure.is_inside():
        measure.in_namespace(__file__, *sys.argv[1:])
    runs = measure.asked_runs()
    tools.mount_tracefs()
    results: dict[str, list[dict[str, float]]] = {}
    for _ in range(runs):
        for name in [name for name in TOOLS if name not in results or results[name]]:
            try:
                results.setdefault(name, []).append(start(name))
            except DoesNotStartError as error:
                print(f"{name} does not start here: {error}")
    show(results, runs)
    measure.save("start", results)


def show(results: dict[str, list[dict[str, float]]], runs: int) -> None:
    """Seconds, and what of them sockwatch takes."""
    print(f"from exec to attached, {runs} runs, median (least to most):")
    ours = [one["seconds"] for one in results["sockwatch"]]
    for name, found in results.items():
        if not found:
            continue
        seconds = [one["seconds"] for one in found]
        memory = [one["pss"] / 1e6 for one in found]
        print(
            f"  {name:24} {measure.spread(seconds)} s"
            f"  sockwatch takes x{measure.spread(measure.ratios(ours, seconds))}"
            f"  MB {measure.spread(memory, 0)}"
        )


if __name__ == "__main__":
    main()
