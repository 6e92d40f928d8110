# SPDX-License-Identifier: Apache-2.0
"""Draws the kept numbers of ``flood`` and ``start`` for docs/cost.md: bench/chart.png."""

import statistics
from collections.abc import Callable
from typing import Any, Final

import flood
import matplotlib as mpl
import measure

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

OURS, OTHERS = "#1b6ca8", "#b8b8b8"
NAMES: Final = {
    "sockwatch": "sockwatch",
    "sockwatch --summary": "sockwatch -S",
    "bpftrace": "bpftrace",
    "BCC with a callback": "BCC, callback",
    "tcpdump": "tcpdump",
    "sockwatch, first start": "… first start",
}


def panel(axes: Axes, title: str, values: dict[str, float], digits: int) -> None:
    """A bar for each tool, the first on top."""
    names = list(reversed(values))
    bars = axes.barh(
        [NAMES[name] for name in names],
        [values[name] for name in names],
        color=[OURS if "sockwatch" in name else OTHERS for name in names],
    )
    axes.bar_label(bars, fmt=f"%.{digits}f", padding=3, fontsize=9)
    axes.set_title(title, fontsize=10, loc="left")
    axes.margins(x=0.15)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(bottom=False, labelbottom=False, left=False, labelsize=9)


def medians(
    results: dict[str, Any], number: Callable[[str], list[float]], *without: str
) -> dict[str, float]:
    """Of those tools that have a name here."""
    names = [name for name in NAMES if results.get(name) and name not in without]
    return {name: statistics.median(number(name)) for name in names}


def main() -> None:
    """Four panels."""
    floods, starts = measure.saved("flood"), measure.saved("start")
    alone = [one["rate"] for one in floods["nothing"]]

    def slower(name: str) -> list[float]:
        return measure.ratios(alone, [one["rate"] for one in floods[name]])

    def cpu(name: str) -> list[float]:
        return flood.cpu_each(floods[name])

    def memory(name: str) -> list[float]:
        return [one["pss"] / 1e6 for one in floods[name]]

    def seconds(name: str) -> list[float]:
        return [one["seconds"] for one in starts[name]]

    figure, axes = plt.subplots(2, 2, figsize=(9, 4.6), layout="constrained")
    panel(axes[0][0], "Sender slowed, times (1: not at all)", medians(floods, slower), 2)
    panel(axes[0][1], "CPU for each event, µs", medians(floods, cpu), 2)
    panel(axes[1][0], "Memory while tracing, MB", medians(floods, memory), 0)
    panel(axes[1][1], "From exec to attached, s", medians(starts, seconds, "tcpdump"), 2)
    figure.suptitle(f"A flood of {flood.DATAGRAMS:,} datagrams: every event with its process")
    figure.savefig(measure.RESULTS.parent / "chart.png", dpi=110)


if __name__ == "__main__":
    main()
