# SPDX-License-Identifier: Apache-2.0
"""``sockwatch top``: who talks to what now, on the whole screen."""

import shlex
import sys
from collections.abc import Iterable
from typing import Any, Final

import click

from tracer.cli.help import Command, Group
from tracer.cli.options import (
    CONTEXT,
    filter_options,
    filters_of,
    help_option,
    no_forward_option,
    with_forwarded,
)
from tracer.cli.probes import best_probe_option, chosen
from tracer.errors import SockwatchError, UsageError
from tracer.filter import parse
from tracer.filter.endpoints import split
from tracer.filter.filters import Filters
from tracer.top import run

_RING_PAGES: Final = 1024
_JOINED: Final = ("sport", "port")  # a row joins local ports
_ADDRESSES: Final = ("dst", "not_dst", "src")
_EXAMPLES: Final = {
    "sockwatch top": "who talks to anybody",
    "sockwatch top --dst 10.0.0.0/8": "who talks to that network",
}


@click.command(cls=Command, context_settings=CONTEXT, examples=_EXAMPLES)
@filter_options
@no_forward_option
@best_probe_option
@Group.SHOW.option("-r", "--resolve", is_flag=True, help="Show names instead of addresses.")
@help_option
def command(**given: Any) -> None:
    """Who talks to what now? A row for each program, on the whole screen.

    Shows what each program sends and receives, a second and in all, the busiest first, connections
    from elsewhere included. The header says what was missed or could not be read. Events are
    counted in the kernel, so a flood costs little more than a calm; nothing is logged.

    Keys: a groups by program, process, destination, container; s sorts by sent, received, events;
    / shows only what matches filter options, as --dst 10.0.0.5 -u ann; space pauses; enter shows a
    row's arguments, parents, sockets and routes; ? is help, q ends it.
    """
    filters = with_forwarded(filters_of(given, accept=True, summary=True), given["no_forward"])
    options = run.Options(
        parse=typed,
        probes=chosen(given["probe"]),
        ring_pages=_RING_PAGES,
        resolve=given["resolve"],
        netns=tuple(map(parse.netns, given["netns"])),
    )
    run.top(filters, options, sys.stdout)


@click.command(context_settings=CONTEXT)
@filter_options
def _filter(**given: Any) -> Filters:
    for name in _JOINED:
        if given[name]:
            raise UsageError(f"--{name} is not known here", "a row joins local ports; try -P")
    for name in _ADDRESSES:
        _refuse_names(given[name])
    return filters_of(given, accept=True)


def _refuse_names(values: Iterable[str]) -> None:
    """Raises UsageError for a host's name: the screen would stand still while a server is asked."""
    for value in filter(None, values):
        if not parse.is_address(split(value)[0]):
            raise UsageError(f"'{value}' is not an address", "no name is looked up here")


def typed(text: str) -> Filters | None:
    """Returns the filter of options as on the command line; None if there are none. Raises
    UsageError."""
    try:
        words = shlex.split(text)
        with _filter.make_context("filter", [*words]) as context:
            found: Filters = _filter.invoke(context)
    except ValueError as error:
        raise UsageError(f"{text!r} cannot be read ({error})", "close the quote") from None
    except click.UsageError as error:
        raise UsageError(error.format_message().rstrip(".")) from None
    except SockwatchError as error:
        raise UsageError(str(error)) from None
    return found if words else None
