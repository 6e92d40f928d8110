# SPDX-License-Identifier: Apache-2.0
"""``sockwatch report``: sums up what the logs say."""

import contextlib
import datetime as dt
import gc
import itertools
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from tracer.cli import durations
from tracer.cli.help import Command, Group
from tracer.cli.names import Names
from tracer.cli.numbers import Number
from tracer.cli.options import CONTEXT, FILE, filter_options, filters_of, help_option
from tracer.cli.progress import progress
from tracer.cli.server import access_of, access_options
from tracer.errors import SockwatchError, UsageError
from tracer.filter import zones
from tracer.filter.contradictions import excluded
from tracer.filter.filters import NO_FILTERS, Filters
from tracer.model.counts import counted
from tracer.output import logfile
from tracer.output.jsonl import to_json
from tracer.output.stdout import Screen, fail
from tracer.output.terminal import columns_of
from tracer.report import groups, said, source, times
from tracer.report import render as shown
from tracer.report.convert import FORMATS, converted
from tracer.report.coverage import Coverage, coverage
from tracer.report.decode import DAMAGE
from tracer.report.earlier import Earlier
from tracer.report.expand import Expansion
from tracer.report.files import Files, with_backups
from tracer.report.group import ORDERS
from tracer.report.groups import Report
from tracer.report.keys import DEFAULT_KEYS, KEYS
from tracer.report.times import Period
from tracer.report.verdict import Verdict, verdict
from tracer.report.view import View
from tracer.warn import warn

_OF_GROUPS: Final = ("by", "sort", "top", "json", "html", "prove", "resolve")
_OF_LOGS: Final = ("expand", "format")
_EXAMPLES: Final = {
    "sockwatch report --since 1h": "who sent to whom in the last hour",
    "sockwatch report --sort bytes --top 10": "the ten that sent most",
}


@click.command(cls=Command, context_settings=CONTEXT, examples=_EXAMPLES)
@click.argument("files", nargs=-1, type=FILE, metavar="[FILE...]")
@Group.SERVER.option(
    "--from",
    "server",
    metavar="URL",
    help="Ask clickhouse://USER@HOST:PORT/DATABASE, which hosts ship to, instead of a log.",
)
@access_options
@Group.SHOW.option(
    "--by",
    multiple=True,
    type=Names(KEYS),
    metavar="KEY[,KEY...]",
    help="One line for each, as user or dst; several are combined.  [default: role and dst]",
)
@Group.SHOW.option(
    "--sort",
    type=click.Choice(ORDERS),
    default=ORDERS[0],
    show_default=True,
    metavar="BY",
    help=f"Most {', '.join(ORDERS[:-1])} first, or {ORDERS[-1]} active.",
)
@Group.SHOW.option(
    "--top", type=Number(1), metavar="N", help="The first N only, and one sum of the others."
)
@Group.WHEN.option(
    "--since", metavar="TIME", help="From then on: 2026-11-24T13:00, 13:00, or 2h (ago)."
)
@Group.WHEN.option("--until", metavar="TIME", help="Until then.")
@filter_options
@Group.WHOM.option("-x", "--failed", is_flag=True, help="Failures only.")
@Group.OTHER.option(
    "--prove",
    is_flag=True,
    help="Exit with 0 only if it is proven that nobody matches, 1 if somebody does, else 4.",
)
@Group.SHOW.option("-r", "--resolve", is_flag=True, help="Show names instead of addresses.")
@Group.SHOW.option(
    "--json", is_flag=True, help="A line of JSON for each, and one of what the traces cover."
)
@Group.SHOW.option(
    "--expand",
    is_flag=True,
    help="The log's lines instead, each with all that is known of its process.",
)
@Group.SHOW.option(
    "--html", type=FILE, metavar="FILE", help="Also as a page for a browser: one file, no network."
)
@Group.SHOW.option(
    "--format",
    type=click.Choice(list(FORMATS)),
    metavar="SCHEMA",
    help="Instead, each event as a line of JSON by another schema: ecs, ocsf or otel.",
)
@Group.SHOW.option("--no-args", is_flag=True, help="With --format: leave processes' arguments out.")
@help_option
def command(**given: Any) -> None:
    """Which processes sent to which destinations, how much, and when: from the logs.

    Reads the default log, or each FILE (- is standard input), compressed or not, with its backups.
    Lines that are damaged are counted and left out. Says when what was traced; without --until,
    --since asks for all until now. Of more than 100,000 groups, the least are merged.

    With --format, writes the events themselves instead, by another schema (sockwatch-log(5)).

    With --from, asks the server that hosts ship to (sockwatch ship), by filters that its tables
    tell; the default is --by host,exe,dst. Only with --prove, it looks at what was watched.

    With --prove, nobody is proven only if nobody matches, the traces cover all of that time, and
    nothing was missed; what fails, or is stopped, proves nothing.
    """
    keys = tuple(dict.fromkeys(itertools.chain(*given["by"]))) or _default_keys(given)
    _check(given, keys)
    _check_server(given)
    period = Period(*(_time(given[name]) for name in ("since", "until")))
    asked = _until_now(period)
    filters = _filters(given)
    if given["expand"] or given["format"]:
        _write_events(given, filters, period)
        return
    earlier = Earlier(period.since) if given["prove"] and period.since else None
    if given["server"]:
        found = _asked(given, keys, filters, period, earlier, asked.until)
    else:
        found = _summarized(given["files"], keys, filters, period, earlier, given["sort"])
    covered = coverage(found.runs, filters, *asked)
    proof = verdict(found, covered, filters, earlier) if given["prove"] else None
    view = View(keys, given["top"] or 0)
    if given["resolve"]:
        view = _with_names(view, found)
    told = list(_told(found, covered, filters, proof))
    if given["server"]:
        told += _told_of_server(found, proof)
    if given["html"]:
        _write_page(given["html"], found, view, told)
    Screen(sys.stdout, fail).write(
        shown.lines(found, view) + shown.coverage_line(covered, proof)
        if given["json"]
        else shown.render(found, view, columns_of(sys.stdout))
    )
    for text in told:
        warn(text)
    sys.exit(proof.status if proof else 0)


