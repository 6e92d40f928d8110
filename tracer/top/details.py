# SPDX-License-Identifier: Apache-2.0
"""The details of a row: its processes with arguments and parents, its sockets and their routes."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from tracer.clock import WallClock
from tracer.model.counts import counted
from tracer.model.flow import Flow
from tracer.model.process import Parent, Process
from tracer.model.who import parents_name
from tracer.printable import safe, width
from tracer.top.rows import Row, Talk
from tracer.top.screen import destination_of, who_of
from tracer.trace.totals import OTHERS

_MOST: Final = 50  # processes, and talks of each, that are shown
_UNKNOWN: Final = "not known"
_INDENT: Final = 16  # columns before what is told
_WORD: Final = 20  # letters; longer words are cut at a line's end


def details(row: Row, clock: WallClock, columns: int) -> list[str]:
    """Returns the lines of a row's details, each as safe text of at most that width."""
    return [part for line in _lines(row, clock) for part in _wrapped(safe(line), columns)]


def _lines(row: Row, clock: WallClock) -> Iterator[str]:
    name, others = who_of(row)
    more = f" and {others} other programs" if others else ""
    yield f"{name}{more}"
    yield _amounts(row, row.talks, clock)
    for process in row.processes[:_MOST]:
        talks = [talk for talk in row.talks if _is_of(talk, process)]
        yield ""
        yield from _process(process)
        yield from _talks(talks, clock)
    yield from _talks([talk for talk in row.talks if not talk.process], clock)
    yield from _more(len(row.processes), "processes")


def _process(process: Process) -> Iterator[str]:
    yield f"process {process.pid or '?'} {process.comm}, user {process.shown_user}"
    yield _told("program", process.shown_exe)
    more = " …" * process.args_truncated
    yield _told("arguments", shlex.join(process.args) + more if process.args else None)
    yield _told("parents", " ← ".join(map(_parent, process.parents)) or None)
    yield _told("cgroup", process.cgroup)


def _talks(talks: Sequence[Talk], clock: WallClock) -> Iterator[str]:
    for talk in talks[:_MOST]:
        flow = talk.flow
        if flow is None:
            yield f"  {OTHERS}: {_amounts(talk, [talk], clock)}"
            continue
        yield f"  {flow.proto} {destination_of(talk)}: {_amounts(talk, [talk], clock)}"
        yield _told("socket", _socket(flow))
        yield _told("route", _route(flow))
    yield from _more(len(talks), "destinations")


def _socket(flow: Flow) -> str:
    known = flow.details
    more = [
        *([known.state, f"inode {known.inode or '?'}"] if known else []),
        *([f"cookie {flow.cookie}"] if flow.cookie else []),
        f"network namespace {flow.netns}",
    ]
    return f"from {flow.src.shown(lambda _: None, flow.proto)}, {', '.join(more)}"


def _route(flow: Flow) -> str | None:
    route = flow.route
    if route is None:
        return None
    gateway = f" via {route.gateway}" if route.gateway else ""
    return f"{route.interface}{gateway}{f' from {route.source}' if route.source else ''}"


def _amounts(one: Row | Talk, talks: Sequence[Talk], clock: WallClock) -> str:
    total = one.total
    received = "?" if total.received is None else f"{total.received:,.0f}"
    first, last = min(talk.first for talk in talks), max(talk.last for talk in talks)
    return (
        f"{counted(round(total.events), 'event')}, {total.sent:,.0f} bytes sent, "
        f"{received} received, {_second(clock, first)} to {_second(clock, last)}"
    )


def _second(clock: WallClock, time: int) -> str:
    return clock.local(time).partition(".")[0]


def _told(what: str, text: str | None) -> str:
    return f"    {what:{_INDENT - 4}}{text or _UNKNOWN}"


def _wrapped(line: str, columns: int) -> Iterator[str]:
    """Yields the line in parts; those from the second on are below what is told."""
    part, taken = "", 0
    for character in line:
        if taken + width(character) > columns and part.strip():
            head, _, word = part.rpartition(" ")
            if not head.strip() or len(word) > _WORD:
                head, word = part, ""
            yield head
            part = " " * min(_INDENT, columns // 2) + word
            taken = width(part)
        part += character
        taken += width(character)
    yield part


def _parent(parent: Parent) -> str:
    return f"{parent.pid or '?'} {parents_name(parent) or '?'}"


def _is_of(talk: Talk, process: Process) -> bool:
    return talk.process is not None and talk.process.identity == process.identity


def _more(number: int, what: str) -> Iterable[str]:
    return [f"  … and {number - _MOST} more {what}"] if number > _MOST else []
