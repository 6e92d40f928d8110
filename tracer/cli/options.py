# SPDX-License-Identifier: Apache-2.0
"""The filter options, which all commands share."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from tracer import __version__
from tracer.cli import complete
from tracer.cli.help import Group
from tracer.errors import UsageError
from tracer.filter import contradictions, parse
from tracer.filter.endpoints import endpoints
from tracer.filter.filters import NO_FILTERS, Filters
from tracer.model import protocols
from tracer.model.address import Network
from tracer.output.stdout import Screen, fail

T = TypeVar("T")
Decorated = Callable[..., Any]


class _File(click.Path):
    """A file's path: an empty one would be this folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("it is empty", param, ctx)
        return super().convert(value, param, ctx)


FILE: Final = _File(dir_okay=False, readable=False, path_type=Path)
CONTEXT: Final = {"help_option_names": [], "max_content_width": 100}

_FILTERS: Final = (
    Group.WHOM.option(
        "--dst", multiple=True, metavar="ADDR[:PORTS]",
        help="Remote address, CIDR or host name; fe80::5%eth0 on that link.",
    ),
    Group.WHOM.option(
        "--not-dst", multiple=True, metavar="ADDR", help="Leave this destination out."
    ),
    Group.WHOM.option(
        "--src", multiple=True, metavar="ADDR[:PORTS]", help="Local address, CIDR or host name."
    ),
    Group.WHOM.option(
        "-P", "--dport", multiple=True, metavar="PORTS",
        help="Remote ports: 53,8000-8100,https.",
    ),
    Group.WHOM.option("--sport", multiple=True, metavar="PORTS", help="Local ports."),
    Group.WHOM.option("--port", multiple=True, metavar="PORTS", help="Ports of either end."),
    Group.WHOSE.option("-p", "--pid", multiple=True, metavar="PID", help="Process id."),
    Group.WHOSE.option(
        "--comm", multiple=True, metavar="NAME", help="Process name (its first 15 bytes)."
    ),
    Group.WHOSE.option(
        "--exe", multiple=True, type=click.Path(readable=False), metavar="PATH",
        help="Its program.",
    ),
    Group.WHOSE.option(
        "-u", "--uid", multiple=True, metavar="USER", help="User, by name or number.",
        shell_complete=complete.users,
    ),
    Group.WHOSE.option(
        "-N", "--netns", multiple=True, metavar="NS",
        help="Network namespace: name, path, pid, inode, self.",
        shell_complete=complete.namespaces,
    ),
    Group.WHOSE.option(
        "--unit", multiple=True, metavar="NAME", help="systemd unit: ssh.service.",
        shell_complete=complete.units,
    ),
    Group.WHOSE.option(
        "--container", multiple=True, metavar="ID", help="Container: its id, or how that begins.",
        shell_complete=complete.containers,
    ),
    Group.WHOSE.option(
        "--cgroup", multiple=True, metavar="PATH", help="This cgroup and those below.",
        shell_complete=complete.cgroups,
    ),
    Group.WHOM.option("-4", "ipv4", is_flag=True, help="IPv4 only."),
    Group.WHOM.option("-6", "ipv6", is_flag=True, help="IPv6 only."),
    Group.WHOM.option(
        "--proto", multiple=True, metavar="PROTO",
        help="Protocol below IP: icmp, ipv6-icmp, sctp, 253.",
        shell_complete=complete.protocol_names,
    ),
    Group.WHOM.option("--udp", is_flag=True, help="Short for --proto udp --proto udplite."),
    Group.WHOM.option("--tcp", is_flag=True, help="Short for --proto tcp."),
)  # fmt: skip


