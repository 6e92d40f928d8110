# SPDX-License-Identifier: Apache-2.0
"""Is each kind of traffic detected, and are its bytes right? One scenario for each of the 24 kinds
of picosnitch's public benchmark, between network namespaces, with sockwatch and the peers that are
installed, one after the other.

Detected: the right process and the right remote address. Right bytes: payload within 5 % of what
the processes say that they moved, each way."""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import detection_lab as lab_of
import detection_tools as tools_of
import measure
from detection_lab import Lab
from detection_scenarios import SCENARIOS
from detection_score import Outcome, Truth, score, table
from detection_tools import Watcher

PAUSE: Final = 1.2  # seconds between two scenarios: some tools look once a second


def watched(lab: Lab, watcher: Watcher, names: list[str], scale: float) -> dict[str, Outcome]:
    """All scenarios, with one tool."""
    truths: dict[str, Truth] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        running = watcher.start(lab, folder)
        for name in names:
            truths[name] = lab_of.run(lab, name, scale)
            time.sleep(PAUSE)
        time.sleep(watcher.flush)
        for tool in running:
            tool.settle()
            tool.end()
        find = watcher.read(folder)
        return {name: Outcome(truth, find(truth)) for name, truth in truths.items()}


def asked() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="bench detection", description=__doc__)
    parser.add_argument("--scale", type=float, default=1, help="of all sizes; 0.1 in an emulator")
    parser.add_argument("--probe", default="auto", help="of sockwatch")
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, metavar="NAME", help="some of them")
    parser.add_argument(
        "--json", action="store_true", help="print the raw numbers too, and keep none"
    )
    tools = tools_of.TOOLS
    parser.add_argument(
        "--tools",
        nargs="+",
        choices=tools,
        default=tools[:3],
        metavar="TOOL",
        help=f"some of {tools}",
    )
    parser.add_argument(
        "--peers",
        dest="tools",
        action="store_const",
        const=tools,
        help="all of them, picosnitch too",
    )
    return parser.parse_args()


def main() -> None:
    """See asked()."""
    options = asked()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: ended"))  # cleans up
    names = options.only or list(SCENARIOS)
    watchers = tools_of.watchers(options.tools, options.probe)
    for name in set(options.tools) - set(watchers):
        print(f"{name} is not installed", file=sys.stderr)
    outcomes = {}
    with lab_of.laboratory() as lab:
        for tool, watcher in watchers.items():
            print(f"{tool}: {len(names)} scenarios", file=sys.stderr)
            outcomes[tool] = watched(lab, watcher, names, options.scale)
    missing = {
        name: truth.missing
        for by_name in outcomes.values()
        for name, (truth, _) in by_name.items()
        if truth.missing
    }
    shown = table({name: SCENARIOS[name].title for name in names}, missing, outcomes)
    raw = {
        "probe": options.probe,
        "scale": options.scale,
        "missing": missing,
        **numbers(outcomes, missing),
    }
    if options.json:
        print(json.dumps(raw))
    print(shown, file=sys.stderr if options.json else sys.stdout)
    if "sockwatch" in watchers and not options.only and not options.json:
        measure.save("detection", raw)


def numbers(outcomes: dict[str, dict[str, Outcome]], missing: Collection[str]) -> dict[str, Any]:
    """All that the table is made of."""
    return {
        tool: {
            name: {**truth._asdict(), "found": found._asdict(), **score(truth, found)._asdict()}
            for name, (truth, found) in by_name.items()
            if name not in missing
        }
        for tool, by_name in outcomes.items()
    }


if __name__ == "__main__":
    main()
