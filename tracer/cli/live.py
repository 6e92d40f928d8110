# SPDX-License-Identifier: Apache-2.0
"""``sockwatch``: tracing."""

import os
import re
import sys
from collections.abc import Hashable
from functools import partial
from typing import Any, Final

import click
from click.core import ParameterSource

from tracer.cli.durations import Duration
from tracer.cli.help import Command, Group
from tracer.cli.main import SUBCOMMANDS
from tracer.cli.numbers import Number
from tracer.cli.options import (
    CONTEXT,
    FILE,
    accept_option,
    filter_options,
    filters_of,
    help_option,
    no_forward_option,
    version_option,
    with_accepted,
    with_forwarded,
)
from tracer.cli.probes import best_probe_option, chosen
from tracer.errors import UsageError
from tracer.filter import parse
from tracer.filter.contradictions import excluded, shown_protocols
from tracer.filter.endpoints import endpoints
from tracer.filter.filters import Filters
from tracer.live.counting import CountingTable
from tracer.live.news import pair_of
from tracer.live.shown import as_json, made
from tracer.live.table import Table
from tracer.model import protocols
from tracer.output import logfile
from tracer.output.terminal import columns_of
from tracer.trace import child, pipeline, run, volumes
from tracer.trace.metrics import MetricsOptions
from tracer.trace.options import AnswerOptions, LogOptions, MakeSink, Options

_OF_THE_LOG: Final = ("log", "log_max_size", "log_keep", "log_keep_days", "log_compress")
_SUBCOMMANDS: Final = " or ".join(f"'{name}'" for name in SUBCOMMANDS)
_EXAMPLES: Final = {
    "sockwatch --dst 10.0.0.5": "watch until Ctrl-C",
    "sockwatch --dst 10.0.0.5 -q -c 1": "wait for the first one",
}


def _options(given: dict[str, Any], filters: Filters) -> Options:
    """Builds the options of a run. Raises UsageError."""
    if str(given["log"]) == "-":
        raise UsageError("the log is a file", "--json prints the same lines")
    _refuse_without_effect(given, filters)
    return Options(
        log=None if given["no_log"] else _log(given),
        log_each=given["log_each"],
        json=given["json"],
        sink=_sink(given),
        count=given["count"],
        duration=given["duration"],
        ready_file=given["ready_file"],
        ring_pages=given["buffer_pages"],
        resolve=given["resolve"],
        log_names=given["log_names"],
        strict=given["strict"],
        interval=given["summary"] or pipeline.INTERVAL,
        volumes=given["volumes"],
        netns=tuple(map(parse.netns, given["netns"])),
        probes=chosen(given["probe"]),
        answer=_answer(given),
        new=given["new"],
        why=given["why"],
        metrics=_metrics(given),
    )


def _log(given: dict[str, Any]) -> LogOptions:
    """Says where to log. Raises UsageError."""
    size, keep = given["log_max_size"], given["log_keep"]
    if keep < size:
        raise UsageError(
            "--log-keep is less than one file (--log-max-size)", "give more, or a smaller file"
        )
    rotation = logfile.Rotation(size, keep, given["log_keep_days"], given["log_compress"])
    return LogOptions(given["log"], rotation)


def _answer(given: dict[str, Any]) -> AnswerOptions:
    """Says how the answer is given: on standard output, if nothing else is to be read there or
    nobody sees it as it comes, unless that is a command's."""
    others = str(given["answer_json"]) == "-" or given["command"]
    only = given["quiet"] or not (given["json"] or sys.stdout.isatty())
    return AnswerOptions(
        by_pid=given["by"] == "pid",
        json=given["answer_json"],
        on_stdout=bool(only and not others),
        is_status=given["quiet"] and given["count"] is not None and not given["command"],
    )


def _refuse_without_effect(given: dict[str, Any], filters: Filters) -> None:
    """Raises UsageError if one option takes away all that another asks for."""
    if given["quiet"] and given["json"]:
        raise excluded("--quiet", "--json")
    if given["json"] and str(given["answer_json"]) == "-":
        raise excluded("--json", "--answer-json -")
    no_tcp = filters.proto and filters.proto.isdisjoint(protocols.TCP)
    if filters.accept and no_tcp:
        raise excluded("--accept", shown_protocols(filters.proto))
    if filters.failed and no_tcp and given["probe"] == "tracepoint":
        raise excluded(f"{shown_protocols(filters.proto)} --failed", "--probe tracepoint")
    source = click.get_current_context().get_parameter_source
    for name in _OF_THE_LOG if given["no_log"] else ():
        if source(name) is ParameterSource.COMMANDLINE:
            raise excluded("--no-log", f"--{name.replace('_', '-')}")