def _check(given: dict[str, Any], keys: Sequence[str]) -> None:
    """Raises UsageError if an option can have no effect."""
    if given["resolve"] and "dst" not in keys:
        raise UsageError("--resolve names destinations, and no --by asks for them", "add --by dst")
    if str(given["html"]) == "-":
        raise UsageError("--html writes a file", "name one")
    if given["no_args"] and not given["format"]:
        raise UsageError("--no-args leaves out nothing but with --format", "leave it out")
    if given["format"] and given["expand"]:
        raise excluded("--format", "--expand")
    lines = "--format" if given["format"] else "--expand" if given["expand"] else None
    for name in _OF_GROUPS if lines else ():
        source_of = click.get_current_context().get_parameter_source(name)
        if lines and source_of is ParameterSource.COMMANDLINE:
            raise excluded(lines, f"--{name}")


def _default_keys(given: dict[str, Any]) -> Sequence[str]:
    if not given["server"]:
        return DEFAULT_KEYS
    from tracer.report.fleet.keys import DEFAULT_KEYS as OF_SERVER  # noqa: PLC0415 (as below)

    return OF_SERVER


def _check_server(given: dict[str, Any]) -> None:
    """Raises UsageError if a server is asked for what it does not know, or none is."""
    if not given["server"]:
        for name in ("password_file", "ca", "no_tls"):
            if given[name]:
                raise UsageError(f"--{name.replace('_', '-')} goes with --from", "leave it out")
        return
    if given["files"]:
        raise excluded("--from", "a FILE")
    for name in _OF_LOGS:
        if given[name]:
            raise UsageError(
                f"--{name} needs the logs themselves, and cannot be asked of a server",
                "leave out --from, or --" + name,
            )


def _asked(
    given: dict[str, Any],
    keys: Sequence[str],
    filters: Filters,
    period: Period,
    earlier: Earlier | None,
    until: str,
) -> Report:
    """Asks a server. Raises SockwatchError."""
    from tracer.output.clickhouse import target_of  # noqa: PLC0415 (few reports need HTTP and TLS)
    from tracer.report.fleet import ask, conditions  # noqa: PLC0415

    conditions.check(filters, given["uid"])
    if given["prove"] and not earlier:
        raise UsageError("--prove of a server needs --since", "say since when, as --since 1d")
    target = target_of(given["server"], tls=not given["no_tls"], option="--from")
    access = access_of(given)
    return ask.summarize(target, access, keys, filters, period, given["sort"], earlier, until)


def _until_now(period: Period) -> Period:
    """Returns the period that is asked for: one without an end ends now. Raises UsageError."""
    now = times.as_logged(dt.datetime.now(dt.UTC))
    asked = period if period.until or not period.since else period._replace(until=now)
    if asked.until and asked.since > asked.until:
        raise UsageError(
            f"--since is later than {'--until' if period.until else 'now'}",
            "nothing can be between them",
        )
    return asked


def _filters(given: dict[str, Any]) -> Filters:
    filters = filters_of(given, failed=given["failed"], accept=True)
    for zone in filters.zones:
        if zones.number(zone) is not None:
            raise UsageError("a log has interfaces by name", f"give the name of %{zone}")
    return filters


def _summarized(
    named: Sequence[Path],
    keys: Sequence[str],
    filters: Filters,
    period: Period,
    earlier: Earlier | None,
    order: str,
) -> Report:
    """Reads the logs. Raises SockwatchError, also for a file that is no log."""
    gc.disable()  # nothing makes cycles; walking 100,000 groups again and again takes a fifth
    with _reading(named) as (files, advance):
        found = groups.summarize(
            files.paths, keys, filters, period, advance, files.continued, earlier, order
        )
    _refuse_strangers(found.strangers, named)
    return found


