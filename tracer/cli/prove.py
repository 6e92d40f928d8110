# SPDX-License-Identifier: Apache-2.0
"""``sockwatch prove``: nobody sent, and the proof; or who did."""

import sys
from typing import Any, Final

import click

from tracer.cli.durations import Duration
from tracer.cli.help import Command, Group
from tracer.cli.options import (
    CONTEXT,
    FILE,
    filter_options,
    filters_of,
    help_option,
    no_forward_option,
    with_forwarded,
)
from tracer.cli.probes import best_probe_option, chosen
from tracer.errors import UsageError
from tracer.filter import parse
from tracer.prove import run

_RING_PAGES: Final = 1024
_EXAMPLES: Final = {
    "sockwatch prove --dst 10.0.0.5": "watch for a minute",
    "sockwatch prove --dst 10.0.0.5 --duration 1h": "for an hour",
}


@click.command(cls=Command, context_settings=CONTEXT, examples=_EXAMPLES)
@filter_options
@Group.STOP.option(
    "--duration",
    type=Duration(),
    default=60.0,
    metavar="DURATION",
    help="Watch for so long: 30, 5m, 2h.  [default: 60]",
)
@no_forward_option
@best_probe_option
@Group.SHOW.option("-r", "--resolve", is_flag=True, help="Show names instead of addresses.")
@Group.SHOW.option("--json", is_flag=True, help="The verdict as a line of JSON.")
@Group.OTHER.option("--ready-file", type=FILE, metavar="FILE", help="Written once all is attached.")
@help_option
def command(**given: Any) -> None:
    """Nobody sent to that address, and the proof; or who did.

    Watches for a while, connections from elsewhere included, and ends with a verdict in one
    sentence, the reasons below it. Beside the hooks, a witness compares what each network device
    says that it has sent with what the hooks saw of it, in all network namespaces: a packet that
    went past them shows as a difference. Where the hooks see calls (fexit, kprobe), none may have
    sent more UDP datagrams than there were calls. Ctrl-C ends it with the verdict for the time
    until then.

    Exit status: 0 if nobody sent, 1 if somebody did, 4 if nothing is proven (something was lost,
    could not be read, or may have gone past the hooks; or watching failed), 2 on bad usage.
    """
    filters = with_forwarded(filters_of(given, accept=True), given["no_forward"])
    if not filters._replace(accept=False).describe():
        raise UsageError("there is no filter", "say what to look for, as --dst 10.0.0.5")
    options = run.Options(
        duration=given["duration"],
        json=given["json"],
        resolve=given["resolve"],
        ready_file=given["ready_file"],
        ring_pages=_RING_PAGES,
        probes=chosen(given["probe"]),
        netns=tuple(map(parse.netns, given["netns"])),
    )
    sys.exit(run.prove(filters, options, sys.stdout))
