# SPDX-License-Identifier: Apache-2.0
"""Writes sockwatch(1) from the text that ``--help`` shows."""

import textwrap
from collections.abc import Iterator

import click

from tracer import __version__
from tracer.cli import SUBCOMMANDS, command_of

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
        context = click.Context(command_of(name), info_name=f"sockwatch {name or ''}".strip())
        usage = " ".join(context.command.collect_usage_pieces(context))
        yield f".B {context.info_name}\n{escaped(usage)}\n.br"
    yield from section("DESCRIPTION", None)
    for name in SUBCOMMANDS:
        yield from section(f"SOCKWATCH {name.upper()}", name)
    yield ".SH EXIT STATUS"
    yield "0, also after Ctrl-C; 1 on a failure; 2 on bad usage; 3 with \\-\\-strict, if anything"
    yield "was lost; with a command, its own."
    yield ".SH FILES"
    for path, meaning in _FILES.items():
        yield f".TP\n.I {path}\n{meaning}"
    yield ".SH SEE ALSO\n.BR ss (8),\n.BR tcpdump (8),\n.BR bpf (2),\n.BR sock_diag (7)"


def section(title: str, name: str | None) -> Iterator[str]:
    """A command's text and its options."""
    command = command_of(name)
    context = click.Context(command, info_name="sockwatch")
    yield f'.SH "{title}"'
    for paragraph in textwrap.dedent(command.help or "").strip().split("\n\n"):
        yield f".PP\n{escaped(' '.join(paragraph.split()))}"
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record:
            yield f".TP\n.B {escaped(record[0])}\n{escaped(record[1])}"


def escaped(text: str) -> str:
    """For roff: no hyphen becomes a dash, no line a request."""
    safe = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq")
    return rf"\&{safe}" if safe.startswith(".") else safe


if __name__ == "__main__":
    print("\n".join(page()))
