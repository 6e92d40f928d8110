# SPDX-License-Identifier: Apache-2.0
"""What a proof costs, against a trace with the same filter: a flood to an address that nobody asks
for, time to start, memory, and CPU while nothing happens, also beside twenty network namespaces. In
a network namespace of its own."""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import measure
import tools
from tools import OTHER, WATCHED, Tool

DATAGRAMS: Final = 1_000_000
NAMESPACES: Final = 20
IDLE: Final = 4  # seconds
TOOLS: Final[dict[str, Callable[[Path], Tool]]] = {
    "trace": lambda folder: tools.sockwatch(folder, "--dst", WATCHED),
    "prove": lambda folder: tools.prove(folder, "--dst", WATCHED),
}


def idle(tool: Tool) -> float:
    """CPU seconds a second."""
    before = tool.cpu
    time.sleep(IDLE)
    return (tool.cpu - before) / IDLE


def watched(name: str) -> dict[str, float]:
    """One run of one of them."""
    with tempfile.TemporaryDirectory() as temporary:
        tool = TOOLS[name](Path(temporary))
        cost = {"seconds": tool.seconds_to_ready, "rate": tools.send(OTHER, DATAGRAMS)}
        with tools.statistics(tool.process.pid) as found:
            tools.send(OTHER, DATAGRAMS)
        tool.settle()
        cost |= {"ns": sum(spent for _, spent in found) / DATAGRAMS, "idle": idle(tool)}
        with tools.namespaces("swidle", NAMESPACES):
            time.sleep(1)
            cost["idle20"] = idle(tool)
            cost["pss"] = sum(map(measure.pss, [tool.process.pid, *children(tool.process.pid)]))
        tool.end()
    return cost


def children(pid: int) -> list[int]:
    """Processes of its own, proc(5)."""
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def main() -> None:
    """Argument: how many runs (5)."""
    if not measure.is_inside():
        measure.in_namespace(__file__, *sys.argv[1:])
    results: dict[str, list[dict[str, float]]] = {name: [] for name in ("nothing", *TOOLS)}
    tools.send(OTHER, DATAGRAMS)  # to warm up
    for _ in range(measure.asked_runs()):
        results["nothing"].append({"rate": tools.send(OTHER, DATAGRAMS)})
        for name in TOOLS:
            results[name].append(watched(name))
    show(results)
    measure.save("prove", results)


def show(results: dict[str, list[dict[str, float]]]) -> None:
    """As ratios, where there are two to compare."""

    def column(name: str, key: str, unit: float = 1) -> list[float]:
        return [one[key] / unit for one in results[name]]

    print(f"{len(results['nothing'])} runs, median (least to most):")
    for name in TOOLS:
        slower = measure.ratios(column("nothing", "rate"), column(name, "rate"))
        print(f"  {name}")
        print(f"    sender slower by         {measure.spread(slower)}")
        print(f"    ns a packet              {measure.spread(column(name, 'ns'), 0)}")
        print(f"    s to start               {measure.spread(column(name, 'seconds'))}")
        print(f"    MB                       {measure.spread(column(name, 'pss', 1e6), 0)}")
        print(f"    % of a CPU, idle         {measure.spread(column(name, 'idle', 0.01), 1)}")
        print(f"    the same, {NAMESPACES} namespaces  "
              f"{measure.spread(column(name, 'idle20', 0.01), 1)}")  # fmt: skip
    for key in ("ns", "seconds", "pss", "idle20"):
        above = measure.ratios(column("prove", key), column("trace", key))
        print(f"  prove to trace, {key:8} {measure.spread(above)}")


if __name__ == "__main__":
    main()
