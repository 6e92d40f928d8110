# SPDX-License-Identifier: Apache-2.0
"""``sockwatch report``: sums up what the logs say."""

import contextlib
import datetime as dt
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click

from tracer.cli import durations
from tracer.cli.options import CONTEXT, FILE, filter_options, filters_of, help_option
from tracer.errors import SockwatchError, UsageError
from tracer.output import logfile
from tracer.output.backups import backups_of
from tracer.output.stdout import Screen, fail
from tracer.report import groups, source, times
from tracer.report import render as shown
from tracer.report.groups import Report
from tracer.report.times import Period
from tracer.warn import warn

_LONG: Final = 100_000_000  # bytes; beyond this, a progress bar is shown


@click.command(context_settings=CONTEXT)
@click.argument("files", nargs=-1, type=FILE, metavar="[FILE...]")
@click.option(
    "--by",
    multiple=True,
    type=click.Choice(list(groups.KEYS)),
    metavar="KEY",
    help=f"One line for each {', '.join(groups.KEYS)}; several are combined.  "
    "[default: process and dst]",
)
@click.option("--since", metavar="TIME", help="From then on: 2026-11-24T13:00, or 2h for ago.")
@click.option("--until", metavar="TIME", help="Until then.")
@filter_options
@click.option("-x", "--failed", is_flag=True, help="Failures only.")
@click.option("--json", is_flag=True, help="A line of JSON for each.")
@help_option
def command(**given: Any) -> None:
    """Which processes sent to which destinations, how much, and when: from the logs.

    Reads the default log with its backups, or each FILE (- is standard input), compressed or not.
    Lines that are damaged are counted and left out.

    Example: sockwatch report --since 1d --by user --by dst
    """
    keys = given["by"] or groups.DEFAULT_KEYS
    period = Period(*(_time(given[name]) for name in ("since", "until")))
    if period.until and period.since > period.until:
        raise UsageError("--since is later than --until", "nothing can be between them")
    filters = filters_of(given, failed=given["failed"], accept=True)
    for zone in filter(str.isdecimal, filters.zones):
        raise UsageError("a log has interfaces by name", f"give the name of %{zone}")
    try:
        files = given["files"] or _default_files()
        with _progress(files) as advance:
            found = groups.summarize(files, keys, filters, period, advance)
    except OSError as error:
        hint = "run it as root" if isinstance(error, PermissionError) else "name another FILE"
        raise SockwatchError(f"cannot read {error.filename} ({error.strerror})", hint) from None
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    Screen(sys.stdout, fail).write(
        shown.lines(found.groups) if given["json"] else shown.render(found, keys, width)
    )
    _show_totals(found)


def _show_totals(found: Report) -> None:
    damaged = f", {found.damaged} damaged and left out" if found.damaged else ""
    events = found.losses.get("lost", 0)
    lost = f", {events} events lost by the tracer" if events else ""
    lost += "".join(
        f", {name} {count}" for name, count in found.losses.items() if count and name != "lost"
    )
    lost += f", {found.lines_lost} lines not written by the tracer" if found.lines_lost else ""
    warn(f"{found.lines} lines, {len(found.groups)} groups{damaged}{lost}")


def _default_files() -> list[Path]:
    """Returns the default log's backups, oldest first, and the log."""
    found = [*backups_of(logfile.DEFAULT), logfile.DEFAULT]
    found = [path for path in found if path.exists()]
    if not found:
        raise SockwatchError(
            f"there is no log {logfile.DEFAULT}", "name a FILE, or trace something first"
        )
    return found


@contextlib.contextmanager
def _progress(paths: Sequence[Path]) -> Iterator[Callable[[int], None]]:
    """Shows a bar on standard error, if that is a terminal and reading takes a moment."""
    total = sum(path.stat().st_size for path in paths if path != source.STDIN)
    if total < _LONG or not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=total, label="reading", file=sys.stderr) as bar:
        yield bar.update


def _time(value: str | None) -> str:
    """Returns a time as the log writes it; empty for none. Raises UsageError."""
    if value is None:
        return ""
    ago = None if value.isdigit() else durations.seconds(value)  # 2026 may be meant as a year
    try:
        if ago is not None:
            return times.as_logged(dt.datetime.now(dt.UTC) - dt.timedelta(seconds=ago))
        return times.as_logged(dt.datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        raise UsageError(
            f"'{value}' is not a time", "give it as 2026-11-24T13:00, or as 2h for two hours ago"
        ) from None
