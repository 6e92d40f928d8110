# SPDX-License-Identifier: Apache-2.0
"""Durations are the same for all commands."""

import click
import pytest

from tracer.cli import report
from tracer.cli.durations import Duration, seconds
from tracer.errors import UsageError


@pytest.mark.parametrize(
    ("typed", "found"),
    [("0", 0), ("90", 90), ("1.5", 1.5), ("5s", 5), ("0.5m", 30), ("5m", 300), ("2h", 7200),
     ("1d", 86_400), ("1w", 604_800)],
)  # fmt: skip
def test_seconds(typed, found):
    assert seconds(typed) == Duration().convert(typed, None, None) == found


@pytest.mark.parametrize(
    "typed", ["", "x", "5 m", "m", "-5", "5M", "5ms", "nan", "inf", "1e3", ".5", "٣", "9" * 400]
)
def test_what_is_no_duration(typed):
    assert seconds(typed) is None
    with pytest.raises(click.BadParameter, match="is not a duration: give a number of seconds"):
        Duration().convert(typed, None, None)


def test_one_that_is_too_short():
    assert Duration(0.1).convert("0.1s", None, None) == 0.1
    with pytest.raises(click.BadParameter, match=r"too short: give at least 0\.1 s"):
        Duration(0.1).convert("0.05", None, None)


def test_a_report_takes_the_same():
    assert report._time("0.5m") > report._time("5m") > report._time("2h") > report._time("1d")
    for typed in ("2026", "5M", ""):  # a year?
        with pytest.raises(UsageError, match="is not a time"):
            report._time(typed)