def _metrics(given: dict[str, Any]) -> MetricsOptions | None:
    """Says where metrics go, and what each --dst stands for. Raises UsageError."""
    path = given["metrics"]
    if path is None:
        return None
    if str(path) == "-":
        raise UsageError("--metrics writes a file", "name one")
    if path == given["log"]:
        raise UsageError(f"--metrics would replace the log {path}", "name another file")
    return MetricsOptions(path, tuple((dst, endpoints("--dst", [dst])) for dst in given["dst"]))


def _known(given: dict[str, Any]) -> set[Hashable]:
    """Returns the programs and destinations that the log has already. Raises SockwatchError."""
    from tracer.report.known import known  # noqa: PLC0415 (few runs need it)

    return set() if given["no_log"] else known(given["log"], pair_of)


def _sink(given: dict[str, Any]) -> MakeSink | None:
    """Says what is done with events besides logging them; None: nothing."""
    makers = [_shown(given)]
    if given["exec"] is not None:
        if not given["exec"].strip():
            raise UsageError("--exec has no command", "give one, as --exec 'logger -t new'")
        from tracer.live.runner import Runner  # noqa: PLC0415 (few runs need it)

        makers.append(Runner(given["exec"]).sink)
    wanted = [make for make in makers if make]
    old = _known(given) if given["new"] else None
    return partial(made, wanted, old) if wanted else None


def _shown(given: dict[str, Any]) -> MakeSink | None:
    """Says how events are shown; None: they are not, or as the log's lines are."""
    if given["quiet"] or str(given["answer_json"]) == "-":
        return None
    if given["json"]:
        return as_json if given["new"] else None
    terminal = sys.stdout.isatty()
    color, header = terminal and not os.environ.get("NO_COLOR"), not given["no_header"]
    if terminal and not given["raw"]:
        whole = "--raw shows all" if given["no_log"] else "the log has them"
        return partial(CountingTable, color=color, header=header, whole=whole)
    merges = given["summary"] is not None and not given["raw"]
    return partial(Table, columns=columns_of(sys.stdout), color=color, header=header, merges=merges)


def _command(words: tuple[str, ...]) -> child.Command | None:
    """Returns the command to run, if there is one. Raises UsageError."""
    if not words:
        return None
    if "--" not in sys.argv:
        raise UsageError(
            f"'{words[0]}' is not expected here",
            f"an address goes behind --dst, a command behind --; or ask for {_SUBCOMMANDS}",
        )
    return child.Command(words)


def _power_of_two(context: click.Context, parameter: click.Parameter, value: int) -> int:
    if value & (value - 1):
        raise click.BadParameter("must be a power of two", context, parameter)
    return value


def _size(context: click.Context, parameter: click.Parameter, value: str) -> int:
    found = re.fullmatch("([0-9]{1,15})([KMG]?)(i?B)?", value, re.IGNORECASE | re.ASCII)
    if not found:
        raise click.BadParameter("must be a number of bytes, as 100M", context, parameter)
    return int(found[1]) << 10 * " KMG".index(found[2].upper() or " ")


