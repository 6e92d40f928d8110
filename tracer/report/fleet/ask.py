# SPDX-License-Identifier: Apache-2.0
"""Asks a server, and makes a report of its answers."""

import contextlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tracer.errors import SockwatchError
from tracer.filter.filters import Filters
from tracer.output.clickhouse import Access, Away, Connection, Refused, Target
from tracer.report.earlier import Earlier
from tracer.report.fleet import keys, senders
from tracer.report.fleet.query import Question
from tracer.report.fleet.senders import Rows
from tracer.report.fleet.tables import settings_of, tables_of
from tracer.report.fleet.watched import Watched
from tracer.report.fleet.watched import queries as watched_queries
from tracer.report.group import Group, Rest, ordered
from tracer.report.groups import MAX_GROUPS, Report
from tracer.report.runs import EVER, Missed, Runs, Span
from tracer.report.times import START, Period, Timeline, logged

_LAG: Final = "the tables are of several servers: one may lack what another has got"
_TIMEOUT: Final = 600.0  # seconds that a server may take to answer
_MAX_ANSWER: Final = 1 << 28  # bytes


def summarize(
    target: Target,
    access: Access,
    names: Sequence[str],
    filters: Filters,
    period: Period,
    order: str,
    earlier: Earlier | None = None,
    until: str = "",
) -> Report:
    """Asks the first server that is there. What was watched is looked at if there is ``earlier``,
    which is told of what was before the period; that ends at ``until``. Raises SockwatchError."""
    with _connected(target, access) as connection:
        try:
            found = _report(connection, names, filters, period, order, earlier, until)
            several = earlier and len(target.hosts) > 1 and _LAG not in found.doubts
            return found._replace(doubts=[*found.doubts, _LAG]) if several else found
        except (Away, Refused) as problem:
            raise SockwatchError(f"{connection.name}: {problem}", "see docs/fleet.md") from None


@contextlib.contextmanager
def _connected(target: Target, access: Access) -> Iterator[Connection]:
    problems = []
    for host in target.hosts:
        try:
            connection = Connection(host, target, access, timeout=_TIMEOUT)
        except Away as problem:
            problems.append(f"{host[0]}:{host[1]}: {problem}")
        else:
            with contextlib.closing(connection):
                yield connection
            return
    raise SockwatchError("; ".join(problems), "is that where --from leads to?")


def _report(
    connection: Connection,
    names: Sequence[str],
    filters: Filters,
    period: Period,
    order: str,
    earlier: Earlier | None,
    until: str,
) -> Report:
    asked = Question(tables_of(connection), names, filters, period, order)
    settings = settings_of(connection)

    def rows(query: str) -> list[dict[str, Any]]:
        answer = connection.read(f"{query} FORMAT JSONEachRow", _MAX_ANSWER, settings)
        return [json.loads(line) for line in answer.split(b"\n") if line]

    # First: what is told of events before a row about their run was there before it.
    watched = _watched(asked, rows, earlier) if earlier else None
    (total,) = rows(asked.totals())
    (damaged,) = rows(asked.damaged())
    timeline = _timeline(period, total)
    make = _by_process if asked.asks_who else _by_row
    made = make(asked, rows, timeline.length)
    number = int(damaged["n_rows"]) + made.damaged
    runs, doubts = Runs(), []
    if watched:
        runs = watched.runs
        doubts = watched.lost(Span(period.since, until), filters)
        doubts += [_LAG] if asked.tables.may_lag else []
        runs.missed += [Missed("damaged", number, Span("", EVER))] if number else []
    return Report(
        ordered(made.groups, order),
        timeline,
        int(total["n_rows"]),
        number,
        runs,
        max(int(total["n_undecided"] or 0), int(total["is_undecided"] or 0)),
        (),
        order,
        made.rest,
        doubts,
    )


def _watched(asked: Question, rows: Rows, earlier: Earlier) -> Watched:
    found = itertools.chain.from_iterable(map(rows, watched_queries(asked.tables)))
    watched = Watched(found, has_fractions=asked.tables.has_fractions)
    for row in rows(asked.still_open()):
        number = watched.numbers.get((row["t_host"], row["t_run"]))
        if number:
            earlier.add(number, int(row["number"]))
    (reaching,) = rows(asked.reaching())
    earlier.reaching += int(reaching["number"])
    return watched


class _Made(NamedTuple):
    """The groups, and those that are not told."""

    groups: Iterable[Group]
    rest: Rest | None
    damaged: int = 0


def _by_row(asked: Question, rows: Rows, length: int) -> _Made:
    """Makes groups that the server has made."""
    found = [_group(row, asked.keys, length) for row in rows(asked.groups(length, MAX_GROUPS))]
    if len(found) < MAX_GROUPS:
        return _Made(found, None)
    (others,) = rows(asked.rest(length, MAX_GROUPS))
    number = int(others["n_groups"])
    return _Made(found, Rest(number, _group(others, (), length)) if number else None)


def _by_process(asked: Question, rows: Rows, length: int) -> _Made:
    """Makes groups of what each process did. Raises SockwatchError if there are too many."""
    most = senders.MAX_PROCESSES
    found = rows(asked.groups(length, most + 1))
    if len(found) > most:
        raise SockwatchError(
            f"more than {most:,} processes and destinations match",
            f"ask for less, or --by {','.join(keys.DEFAULT_KEYS)}",
        )
    known = senders.Senders(
        rows(senders.processes(asked.tables, asked.among())), rows(senders.boots(asked.tables))
    )
    each = (_found(row, length) for row in found)
    groups, damaged = senders.grouped(each, asked.keys, asked.order, known)
    return _Made(groups.merged(), groups.rest, damaged)


def _found(row: Mapping[str, Any], length: int) -> senders.Found:
    values = keys.values(row, ("dst", "port"))
    return senders.Found(row, _group(row, (), length), values["dst"], values["port"])


def _timeline(period: Period, total: Mapping[str, Any]) -> Timeline:
    found = Timeline(period)
    if int(total["n_rows"]):
        for name in ("first_seen", "last_seen"):
            time = logged(total[name])
            found.place_of(START + time[:20], time)
    return found


def _group(row: Mapping[str, Any], names: Sequence[str], length: int) -> Group:
    found = Group(keys.values(row, names))
    found.count, found.bytes = int(row["n_events"]), int(row["n_bytes"])
    if int(row["has_received"]):
        found.received = int(row["n_received"])
    found.first, found.last = logged(row["first_seen"]), logged(row["last_seen"])
    for part, number in zip(*row["activity"], strict=True):
        found.activity[int(part) * length] += int(number)
    return found