def _printed(text_of: Callable[[click.Context], str]) -> Callable[..., None]:
    """Returns a callback that shows a text instead of running the command."""

    def show(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
        if asked and not context.resilient_parsing:
            Screen(sys.stdout, fail).write(f"{text_of(context)}\n")
            context.exit()

    return show


def _shows(*names: str, text_of: Callable[[click.Context], str], what: str) -> Decorated:
    return Group.OTHER.option(
        *names,
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_printed(text_of),
        help=f"Show {what} and exit.",
    )


# click's own options end in a traceback if their output cannot be written.
help_option: Final = _shows("-h", "--help", text_of=click.Context.get_help, what="this message")
version_option: Final = _shows(
    "--version", text_of=lambda _: f"sockwatch, version {__version__}", what="the version"
)


accept_option: Final = Group.WHOM.option(
    "--accept/--no-accept", default=None,
    help="Connections from elsewhere, too; the default with --dst.",
)  # fmt: skip
no_forward_option: Final = Group.WHOM.option(
    "--no-forward", is_flag=True,
    help="Leave out what this machine hands on for others (routed, bridged, from a VM).",
)  # fmt: skip


def filter_options(command: Decorated) -> Decorated:
    """Adds the filter options to a command, above the options that follow."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def filters_of(given: dict[str, Any], **more: Any) -> Filters:
    """Builds the filter that the options ask for. Raises UsageError."""
    versions = frozenset(v for v, asked in ((4, given["ipv4"]), (6, given["ipv6"])) if asked)
    _refuse_empty(given)
    dport, sport = (union(parse.ports, given[name]) for name in ("dport", "sport"))
    dst, src = (endpoints(f"--{name}", given[name]) for name in ("dst", "src"))
    exe = frozenset(map(parse.exe, given["exe"]))
    filters = Filters(
        dst=dst.networks,
        not_dst=_excluded(given["not_dst"]),
        src=src.networks,
        dport=contradictions.joined("--dport", dport, "--dst", dst.ports),
        sport=contradictions.joined("--sport", sport, "--src", src.ports),
        port=union(parse.ports, given["port"]),
        pid=frozenset(map(parse.pid, given["pid"])),
        comm=frozenset(map(parse.comm, given["comm"])),
        uid=frozenset(map(parse.user, given["uid"])),
        netns=frozenset(parse.netns(value).inode for value in given["netns"]),
        version=versions or NO_FILTERS.version,
        proto=_protocols(given),
        exe=exe,
        exe_file=union(parse.exe_files, exe),
        exe_elsewhere=frozenset(filter(parse.is_missing, exe)),
        unit=frozenset(map(parse.unit, given["unit"])),
        container=frozenset(map(parse.container, given["container"])),
        cgroup=frozenset(map(parse.cgroup, given["cgroup"])),
        **more,
    )
    contradictions.check(filters)
    return filters


def with_accepted(filters: Filters, asked: bool | None) -> Filters:
    """Returns the filter that shows accepted connections, too, if they are ``asked`` for. None: the
    user has not said; they are shown if a destination is asked for and they may pass."""
    if asked is None:
        asked = bool(filters.dst) and not filters.failed and filters.passes_proto("tcp")
    return filters._replace(accept=asked)


def with_forwarded(filters: Filters, no_forward: bool) -> Filters:
    """Returns the filter that watches for forwarded packets, too, unless they are left out: if a
    destination is asked for, and no process, which such packets have none of."""
    asked = filters.dst and not (no_forward or filters.failed or filters.of_processes)
    return filters._replace(forward=bool(asked))


def _refuse_empty(given: dict[str, Any]) -> None:
    """Raises UsageError for an option with an empty value, which a script's unset variable may
    have left: it must not mean everything, nor a name that nothing has."""
    for name, values in given.items():
        if isinstance(values, tuple) and "" in values:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} is empty", "give it a value, or leave it out")


def union(parse: Callable[[str], Iterable[T]], values: Iterable[str]) -> frozenset[T]:
    """Joins what all the values of an option stand for."""
    return frozenset(item for value in values for item in parse(value))


def _excluded(values: Iterable[str]) -> tuple[Network, ...]:
    """Returns the networks of --not-dst. Raises UsageError."""
    found = endpoints("--not-dst", values)
    if found.ports:
        raise UsageError("--not-dst leaves out addresses, not ports", "leave out :PORTS")
    return found.networks


def _protocols(given: dict[str, Any]) -> frozenset[str]:
    """Returns the protocols that are asked for by name or number, and by the short forms."""
    short = ("udp", protocols.UDP), ("tcp", protocols.TCP)
    asked = union(lambda value: (parse.protocol(value),), given["proto"])
    return asked.union(*(names for option, names in short if given[option]))