@click.command(cls=Command, context_settings=CONTEXT, examples=_EXAMPLES, commands=SUBCOMMANDS)
@filter_options
@Group.WHOSE.option("-f", "--follow", is_flag=True, help="The descendants of --pid, too.")
@Group.WHOM.option("-x", "--failed", is_flag=True, help="Failures only.")
@accept_option
@no_forward_option
@best_probe_option
@Group.LOG.option(
    "-o",
    "--log",
    type=FILE,
    default=logfile.DEFAULT,
    show_default=True,
    metavar="FILE",
    help="Where to log.",
)
@Group.LOG.option("--no-log", is_flag=True, help="Write no log.")
@Group.LOG.option(
    "--log-max-size",
    callback=_size,
    default="100M",
    show_default=True,
    metavar="SIZE",
    help="The log becomes a backup at so many bytes (K, M, G), or after a day; 0: never.",
)
@Group.LOG.option(
    "--log-keep",
    callback=_size,
    default="2G",
    show_default=True,
    metavar="SIZE",
    help="The oldest backups are removed when all files have more.",
)
@Group.LOG.option(
    "--log-keep-days",
    type=Number(1),
    default=30,
    show_default=True,
    metavar="DAYS",
    help="And those that are older.",
)
@Group.LOG.option(
    "--log-compress/--no-log-compress", default=True, help="Compress backups with gzip (default)."
)
@Group.LOG.option(
    "--log-each", is_flag=True, help="A line for each event, also of a flow that has many."
)
@Group.SHOW.option("-r", "--resolve", is_flag=True, help="Show names instead of addresses.")
@Group.LOG.option("--log-names", is_flag=True, help="Log the addresses' names, too.")
@Group.SHOW.option("--json", is_flag=True, help="Print the log's lines instead of the table.")
@Group.SHOW.option("--raw", is_flag=True, help="A line for each event, also on a terminal.")
@Group.SHOW.option(
    "--new",
    is_flag=True,
    help="Only the first event of each program and destination since the log began.",
)
@Group.SHOW.option(
    "--exec",
    metavar="COMMAND",
    help="A shell's command to run for each event shown, its line on standard input.",
)
@Group.SHOW.option("-q", "--quiet", is_flag=True, help="Print no events.")
@Group.SHOW.option(
    "--by",
    type=click.Choice(["role", "pid"]),
    default="role",
    show_default=True,
    metavar="KEY",
    help="A row of the answer for each program in its role, or for each process (pid).",
)
@Group.SHOW.option(
    "--answer-json", type=FILE, metavar="FILE", help="The answer as JSON, too; -: only that, here."
)
@Group.SHOW.option("-H", "--no-header", is_flag=True, help="No header line above the table.")
@Group.SHOW.option(
    "-S",
    "--summary",
    is_flag=False,
    flag_value=1.0,
    type=Duration(least=0.1),
    metavar="[DURATION]",
    help="Count in the kernel only: a line for each flow and so many seconds (1).",
)
@Group.SHOW.option(
    "--volumes",
    type=Duration(least=0.1),
    default=volumes.INTERVAL,
    show_default=True,
    metavar="DURATION",
    help="How often to tell what open connections have moved, and sockets received.",
)
@Group.SHOW.option("--why", is_flag=True, help="Say at the start what is not seen, and why not.")
@Group.OTHER.option("--strict", is_flag=True, help="Exit with 3 if anything was lost.")
@Group.STOP.option(
    "-c",
    "--count",
    type=Number(1),
    metavar="N",
    help="Stop after N events.",
)
@Group.STOP.option(
    "--duration", type=Duration(), metavar="DURATION", help="Stop after so long: 30, 5m, 2h."
)
@Group.OTHER.option("--ready-file", type=FILE, metavar="FILE", help="Written once all is attached.")
@Group.OTHER.option(
    "--metrics",
    type=FILE,
    metavar="FILE",
    help="Prometheus metrics for node_exporter's textfile collector, each 15 s.",
)
@Group.OTHER.option(
    "-b",
    "--buffer-pages",
    type=Number(1, 1 << 18),
    callback=_power_of_two,
    default=1024,
    show_default=True,
    metavar="PAGES",
    help="Ring buffer, a power of two.",
)
@Group.OTHER.option(
    "--require-filter",
    is_flag=True,
    help="Refuse to trace everything: for a service that nobody has told yet what to watch.",
)
@version_option
@help_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
def command(**given: Any) -> None:
    """Which process on this machine is talking to that address?

    Shows every TCP connection attempt, UDP datagram and packet of any other protocol that
    matches all the options given (values of one option are alternatives), with the process
    that made it, and logs it. Ctrl-C ends it and prints who sent what to whom. With a COMMAND,
    runs it and traces it and its descendants until it ends, then exits with its status.
    """
    more = {name: given[name] for name in ("failed", "follow")}
    filters = filters_of(given, **more, summary=given["summary"] is not None)
    filters = with_accepted(filters, given["accept"])
    filters = with_forwarded(filters, given["no_forward"] or bool(given["command"]))
    if given["command"] and filters.pid:
        raise UsageError("--pid and a command are two things to trace", "give one of them")
    if given["require_filter"] and not (filters.describe() or given["command"]):
        raise UsageError(
            "there is no filter, and --require-filter refuses to trace everything",
            "say what to watch, as --dst 10.0.0.0/8 (a service's options are in "
            "/etc/default/sockwatch)",
        )
    command = _command(given["command"])
    if filters.follow and not (filters.pid or command):
        raise UsageError("--follow follows no process", "name one with --pid")
    options = _options(given, filters)
    if options.metrics:  # a host's name may have got other addresses meanwhile
        filters = filters._replace(dst=options.metrics.networks)
    sys.exit(run.trace(filters, options, command, sys.stdout))
