# SPDX-License-Identifier: Apache-2.0
"""The command line: wires options to a run, decides nothing."""

import os
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from tracer import __version__, filters, trace
from tracer.errors import SockwatchError, UsageError
from tracer.filters import Filters
from tracer.kernel.program import LADDER
from tracer.sinks import logfile, table

T = TypeVar("T")


def _union(parse: Callable[[str], Iterable[T]], values: Iterable[str]) -> frozenset[T]:
    return frozenset(item for value in values for item in parse(value))


def _networks(values: Iterable[str]) -> tuple[filters.Network, ...]:
    return tuple(dict.fromkeys(net for value in values for net in filters.parse_networks(value)))


def _pids(values: Iterable[int]) -> frozenset[int]:
    pids = frozenset(values)
    if not all(0 < pid < filters.PID_MAX for pid in pids):
        raise UsageError(f"a pid is a number from 1 to {filters.PID_MAX - 1}", "see 'ps'")
    return pids


def _filters(given: dict[str, Any]) -> Filters:
    versions = frozenset(v for v, asked in ((4, given["ipv4"]), (6, given["ipv6"])) if asked)
    protos = frozenset(name for name in ("udp", "tcp") if given[name])
    return Filters(
        dst=_networks(given["dst"]),
        not_dst=_networks(given["not_dst"]),
        src=_networks(given["src"]),
        dport=_union(filters.parse_ports, given["dport"]),
        sport=_union(filters.parse_ports, given["sport"]),
        pid=_pids(given["pid"]),
        comm=frozenset(map(filters.parse_comm, given["comm"])),
        uid=frozenset(map(filters.parse_user, given["uid"])),
        netns=frozenset(map(filters.parse_netns, given["netns"])),
        version=versions or Filters().version,
        proto=protos or Filters().proto,
        failed=given["failed"],
        accept=given["accept"],
    )


def _options(given: dict[str, Any]) -> trace.Options:
    terminal = sys.stdout.isatty()
    output = "none" if given["quiet"] else "json" if given["json"] else "table"
    return trace.Options(
        log=None if given["no_log"] else given["log"],
        output=output,
        header=not given["no_header"],
        color=terminal and not os.environ.get("NO_COLOR"),
        columns=shutil.get_terminal_size().columns if terminal else table.NARROWEST,
        count=given["count"],
        duration=given["duration"],
        ready_file=given["ready_file"],
        ring_pages=given["buffer_pages"],
        rungs=tuple(rung for rung in LADDER if given["probe"] in ("auto", rung.name)),
    )


def _power_of_two(context: click.Context, parameter: click.Parameter, value: int) -> int:
    if value & (value - 1):
        raise click.BadParameter("must be a power of two", context, parameter)
    return value


FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--dst", multiple=True, metavar="ADDR", help="Remote address, CIDR or host name.")
@click.option("--not-dst", multiple=True, metavar="ADDR", help="Leave this destination out.")
@click.option("--src", multiple=True, metavar="ADDR", help="Local address, CIDR or host name.")
@click.option("-P", "--dport", multiple=True, metavar="PORTS", help="Remote ports: 53,8000-8100.")
@click.option("--sport", multiple=True, metavar="PORTS", help="Local ports.")
@click.option("-p", "--pid", multiple=True, type=int, metavar="PID", help="Process id.")
@click.option("--comm", multiple=True, metavar="NAME", help="Process name (its first 15 bytes).")
@click.option("-u", "--uid", multiple=True, metavar="USER", help="User, by name or number.")
@click.option(
    "-N", "--netns", multiple=True, metavar="NS", help="Network namespace: name, path, pid, inode."
)
@click.option("-4", "ipv4", is_flag=True, help="IPv4 only.")
@click.option("-6", "ipv6", is_flag=True, help="IPv6 only.")
@click.option("--udp", is_flag=True, help="UDP only.")
@click.option("--tcp", is_flag=True, help="TCP only.")
@click.option("-x", "--failed", is_flag=True, help="Failures only.")
@click.option("--accept", is_flag=True, help="Connections from elsewhere, too.")
@click.option(
    "--probe",
    type=click.Choice(["auto", *(rung.name for rung in LADDER)]),
    default="auto",
    show_default=True,
    help="How to see it: auto takes the first that the kernel allows.",
)
@click.option(
    "-o", "--log", type=FILE, default=logfile.DEFAULT, show_default=True, help="Where to log."
)
@click.option("--no-log", is_flag=True, help="Write no log.")
@click.option("--json", is_flag=True, help="Print the log's lines instead of the table.")
@click.option("-q", "--quiet", is_flag=True, help="Print no events.")
@click.option("-H", "--no-header", is_flag=True, help="No header line above the table.")
@click.option("-c", "--count", type=click.IntRange(min=1), metavar="N", help="Stop after N events.")
@click.option(
    "--duration", type=click.FloatRange(min=0), metavar="SECONDS", help="Stop after so long."
)
@click.option("--ready-file", type=FILE, metavar="FILE", help="Written once all is attached.")
@click.option(
    "-b",
    "--buffer-pages",
    type=click.IntRange(1, 1 << 18),
    callback=_power_of_two,
    default=1024,
    show_default=True,
    metavar="PAGES",
    help="Ring buffer, a power of two.",
)
@click.version_option(__version__, prog_name="sockwatch")
def command(**given: Any) -> None:
    """Which process on this machine is talking to that address?

    Shows every UDP datagram and TCP connection attempt that matches all the options
    given (values of one option are alternatives), with the process that made it, and
    logs it. Ctrl-C ends it and prints who sent what to whom.

    Example: sockwatch --dst 10.0.0.5
    """
    trace.trace(_filters(given), _options(given), sys.stdout)


def main() -> None:
    """The console script: errors as one line, bugs with their traceback."""
    try:
        command.main(prog_name="sockwatch", standalone_mode=False)
    except SockwatchError as error:
        _fail(str(error), error.exit_status)
    except click.Abort:  # Ctrl-C before there was anything to end
        sys.exit(0)
    except click.UsageError as error:
        _fail(
            f"{error.format_message().rstrip('.')}: see 'sockwatch --help'", UsageError.exit_status
        )
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)


def _fail(message: str, status: int) -> None:
    click.echo(f"sockwatch: {message}", err=True)
    sys.exit(status)
