# SPDX-License-Identifier: Apache-2.0
"""Fifty million events through one tracer: does it grow? Some as fast as they come, which the
log has counted together; some at a rate at which each has a line. In a network namespace of its
own."""

import tempfile
from pathlib import Path
from typing import Final

import measure
import tools
from tools import WATCHED

PARTS: Final = 10
FAST: Final = 4_000_000  # in each part
SLOW: Final = 1_000_000
PACE: Final = ("250", "0.01")  # 25,000 a second


def main() -> None:
    """Prints the size after each part."""
    if not measure.is_inside():
        measure.in_namespace(__file__)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tool = tools.sockwatch(folder, "--dst", WATCHED, "--log-max-size", "100M")
        results = [{"events": 0, "pss": tool.pss, "cpu": tool.cpu}]
        for part in range(1, PARTS + 1):
            tools.send(WATCHED, FAST)
            tools.send(WATCHED, SLOW, *PACE)
            tool.settle()
            results.append({"events": part * (FAST + SLOW), "pss": tool.pss, "cpu": tool.cpu})
            show(results[-1])
        tool.end()
        print((folder / "errors").read_text().splitlines()[-1])
    measure.save("endurance", results)


def show(result: dict[str, float]) -> None:
    """So far."""
    each = result["cpu"] / result["events"] * 1e6
    print(f"{result['events']:12,} events  MB {result['pss'] / 1e6:.1f}  us of CPU each {each:.2f}")


if __name__ == "__main__":
    main()
