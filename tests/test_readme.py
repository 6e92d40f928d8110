# SPDX-License-Identifier: Apache-2.0
"""README and docs say what the code says."""

import itertools
from pathlib import Path

from tests import coverage
from tests.cases import CASES, DIFFERENCES, PRIVILEGES, PROBE_NAMES
from tracer.cli.main import SUBCOMMANDS, command_of
from tracer.model.counts import COUNTS
from tracer.model.fields import FIELDS, LOSSES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
LOG = (ROOT / "docs/log.md").read_text()
HOW = (ROOT / "docs/how-it-works.md").read_text()


def test_fields():
    table = "".join(f"| `{field.path}` | {field.meaning} |\n" for field in FIELDS)
    assert table in LOG


def test_counts_in_words():
    table = "".join(
        f"| {count.word} | `{name}` | {count.meaning} |\n" for name, count in COUNTS.items()
    )
    assert table in LOG
    assert set(LOSSES) <= set(COUNTS)


def test_differences_between_probes():
    table = "".join(
        f"| {probe} | {what} | {shown} |\n"
        for probe, lines in DIFFERENCES.items()
        for what, shown in lines
    )
    assert table in HOW


def test_privileges():
    table = "".join(f"| `{name}` | {missing} |\n" for name, missing in PRIVILEGES.items())
    assert table in README


def test_results_of_every_case():
    where, cases, work = coverage.parse(coverage.DOCUMENT.read_text())
    assert list(where) == list(coverage.PLACE)
    assert list(cases) == [case.id for case in CASES]
    assert list(work) == list(coverage.PROGRAMS)
    for table in (where, cases, work):
        for row in table.values():
            assert list(row) == list(coverage.LABELS)
            assert not any(word in cell for cell in row.values() for word in ("FAIL", "MISSING"))


def test_every_probe():
    for probe in PROBE_NAMES:
        assert f"**{probe}**" in README


def test_options_in_examples_exist():
    examples = README.partition("## Examples")[2].partition("```")[2].partition("```")[0]
    for line in examples.strip().splitlines():
        program, *words = line.partition("#")[0].partition("|")[0].split()
        assert program == "sockwatch"
        command = command_of(words[0] if words[0] in SUBCOMMANDS else None)
        known = {
            name for option in command.params for name in (*option.opts, *option.secondary_opts)
        }
        ours = itertools.takewhile(lambda word: word != "--", words)
        assert {word for word in ours if word.startswith("-")} <= known, line
