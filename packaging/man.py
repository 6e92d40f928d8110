# SPDX-License-Identifier: Apache-2.0
"""Writes sockwatch(1) from the text that ``--help`` shows."""

import inspect
from collections.abc import Iterable, Iterator
from typing import Final

import click
from roff import entry, escaped, example, heading, paragraph

from tracer import __version__
from tracer.cli.help import Command, Group, Option
from tracer.cli.main import SUBCOMMANDS, command_of
from tracer.model.counts import COUNTS
from tracer.model.socket import STATE_GROUPS, STATES_ASKED_FOR
from tracer.output import logfile
from tracer.ship import cursor

# what somebody wants to know, and the commands that say it
_EXAMPLES: Final = {
    "Something asks a DNS server once a minute: who? The first time, it is said.": (
        "sockwatch --dst 10.0.0.53:53 -q -c 1",
    ),
    "Who talks to a network, but for its router? Ctrl-C prints who sent what to whom.": (
        "sockwatch --dst 10.0.0.0/8 --not-dst 10.0.0.1",
    ),
    "Why does it fail? Each failure has its error.": ("sockwatch --dst 10.0.0.5 --failed",),
    "To whom does a systemd unit talk? And a container, by how its id begins?": (
        "sockwatch --unit nginx.service",
        "sockwatch --container 4f5c8d",
    ),
    "To whom does a command talk, from its first instruction on?": (
        "sockwatch -- curl -s http://10.0.0.5/",
    ),
    "A connection from before: who has it, and what has it moved?": (
        "sockwatch sockets --dst 10.0.0.5 --info",
    ),
    "Who holds a port? And what can another machine reach?": (
        "sockwatch sockets --sport 53",
        "sockwatch sockets --exposed",
    ),
    "Prove that nobody sends there; that nobody has sent there while it was traced.": (
        "sockwatch prove --dst 10.0.0.5 --duration 5m",
        "sockwatch report --dst 10.0.0.5 --prove",
    ),
    "Ship the log to a ClickHouse server, each line once; first make its tables.": (
        "sockwatch ship --to clickhouse://admin@db1:8443/sockwatch --create",
        "sockwatch ship --to clickhouse://web1@db1:8443/sockwatch",
    ),
    "Which programs sent most bytes in the last hour, and to whom? The first ten.": (
        "sockwatch report --since 1h --sort bytes --top 10",
    ),
    "The same of a day, as a page for somebody else.": (
        "sockwatch report --since 1d --sort bytes --html report.html",
    ),
}

_FILES: Final = {
    str(logfile.DEFAULT): "the log, one JSON object a line: sockwatch-log(5)",
    "/var/cache/sockwatch": "compiled programs, kept for the next start; may be removed",
    str(cursor.DEFAULT): "how far `ship` has shipped the log",
    "/run/netns": "names of network namespaces, as ip-netns(8) makes them",
    "/etc/default/sockwatch": "the options of sockwatch.service, in the Debian package",
    "/etc/default/sockwatch-ship": "and where sockwatch-ship.service ships the log to",
}

_EXIT_STATUS: Final = {
    "0": "also after Ctrl-C; of `prove` and `report --prove`: nobody sent",
    "1": "with `-q` and `-c`: nothing matched; of `doctor`: something was missed that should have "
    "been seen; of `prove` and `report --prove`: somebody sent",
    "2": "bad usage, or a failure, as where nothing can be traced",
    "3": "with `--strict`: something was lost",
    "4": "of `prove` and `report --prove`: nothing is proven, also when they fail or are stopped "
    "before the verdict",
    "70": "a bug",
}


def page() -> Iterator[str]:
    """Yields its lines, as roff."""
    yield f'.TH SOCKWATCH 1 "" "sockwatch {__version__}" "User Commands"'
    yield heading("name")
    yield r"sockwatch \- which process on this machine is talking to that address?"
    yield heading("synopsis")
    yield from _synopsis()
    yield heading("description")
    yield from map(paragraph, _paragraphs(command_of(None)))
    yield heading("examples")
    yield from _examples()
    yield heading("options")
    yield from _options(command_of(None), [])
    for name in SUBCOMMANDS:
        yield heading(f"sockwatch {name}")
        yield from _subcommand(command_of(name))
    yield heading("states")
    yield paragraph(f"Of `sockwatch sockets --state`: {_listed(STATES_ASKED_FOR)}.")
    yield paragraph(f"Groups of them, as in ss(8): {_listed(STATE_GROUPS)}.")
    yield heading("the last line")
    yield "How many events matched, of how many that were looked at. What follows is not 0:"
    yield from (entry(count.word, count.meaning) for count in COUNTS.values())
    yield heading("files")
    yield from (entry(path, meaning) for path, meaning in _FILES.items())
    yield heading("exit status")
    yield "With a command, its own; else"
    yield from (entry(status, meaning) for status, meaning in _EXIT_STATUS.items())
    yield heading("see also")
    yield ".BR sockwatch\\-log (5),\n.BR ss (8),\n.BR tcpdump (8),\n.BR bpf (2),\n.BR sock_diag (7)"


def _synopsis() -> Iterator[str]:
    for name in (None, *SUBCOMMANDS):
        arguments = [one for one in command_of(name).params if isinstance(one, click.Argument)]
        usage = " ".join(["[OPTIONS]", *(argument.metavar for argument in arguments)])
        yield f".B {f'sockwatch {name}' if name else 'sockwatch'}\n{escaped(usage)}\n.br"


def _paragraphs(command: Command) -> list[str]:
    """Returns what help says of it, above its options."""
    return inspect.cleandoc(command.help).split("\n\n")


def _examples() -> Iterator[str]:
    for wanted, commands in _EXAMPLES.items():
        yield paragraph(wanted)
        yield example(*commands)


def _subcommand(command: Command) -> Iterator[str]:
    first, *more = _paragraphs(command)
    width = max(map(len, command.examples))
    yield paragraph(first)
    yield example(*(f"{words:<{width}}  # {what}" for words, what in command.examples.items()))
    yield from map(paragraph, more)
    tracing = command_of(None)
    yield from _options(command, [one for group in Group for one in tracing.options_of(group)])


def _options(command: Command, above: list[Option]) -> Iterator[str]:
    """Yields the options by their groups; of those that stand ``above`` already, only names."""
    known = {(tuple(option.opts), option.help) for option in above}
    for group in Group:
        same, others = [], []
        for option in command.options_of(group):
            (same if (tuple(option.opts), option.help) in known else others).append(option)
        if same or others:
            yield heading(group.value, 2)
        if same:
            yield paragraph(f"As above: {_listed(max(option.opts, key=len) for option in same)}.")
        for option in others:
            yield entry(_term(option), f"{option.help}  {_limits(option)}".rstrip())


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _term(option: Option) -> str:
    """Returns its names and its value. Of options, only what their declaration says is used: how
    click puts it into words differs from version to version."""
    names = ", ".join(sorted(option.opts, key=len) + option.secondary_opts)
    return f"{names} {option.metavar or ''}".rstrip()


def _limits(option: Option) -> str:
    """Returns the words that it may be, if its help does not have them, and its default."""
    words = option.type.choices if isinstance(option.type, click.Choice) else ()
    said = [] if all(word in option.help for word in words) else [f"one of {', '.join(words)}"]
    said += [f"default: {option.default}"] if option.show_default else []
    return f"[{'; '.join(said)}]" if said else ""


if __name__ == "__main__":
    print("\n".join(page()))
