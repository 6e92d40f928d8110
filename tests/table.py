# SPDX-License-Identifier: Apache-2.0
"""The suite's results as a table: kernels across, cases down.

    table.py KERNEL=LOG...

LOG holds what pytest printed under that kernel. Prints Markdown; the exit status is 1 if
anything failed or is missing.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

from tests.cases import CASES, RUNGS

Results = dict[tuple[str, str], tuple[str, str]]  # (rung, case): status, reason


def results(log: str) -> Results:
    found: Results = {}
    for line in log.splitlines():
        if line.startswith("CASE "):
            _, name, status, *reason = line.split(" ", 3)
            rung, _, case = name.partition("-")
            found[rung, case] = (status, reason[0] if reason else "")
    return found


def cell(found: Results, case: str) -> str:
    """One word for all rungs if they agree."""
    by_rung = {rung: _word(*found.get((rung, case), ("missing", ""))) for rung in RUNGS}
    if len(set(by_rung.values())) == 1:
        return by_rung["fexit"]
    return ", ".join(f"{rung}: {word}" for rung, word in by_rung.items())


def _word(status: str, reason: str) -> str:
    return {"passed": "pass", "skipped": reason}.get(status, "FAIL")


def table(kernels: dict[str, Results]) -> Iterable[str]:
    yield "| case | " + " | ".join(kernels) + " |"
    yield "| --- |" + " --- |" * len(kernels)
    for case in CASES:
        cells = [cell(found, case.id) for found in kernels.values()]
        yield f"| {case.id} | " + " | ".join(cells) + " |"


def main() -> None:
    named = (argument.partition("=") for argument in sys.argv[1:])
    kernels = {name: results(Path(log).read_text()) for name, _, log in named}
    text = "\n".join(table(kernels))
    print(text)
    sys.exit("FAIL" in text)


if __name__ == "__main__":
    main()
