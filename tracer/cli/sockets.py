# SPDX-License-Identifier: Apache-2.0
"""``sockwatch sockets``: lists what is open now."""

import sys
from collections.abc import Callable
from typing import Any, Final

import click

from tracer.cli import complete
from tracer.cli.help import Command, Group
from tracer.cli.options import CONTEXT, filter_options, filters_of, help_option, union
from tracer.errors import UsageError
from tracer.filter import parse
from tracer.filter.contradictions import excluded
from tracer.filter.filters import Filters
from tracer.host.fd_holders import Holders
from tracer.inventory.selection import Selection
from tracer.model import protocols
from tracer.model.socket import (
    ALL_STATES,
    CONNECTED,
    LISTENING,
    OF_UDP,
    PROTOCOLS,
    STATE_NAMES,
)
from tracer.sockets import run
from tracer.sockets.whose import describer

# pairs of options that exclude each other, and why
_EXCLUDED: Final = (
    ("all", "listening", "ask for different states"),
    ("all", "state", "ask for different states"),
    ("listening", "state", "ask for different states"),
    ("all_netns", "netns", "ask for different namespaces"),
    ("exposed", "state", "do not go together: only listening sockets can be exposed"),
    ("watch", "state", "do not go together: a socket that is destroyed has no state any more"),
    ("watch", "listening", "do not go together: a socket that is destroyed does not listen"),
    ("watch", "exposed", "do not go together: a socket that is destroyed is not reached"),
)
_EXAMPLES: Final = {
    "sockwatch sockets --dst 10.0.0.5": "who has a socket to it?",
    "sockwatch sockets --sport 53": "who holds a port?",
}
_BY_STATE: Final = ("listening", "exposed", "state")


def _check(given: dict[str, Any]) -> None:
    """Raises UsageError if two options exclude each other, or a protocol cannot be listed."""
    for name in map(parse.protocol, filter(None, given["proto"])):
        if name not in PROTOCOLS:
            raise UsageError(
                f"sockets of {name} cannot be listed, UDP's and TCP's can",
                f"leave out --proto {name}",
            )
    for one, other, reason in _EXCLUDED:
        if given[one] and given[other]:
            names = f"--{one} and --{other}".replace("_", "-")
            raise UsageError(f"{names} {reason}", "give one of them")
    if given["watch"] and given["source"] == "procfs":
        raise UsageError("--watch hears of sockets by netlink only", "leave --source out")


def _check_states(given: dict[str, Any], states: frozenset[int], filters: Filters) -> None:
    """Raises UsageError if no socket that is in these states can pass the filter."""
    asked = next((f"--{name}" for name in _BY_STATE if given[name]), "")
    if given["exposed"]:
        states &= LISTENING
    if states.isdisjoint(CONNECTED) and filters.dst:
        raise excluded(asked, "--dst")
    if states.isdisjoint(CONNECTED) and filters.dport and 0 not in filters.dport:
        raise excluded(asked, "--dport")
    if states.isdisjoint(OF_UDP) and filters.proto and filters.proto <= protocols.UDP:
        raise excluded(asked, "--udp")


def _selection(given: dict[str, Any]) -> Selection:
    if given["all"] or not (given["listening"] or given["state"] or given["exposed"]):
        states = ALL_STATES
    elif given["state"]:
        states = union(parse.state, given["state"])
    else:
        states = LISTENING
    filters = filters_of(given)
    _check_states(given, states, filters)
    return Selection(states, filters, describer())


@click.command(cls=Command, context_settings=CONTEXT, examples=_EXAMPLES)
@filter_options
@Group.SHOW.option(
    "-l", "--listening", is_flag=True, help="Listening TCP and unconnected UDP only."
)
@Group.SHOW.option(
    "-a", "--all", is_flag=True, help="All states: the default, unless others are asked for."
)
@Group.SHOW.option(
    "--state",
    multiple=True,
    metavar="NAME",
    help=f"Only this state, as {STATE_NAMES[0]}, or group of states, as ss(8) names them.",
    shell_complete=complete.states,
)
@Group.SHOW.option(
    "--exposed",
    is_flag=True,
    help="Listening, and reachable from another machine: on which addresses.",
)
@Group.WHOSE.option("--all-netns", is_flag=True, hidden=True, help="In every network namespace.")
@Group.SHOW.option("--watch", is_flag=True, help="Follow what is destroyed, until Ctrl-C.")
@Group.SHOW.option(
    "-e",
    "--extended",
    is_flag=True,
    help="Also inode, cookie, uid, cgroup, mark, device, namespace.",
)
@Group.SHOW.option("-m", "--memory", is_flag=True, help="Also the memory of the buffers.")
@Group.SHOW.option(
    "-i", "--info", is_flag=True, help="Also TCP's round trips, window, retransmits, bytes."
)
@Group.SHOW.option("-r", "--resolve", is_flag=True, help="Show names instead of addresses.")
@Group.SHOW.option("--json", is_flag=True, help="A line of JSON for each.")
@Group.SHOW.option("-H", "--no-header", is_flag=True, help="No header line above the table.")
@Group.OTHER.option(
    "--source", type=click.Choice(["auto", "netlink", "procfs"]), default="auto", show_default=True,
    metavar="NAME",
    help="netlink, procfs, or auto: /proc/net only where netlink cannot be had.",
)  # fmt: skip
@click.pass_obj
@help_option
def command(held_by: Callable[[], Holders], /, **given: Any) -> None:
    """What is open now: TCP and UDP sockets, with all the processes that hold each.

    Values of one option are alternatives. --pid, --comm, --exe, --unit, --container and
    --cgroup ask for holders, --uid for the socket's owner, --dst and --dport for its peer.
    """
    _check(given)
    selection = _selection(given)
    given["header"] = not given["no_header"]
    options = run.Options(**{name: given[name] for name in run.Options._fields})
    if given["watch"]:
        from tracer.sockets import destroyed  # noqa: PLC0415 (a listing is quicker without it)

        places = list(map(parse.netns, given["netns"]))
        destroyed.watch(selection, options, places, held_by, sys.stdout)
    else:
        run.list_sockets(selection, options, held_by, sys.stdout)
