# SPDX-License-Identifier: Apache-2.0
"""As many destinations as datagrams, within a watched /8: as fast as they can be sent, and at a
rate that a tracer can follow. In a network namespace of its own."""

import sys
import tempfile
from pathlib import Path
from typing import Final

import measure
import tools

WATCHED: Final = "127.0.0.0/8"
FLOWS: Final = 1_000_000
PACE: Final = ("100", "0.01")  # 10,000 a second


def flood(*pace: str) -> dict[str, float]:
    """One run."""
    with tempfile.TemporaryDirectory() as temporary:
        tool = tools.sockwatch(Path(temporary), "--dst", WATCHED)
        first = tool.pss
        rate = tools.send(WATCHED, FLOWS, *pace)
        tool.settle()
        cost = {"rate": rate, "cpu": tool.cpu, "pss": tool.pss, "pss_at_start": first}
        tool.end()
        log = Path(temporary) / "log"
        return {**cost, "recorded": tools.counted(log), "lost": tools.lost(log)}


def main() -> None:
    """Argument: how many runs (5)."""
    if not measure.is_inside():
        measure.in_namespace(__file__, *sys.argv[1:])
    runs = measure.asked_runs()
    print(f"{FLOWS:,} destinations, {runs} runs, median (least to most):")
    alone = [tools.send(WATCHED, FLOWS) for _ in range(runs)]
    fast = [flood() for _ in range(runs)]
    slower = measure.ratios(alone, [one["rate"] for one in fast])
    print(f"  as fast as it goes: sender slower by {measure.spread(slower)}")
    show(fast)
    slow = [flood(*PACE) for _ in range(runs)]
    print("  10,000 a second")
    show(slow)
    measure.save("flows", {"rate of nothing": alone, "fast": fast, "slow": slow})


def show(found: list[dict[str, float]]) -> None:
    """Of one pace."""

    def column(key: str, unit: float = 1) -> list[float]:
        return [one[key] / unit for one in found]

    unaccounted = [FLOWS - one["recorded"] - one["lost"] for one in found]
    print(f"    recorded                 {measure.spread(column('recorded'), 0)}")
    print(f"    counted as lost          {measure.spread(column('lost'), 0)}")
    print(f"    unaccounted for, at most {max(unaccounted):,.0f}")
    print(f"    CPU seconds              {measure.spread(column('cpu'), 1)}")
    print(f"    MB at the start          {measure.spread(column('pss_at_start', 1e6), 0)}")
    print(f"    MB at the end            {measure.spread(column('pss', 1e6), 0)}")


if __name__ == "__main__":
    main()
