# SPDX-License-Identifier: Apache-2.0
"""Reports the start and the end of a run, to the user and in the log."""

import sys
from typing import Any, Final

from tracer import __version__
from tracer.filter.filters import Filters
from tracer.host import cgroup, identity
from tracer.kernel.session import Session
from tracer.output.logfile import LogFile
from tracer.trace.flow_table import FlowTable
from tracer.trace.initial import Existing
from tracer.trace.sentence import closing, watched
from tracer.warn import warn

FORMAT: Final = 2  # of the log


def start_fields(
    session: Session, filters: Filters, log: LogFile | None, existing: Existing
) -> dict[str, Any]:
    """Returns the fields of the log's ``start`` line."""
    return {
        "format": FORMAT,
        "version": __version__,
        **_run_fields(session, log),
        "refused": session.refused,
        "filter": filters.describe(),
        "existing": existing.number,
    }


def alive_fields(
    session: Session, filters: Filters, log: LogFile | None, watched: frozenset[int] | None
) -> dict[str, Any]:
    """Returns the fields of an ``alive`` line, besides the counts: what the start line has may be
    gone with an old backup. ``watched``: the network namespaces, if some were asked for (none of
    them may be left)."""
    netns = {} if watched is None else {"netns": sorted(watched)}
    return {**_run_fields(session, log), "filter": filters.describe() | netns}


def _run_fields(session: Session, log: LogFile | None) -> dict[str, Any]:
    return {
        "host": identity.host(),
        "log": log and {"keep": log.rotation.keep, "keep_days": log.rotation.days},
        "probe": session.probe.name,
        "blind_spots": session.probe.blind_spots,
        "received_of": session.received_of.value,
    }


def show_start(session: Session, filters: Filters, log: LogFile | None, *, why: bool) -> None:
    """Tells what is watched, and where the log is. ``why``: also why better probes were refused,
    and what is not seen; else only that there are better ones."""
    probe = session.probe.name
    ends = "; Ctrl-C ends" if sys.stderr.isatty() else ""
    where = f"log {log.path}" if log else "no log"
    warn(f"watching {watched(filters)} by {probe}, {where}{ends}")
    if why:
        for name, reason in session.refused.items():
            warn(f"not by {name}: {reason}")
        warn(f"not seen by {probe}: {'; '.join(session.probe.blind_spots)}")
    elif session.refused:
        warn("less than the best probe: --why says why and what is not seen")


def warn_of_namespaces(own_pid_namespace: int | None, filters: Filters) -> None:
    """Warns of what a container with namespaces of its own does not see."""
    if own_pid_namespace is not None:
        warn("pids are those of this pid namespace: a process outside of it has none")
    if filters.by_cgroup and cgroup.is_private():
        warn(cgroup.PRIVATE)


def summary(
    session: Session, flows: FlowTable, existing: Existing, told: int | None = None
) -> dict[str, int | None]:
    """Returns the counts for the log's ``stop`` line and the user's last. None: not known.
    ``told`` is how many events there are lines for, if the run stopped after so many lines."""
    counters = session.counters()
    matched = counters.matched - flows.left_out + flows.only_received
    return {
        "seen": counters.seen + flows.only_received,
        "matched": matched if told is None else told,
        "existing": existing.number,
        "undecided": flows.undecided + existing.undecided,
        "coalesced": counters.aggregated - flows.forwards_left_out,
        "unfinished": counters.unfinished,
        "skipped": session.skipped(),
        "lost": counters.lost,
        "received_lost": counters.received_lost,
        "processes_lost": counters.processes_lost,
        "unread": counters.unread,
        "unfollowed": counters.unfollowed,
        "kernel_replies": counters.kernel_replies,
    }


def show_summary(
    numbers: dict[str, int | None],
    duration: float,
    filters: Filters,
    session: Session,
    lines_lost: dict[str, int],
    *,
    moved: bool,
) -> None:
    """Tells the user how it ended; ``duration`` is in seconds, ``lines_lost`` of each output.
    ``moved``: sockets from before have moved something."""
    blind_spots = session.probe.blind_spots
    warn(closing({**numbers, **lines_lost}, duration, filters, blind_spots, moved=moved))
