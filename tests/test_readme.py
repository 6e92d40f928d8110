# SPDX-License-Identifier: Apache-2.0
"""README and docs say what the code says."""

import itertools
import re
from pathlib import Path

import pytest

from tests import coverage
from tests.cases import CASES, DIFFERENCES, PRIVILEGES, PROBE_NAMES
from tracer.cli.main import SUBCOMMANDS, command_of
from tracer.model.counts import COUNTS
from tracer.model.fields import FIELDS, LOSSES, PROCESS_FIELDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DOCS = {path.name: path.read_text() for path in (ROOT / "docs").glob("*.md")}


def test_fields():
    table = "".join(f"| `{field.path}` | {field.meaning} |\n" for field in FIELDS)
    assert table in DOCS["log.md"]
    table = "".join(f"| `{field.name}` | {field.meaning} |\n" for field in PROCESS_FIELDS)
    assert table in DOCS["log.md"]
    sparse = ", ".join(f"`{field.path}`" for field in FIELDS if field.sparse)
    assert f"Left out where they are null, or not other than said: {sparse}; " in DOCS["log.md"]


def test_counts_in_words():
    table = "".join(
        f"| {count.word} | `{name}` | {count.meaning} |\n" for name, count in COUNTS.items()
    )
    assert table in DOCS["log.md"]
    table = "".join(f"| `{field.name}` | {field.meaning} |\n" for field in PROCESS_FIELDS)
    assert table in DOCS["log.md"]
    sparse = ", ".join(f"`{field.path}`" for field in FIELDS if field.sparse)
    assert f"Left out where they are null, or not other than said: {sparse}; " in DOCS["log.md"]
    assert set(LOSSES) <= set(COUNTS)


def test_differences_between_probes():
    table = "".join(
        f"| {probe} | {what} | {shown} |\n"
        for probe, lines in DIFFERENCES.items()
        for what, shown in lines
    )
    assert table in DOCS["how-it-works.md"]


def test_privileges():
    table = "".join(f"| `{name}` | {missing} |\n" for name, missing in PRIVILEGES.items())
    assert table in DOCS["privileges.md"]


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
        assert f"**{probe}**" in DOCS["probes.md"]


def examples():
    """Every command that the pages show."""
    listed = DOCS["watch.md"].partition("## Examples")[2].partition("```")[2].partition("```")[0]
    yield from (line.partition("#")[0].partition("|")[0] for line in listed.strip().splitlines())
    for page in (README, *DOCS.values()):
        yield from re.findall(r"^# (sockwatch .*)$", page, re.MULTILINE)


@pytest.mark.parametrize("line", sorted(set(examples())))
def test_options_in_examples_exist(line):
    program, *words = line.split()
    assert program == "sockwatch"
    command = command_of(words[0] if words[0] in SUBCOMMANDS else None)
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    ours = itertools.takewhile(lambda word: word != "--", words)
    assert {word for word in ours if word.startswith("-")} <= known


def test_readme_is_short_and_begins_with_the_commands():
    lines = README.splitlines()
    assert len(lines) <= 150
    begin = "\n".join(lines[:12])
    assert "\nscripts/run --dst" in begin
    assert "\nscripts/test " in begin


def test_links_lead_somewhere():
    for name, page in {"../README.md": README, **DOCS}.items():
        folder = (ROOT / "docs" / name).parent
        for link in re.findall(r"\]\((?!https?:)([^)]*)\)", page):
            path, _, section = link.partition("#")
            target = folder / path
            assert target.is_file(), (name, link)
            assert not section or section in _sections(target), (name, link)


def _sections(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_leads_to_every_page():
    for name in DOCS:
        assert f"(docs/{name})" in README
