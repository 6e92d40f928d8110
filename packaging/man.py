# SPDX-License-Identifier: Apache-2.0
"""Writes sockwatch(1) from the text that ``--help`` shows."""

import textwrap
from collections.abc import Iterator
from typing import TypeVar

import click

from tracer import __version__
from tracer.cli.main import SUBCOMMANDS, command_of
from tracer.model.counts import COUNTS

Parameter = TypeVar("Parameter", bound=click.Parameter)

_FILES = {
    "/var/log/sockwatch/events.jsonl": "the log, one JSON object a line",
    "/var/cache/sockwatch": "compiled programs, kept for the next start; may be removed",
    "/run/netns": "names of network namespaces, as ip-netns(8) makes them",
}


def page() -> Iterator[str]:
    """Its lines, as roff."""
    yield f'.TH SOCKWATCH 1 "" "sockwatch {__version__}" "User Commands"'
    yield ".SH NAME"
    yield r"sockwatch \- which process on this machine is talking to that address?"
    yield ".SH SYNOPSIS"
    for name in (None, *SUBCOMMANDS):
        arguments = [argument.metavar for argument in parameters(name, click.Argument)]
        usage = " ".join(["[OPTIONS]", *arguments])
        yield f".B {' '.join(filter(None, ['sockwatch', name]))}\n{escaped(usage)}\n.br"
    yield from section("DESCRIPTION", None)
    for name in SUBCOMMANDS:
        yield from section(f"SOCKWATCH {name.upper()}", name)
    yield ".SH THE LAST LINE"
    yield "How many events matched, of how many that were looked at. What follows is not 0:"
    for count in COUNTS.values():
        yield f".TP\n.B {escaped(count.word)}\n{escaped(count.meaning)}"
    yield ".SH EXIT STATUS"
    yield "0, also after Ctrl-C; 1 on a failure; 2 on bad usage; 3 with \\-\\-strict, if anything"
    yield "was lost; 70 on a bug; with a command, its own."
    yield "Of sockwatch prove and report \\-\\-prove: 0 if nobody sent, 1 if somebody did, 2 on bad"
    yield "usage, 4 if nothing is proven, also when they fail or are stopped before the verdict."
    yield ".SH FILES"
    for path, meaning in _FILES.items():
        yield f".TP\n.I {path}\n{meaning}"
    yield ".SH SEE ALSO\n.BR ss (8),\n.BR tcpdump (8),\n.BR bpf (2),\n.BR sock_diag (7)"


def section(title: str, name: str | None) -> Iterator[str]:
    """A command's text and its options."""
    yield f'.SH "{title}"'
    for paragraph in textwrap.dedent(command_of(name).help or "").strip().split("\n\n"):
        yield f".PP\n{escaped(' '.join(paragraph.split()))}"
    for option in parameters(name, click.Option):
        names = ", ".join(sorted(option.opts, key=len) + option.secondary_opts)
        yield f".TP\n.B {escaped(f'{names} {metavar(option)}'.rstrip())}"
        yield escaped(f"{option.help}  {limits(option)}".rstrip())


def parameters(name: str | None, kind: type[Parameter]) -> list[Parameter]:
    """Of a command, in order. Of theirs, only what their declaration says is used: how click
    puts it into words differs from version to version."""
    return [
        found
        for found in command_of(name).params
        if isinstance(found, kind) and not getattr(found, "hidden", False)
    ]


def metavar(option: click.Option) -> str:
    """What stands behind its name."""
    if option.is_flag or option.metavar:
        return option.metavar or ""
    if isinstance(option.type, click.Choice):
        return f"[{'|'.join(option.type.choices)}]"
    return option.type.name.upper()


def limits(option: click.Option) -> str:
    """Its default, and between which numbers it is."""
    said = [f"default: {option.default}"] if option.show_default else []
    if isinstance(option.type, click.IntRange | click.FloatRange):
        low, high = option.type.min, option.type.max
        said.append(f"x>={low}" if high is None else f"{low}<=x<={high}")
    return f"[{'; '.join(said)}]" if said else ""


def escaped(text: str) -> str:
    """For roff: no hyphen becomes a dash, no line a request."""
    safe = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq")
    return rf"\&{safe}" if safe.startswith(".") else safe


if __name__ == "__main__":
    print("\n".join(page()))