def _refuse_strangers(strangers: Sequence[Path], named: Sequence[Path]) -> None:
    """Raises SockwatchError for a file that was named and is no log."""
    for path in strangers:
        if path in named:
            name = "standard input" if path == source.STDIN else path
            raise SockwatchError(
                f"{name} is no log of sockwatch (no line of it is one of a log)",
                "name another FILE",
            )


def _write_events(given: dict[str, Any], filters: Filters, period: Period) -> None:
    """Writes the lines of logs, or their events by another schema. Raises SockwatchError."""
    schema, written = given["format"], 0
    is_all = filters == groups.ALL and not any(period) and not schema
    expansion = Expansion(filters, period, with_runs=is_all)
    screen = Screen(sys.stdout, fail)
    with _reading(given["files"]) as (files, advance):
        for line in expansion.lines(files, advance):
            fields = line.fields
            try:
                if schema:
                    fields = converted(line, schema, no_args=given["no_args"])
                screen.write(to_json(fields) + "\n")
                written += 1
            except DAMAGE:
                expansion.count_damage()
            if screen.closed:
                return
    _refuse_strangers(expansion.strangers, given["files"])
    warn(expansion.summary(written))


def _with_names(view: View, found: Report) -> View:
    from tracer.report.names import names_of  # noqa: PLC0415 (few reports need it)

    shown, _ = view.groups(found)
    return view._replace(names=names_of(filter(None, (group.keys["dst"] for group in shown))))


def _write_page(path: Path, found: Report, view: View, told: Sequence[str]) -> None:
    from tracer.output import textfile  # noqa: PLC0415 (few reports need them)
    from tracer.report import html  # noqa: PLC0415

    command = shlex.join(["sockwatch", *sys.argv[1:]])
    textfile.write(path, html.page(found, view, command, told), "--html")


def _told(found: Report, covered: Coverage, asked: Filters, proof: Verdict | None) -> Iterator[str]:
    """Yields what a user is told besides the groups."""
    damaged = f", {found.damaged} damaged and left out" if found.damaged else ""
    yield f"{found.lines} lines, {counted(len(found.groups), 'group')}{damaged}"
    if found.rest:
        yield (
            f"more than {groups.MAX_GROUPS:,} groups: those with the least {found.order} are merged"
            "; for all of them, ask for less by --by, a filter, or a period"
        )
    if found.lines:
        yield said.sentence(covered)
    if said.question(asked) != said.question(NO_FILTERS) or proof:
        beyond = said.beyond(covered, asked)
        if beyond:
            yield beyond
    if proof:
        yield proof.text


def _told_of_server(found: Report, proof: Verdict | None) -> Iterator[str]:
    """Yields what else a user is told of a server's answer."""
    if found.undecided and not proof:
        yield f"{counted(found.undecided, 'event')} may match: it is not known whose"
    if not proof:
        yield "not looked at: what was watched when, and what was lost (--prove does)"


def _default_files() -> Files:
    """Returns the default log with its backups."""
    found = with_backups([logfile.DEFAULT])
    there = [path for path in found.paths if path.exists()]
    if not there:
        raise SockwatchError(
            f"there is no log {logfile.DEFAULT}", "name a FILE, or trace something first"
        )
    return found._replace(paths=there)


@contextlib.contextmanager
def _reading(named: Sequence[Path]) -> Iterator[tuple[Files, Callable[[int], None]]]:
    """Yields the logs to read, and what is told the bytes read. Raises SockwatchError for one that
    cannot be read."""
    try:
        files = with_backups(named) if named else _default_files()
        total = sum(path.stat().st_size for path in files.paths if path != source.STDIN)
        with progress(total) as advance:
            yield files, advance
    except OSError as error:
        hint = "run it as root" if isinstance(error, PermissionError) else "name another FILE"
        raise SockwatchError(f"cannot read {error.filename} ({error.strerror})", hint) from None


def _time(value: str | None) -> str:
    """Returns a time as the log writes it; empty for none. Raises UsageError."""
    if value is None:
        return ""
    with contextlib.suppress(ValueError):
        return times.checked(value.encode()).decode()  # as the log has it, to the nanosecond
    ago = None if value.isdigit() else durations.seconds(value)  # 2026 may be meant as a year
    try:
        if ago is not None:
            return times.as_logged(dt.datetime.now(dt.UTC) - dt.timedelta(seconds=ago))
        return times.as_logged(_latest(value) or dt.datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        raise UsageError(
            f"'{value}' is not a time",
            "give it as 2026-11-24T13:00, as 13:00, or as 2h for two hours ago",
        ) from None


def _latest(value: str) -> dt.datetime | None:
    """Returns when a clock has shown 13:00, or 13:00:05.123, last; None if that is no such time.
    Raises ValueError if no clock shows it."""
    if not re.fullmatch(r"\d\d:\d\d(:\d\d([.]\d+)?)?", value, re.ASCII):
        return None
    now = dt.datetime.now()
    found = dt.datetime.combine(now, dt.time.fromisoformat(value))
    return found if found <= now else found - dt.timedelta(days=1)
