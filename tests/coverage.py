# SPDX-License-Identifier: Apache-2.0
"""What the runs under other kernels and releases found, as the tables of docs/coverage.md.

    coverage.py [--update] LABEL=LOG...

LOG holds what pytest printed there; LABEL is the column's name. Prints the tables, and compares
them with the file's: what passes must be the same, and so must the verifier's work where release,
kernel and compiler are. With --update, writes them there. The exit status is 1 if anything failed,
is missing, or differs.
"""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.cases import CASES, PROBE_NAMES
from tracer.kernel import loader
from tracer.kernel.probes import PROBES

DOCUMENT = Path(__file__).parents[1] / "docs/coverage.md"
LABELS = (
    "5.10", "6.1", "6.12", "newest", "6.12 trixie", "6.12 forky", "6.12 trixie-arm64",
)  # fmt: skip
PLACE = ("kernel", "release", "python", "compiler", "measured")
PROGRAMS = tuple(
    f"{probe.name} {function}"
    for probe in PROBES
    for function in (*(hook.function for hook in probe.hooks), loader.TRACERS_LEVEL)
)

NOT_RUN = "not run"  # in a column that was measured before the row was there

Table = dict[str, dict[str, str]]  # row, column: cell


@dataclass
class Run:
    """What one log says."""

    place: dict[str, str] = field(default_factory=dict)
    cases: dict[tuple[str, str], str] = field(default_factory=dict)  # probe and case: a word
    verified: dict[str, str] = field(default_factory=dict)  # probe and program: instructions


def checked_out() -> str:
    """The day and the name of what is checked out."""
    said = ["git", "-C", DOCUMENT.parent, "log", "-1", "--format=%cs %h"]
    done = subprocess.run(said, check=False, capture_output=True, text=True)
    return done.stdout.strip() or "MISSING"


def read(log: str, measured: str) -> Run:
    run = Run({"measured": measured})
    for line in log.splitlines():
        key, _, rest = line.partition(" ")
        if key.lower() in PLACE:
            run.place[key.lower()] = rest
        elif key == "VERIFIED":
            probe, program, instructions = rest.split()
            run.verified[f"{probe} {program}"] = instructions
        elif key == "CASE":
            name, status, *reason = rest.split(" ", 2)
            probe, _, case = name.partition("-")
            run.cases[probe, case] = _word(status, reason[0] if reason else "")
    return run


def _word(status: str, reason: str) -> str:
    return {"passed": "pass", "skipped": reason}.get(status, "FAIL")


def of_case(run: Run, case: str) -> str:
    """One word for all probes if they agree."""
    words = {probe: run.cases.get((probe, case), "MISSING") for probe in PROBE_NAMES}
    if len(set(words.values())) == 1:
        return words["fexit"]
    return ", ".join(f"{probe}: {word}" for probe, word in words.items())


def tables(runs: dict[str, Run]) -> tuple[Table, Table, Table]:
    """Where it was, every way to send, the verifier's work."""
    where = {name: {label: run.place.get(name, "MISSING") for label, run in runs.items()}
             for name in PLACE}  # fmt: skip
    cases = {case.id: {label: of_case(run, case.id) for label, run in runs.items()}
             for case in CASES}  # fmt: skip
    work = {name: {label: run.verified.get(name, "MISSING") for label, run in runs.items()}
            for name in PROGRAMS}  # fmt: skip
    return where, cases, work


def parse(text: str) -> list[Table]:
    """The Markdown tables of a text."""
    found: list[Table] = []
    columns: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            columns = []
        elif not columns:
            columns = cells[1:]
            found.append({})
        elif not set(cells[0]) <= {"-"}:
            found[-1][cells[0]] = dict(zip(columns, cells[1:], strict=True))
    return found


def render(table: Table, corner: str) -> Iterator[str]:
    columns = [label for label in LABELS if any(label in row for row in table.values())]
    yield f"| {corner} | " + " | ".join(columns) + " |"
    yield "| --- |" + " --- |" * len(columns)
    for name, row in table.items():
        yield f"| {name} | " + " | ".join(row.get(label, NOT_RUN) for label in columns) + " |"


def merged(old: Table, new: Table) -> Table:
    """The new rows, with the old cells of columns that were not measured now."""
    return {name: {**old.get(name, {}), **row} for name, row in new.items()}


def document(found: tuple[Table, Table, Table]) -> str:
    text = DOCUMENT.read_text()
    parts = zip(("where", "case", "program"), parse(text), found, strict=True)
    for corner, old, new in parts:
        before = "\n".join(line for line in _lines_of(text, corner))
        text = text.replace(before, "\n".join(render(merged(old, new), corner)))
    return text


def _lines_of(text: str, corner: str) -> Iterator[str]:
    inside = False
    for line in text.splitlines():
        inside = line.startswith("|") and (inside or line.startswith(f"| {corner} |"))
        if inside:
            yield line


def differences(found: tuple[Table, Table, Table]) -> Iterator[str]:
    where, cases, work = parse(DOCUMENT.read_text())
    for label in next(iter(found[1].values())):
        other = [name for name in ("release", "kernel", "compiler")
                 if where[name].get(label) != found[0][name][label]]  # fmt: skip
        if other:
            print(f"{label}: docs/coverage.md is of another {', '.join(other)}: see --update")
        compared = [(cases, found[1])] + ([] if other else [(work, found[2])])
        for documented, measured in compared:
            for name, row in measured.items():
                said = documented.get(name, {}).get(label)
                if said != row[label]:
                    yield f"{label}, {name}: docs/coverage.md says '{said}', and not '{row[label]}'"


def main(arguments: Iterable[str]) -> int:
    words = list(arguments)
    update = "--update" in words
    named = (word.partition("=") for word in words if word != "--update")
    measured = checked_out()
    runs = {label: read(Path(log).read_text(), measured) for label, _, log in named}
    if not runs:
        return 0
    found = tables(runs)
    for table, corner in zip(found, ("where", "case", "program"), strict=True):
        print("\n".join(render(table, corner)), end="\n\n")
    if update:
        DOCUMENT.write_text(document(found))
    wrong = list(differences(found))
    print("\n".join(wrong))
    cells = {cell for table in found for row in table.values() for cell in row.values()}
    return int(bool(wrong) or any("FAIL" in cell or "MISSING" in cell for cell in cells))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
