# SPDX-License-Identifier: Apache-2.0
"""Decides whether logs prove that nobody did what is asked for."""

from typing import Final, NamedTuple

from tracer.errors import NOT_PROVEN
from tracer.filter.filters import Filters
from tracer.report import said
from tracer.report.coverage import Coverage
from tracer.report.earlier import Earlier
from tracer.report.groups import Report

NOBODY: Final = 0  # exit statuses
SOMEBODY: Final = 1


class Verdict(NamedTuple):
    """An exit status, and the sentence that says it."""

    status: int
    text: str


def verdict(
    found: Report, covered: Coverage, asked: Filters, earlier: Earlier | None = None
) -> Verdict:
    """Returns the verdict. ``earlier``: what began before the period, if that has a beginning."""
    what = said.question(asked)
    when = said.period(covered)
    if found.groups:
        groups = (
            "1 group matches" if len(found.groups) == 1 else f"{len(found.groups)} groups match"
        )
        return Verdict(SOMEBODY, f"somebody: {groups} {what}, {when}")
    doubts = [*said.doubts(covered), *_unknown(found, earlier), *found.doubts]
    if doubts:
        return Verdict(NOT_PROVEN, f"not proven that nobody matches {what}: {'; '.join(doubts)}")
    blind = said.blind(covered.traced)
    left = f"; not looked for: {'; '.join(blind)}" if blind else ""
    return Verdict(
        NOBODY, f"nobody matches {what}, {when}: all of it was traced, none missed{left}"
    )


def _unknown(found: Report, earlier: Earlier | None) -> list[str]:
    doubts = (
        [f"{found.undecided:,} events of which it is not known whose"] if found.undecided else []
    )
    if earlier:
        still_open = earlier.still_open(found.runs)
        if still_open:
            doubts.append(f"{still_open:,} TCP connections from before may still have been open")
        if earlier.reaching:
            doubts.append(f"{earlier.reaching:,} lines from before count events of that time, too")
    return doubts
