# SPDX-License-Identifier: Apache-2.0
"""The servers that a log is shipped to: the next one when one is gone, and a block never twice."""

import gzip
import random
from collections.abc import Callable
from typing import Final, NamedTuple

from tracer.output.clickhouse import Access, Away, Connection, Refused, Target, known, quoted
from tracer.ship.block import Part
from tracer.ship.rows import EVENTS, as_it_is, with_token

# What ship asks of a server, if that knows it. Without async_insert=0, an answer would say nothing;
# without parallel parsing, a part is one block of the server's, which is there or is not.
_SETTINGS: Final = {
    "async_insert": "0",
    "input_format_parallel_parsing": "0",
    "input_format_skip_unknown_fields": "0",
    "deduplicate_blocks_in_dependent_materialized_views": "1",
    "allow_experimental_low_cardinality_type": "1",
}
_TOKEN: Final = "insert_deduplication_token"
# Error codes of a row that cannot be taken; then none of its part was. src/Common/ErrorCodes.cpp
_BAD_ROW: Final = frozenset((
    6, 25, 26, 27, 32, 33, 38, 41, 53, 69, 70, 72, 117, 130, 131, 321, 349, 441, 469, 675, 676,
))  # fmt: skip
_NO_COLUMN: Final = "nknown field"  # is the table's fault: it is an older one
_FIRST_PAUSE: Final = 1.0  # seconds
_MAX_PAUSE: Final = 60.0


class Server(NamedTuple):
    """A server that has answered. ``place`` names those among which a block is never taken twice:
    a shard's replicas, or this server alone. ``digits``: so many of a second it can keep."""

    connection: Connection
    place: str
    digits: int
    settings: dict[str, str]
    has_tokens: bool

    def has(self, part: Part) -> bool:
        """Says whether a part is there. Raises Away and Refused."""
        (found,) = self.connection.ask(
            f"SELECT count() FROM {part.table} WHERE token = {quoted(part.token)} "
            f"AND toYYYYMMDD(time) = {part.day.replace('-', '')}",
            **{name: value for name, value in self.settings.items() if name.startswith("allow")},
        )
        return found != ["0"]

    def insert(self, part: Part) -> None:
        """Inserts a part. Raises Away and Refused."""
        token = {_TOKEN: f"{part.token} {part.day}"} if self.has_tokens else {}
        self.connection.insert(part.table, part.rows, {**self.settings, **token})


class Problem(NamedTuple):
    """Why no server takes anything. ``code`` is an error code of one that answers, else 0."""

    text: str
    code: int


class Fleet:
    """Reaches one of the servers, and gives it parts. ``pause`` is called between two rounds, with
    the seconds to wait and what is wrong with the servers."""

    def __init__(
        self, target: Target, access: Access, pause: Callable[[float, Problem], None]
    ) -> None:
        self._target = target
        self._access = access
        self._pause = pause
        self._at = 0  # which of the hosts is tried first
        self._pauses = 0
        self._failed = 0  # times since a part was taken

    def reach(self, place: str) -> Server:
        """Returns a server, of that place if it has a name. Waits until there is one; raises what
        ``pause`` raises."""
        while True:
            problems, code = [], 0
            for _ in self._target.hosts:
                host = self._target.hosts[self._at]
                try:
                    server = self._greeted(host)
                except (Away, Refused) as problem:
                    problems.append(f"{host[0]}:{host[1]}: {problem}")
                    code = code or getattr(problem, "code", 0)
                else:
                    if place in ("", server.place):
                        return server
                    server.connection.close()
                    problems.append(
                        f"{server.connection.name} is not {place}, where a block may be"
                    )
                self._go_on()
            self._wait(Problem("; ".join(problems), code))

    def fail(self, server: Server, problem: Away | Refused) -> None:
        """Goes on to the next server after this one has not taken a part; waits after the last."""
        self._go_on()
        self._failed += 1
        if self._failed % len(self._target.hosts) == 0:
            text = f"{server.connection.name}: {problem}"
            self._wait(Problem(text, getattr(problem, "code", 0)))

    def _go_on(self) -> None:
        self._at = (self._at + 1) % len(self._target.hosts)

    def _wait(self, problem: Problem) -> None:
        """Waits longer each time, and not as long as others that wait for the same."""
        longest = min(_MAX_PAUSE, _FIRST_PAUSE * 2.0**self._pauses)
        self._pauses = min(self._pauses + 1, 10)
        self._pause(random.uniform(longest / 2, longest), problem)

    def deliver(self, server: Server, part: Part, *, ask: bool) -> int:
        """Sees to it that a part is there, once; asks first if it may be. Returns how many of its
        rows the server refuses, which it gets as they are. Raises Away and Refused."""
        if ask and server.has(part):
            return 0
        try:
            server.insert(part)
        except Refused as problem:
            if not _is_a_rows(problem):
                raise
            refused = _by_halves(server, part, ask=ask)
        else:
            refused = 0
        self._pauses = self._failed = 0
        return refused

    def _greeted(self, host: tuple[str, int]) -> Server:
        """Connects, and asks what the server is and knows. Raises Away and Refused."""
        connection = Connection(host, self._target, self._access)
        try:
            return _server(connection)
        except BaseException:
            connection.close()
            raise


def _server(connection: Connection) -> Server:
    settings = known(connection, "name", "settings", (*_SETTINGS, _TOKEN))
    where = f"database = currentDatabase() AND table = {quoted(EVENTS)}"
    types = connection.ask(f"SELECT type FROM system.columns WHERE {where} AND name = 'time'")
    if not types:
        raise Refused(60, f"there is no table {EVENTS}, or not for this user")
    return Server(
        connection,
        _place(connection),
        9 if "64" in types[0][0] else 0,
        {name: value for name, value in _SETTINGS.items() if name in settings},
        _TOKEN in settings,
    )


def _place(connection: Connection) -> str:
    """Names the shard, where replicas know of one another's blocks; else the server."""
    (engine,) = connection.ask(
        "SELECT engine FROM system.tables "
        f"WHERE database = currentDatabase() AND name = {quoted(EVENTS)}"
    )
    if not engine[0].startswith("Replicated"):
        return connection.name
    if known(connection, "name", "functions", ("getMacro",)):
        rows = connection.ask("SELECT getMacro('shard')")
    else:
        rows = connection.ask("SELECT substitution FROM system.macros WHERE macro = 'shard'")
    return f"shard {rows[0][0]}" if rows else "shard"


def _is_a_rows(problem: Refused) -> bool:
    """Says whether a row is to blame, not the server or its table."""
    return problem.code in _BAD_ROW and _NO_COLUMN not in str(problem)


def _by_halves(server: Server, part: Part, *, ask: bool) -> int:
    """Inserts a part, those rows as they are that cannot be inserted otherwise. Returns how many
    they are. Raises Away and Refused."""
    refused = begin = 0
    pieces = [_rows_of(part)]
    while pieces:
        rows = pieces.pop()
        piece = _piece(part, rows, begin)
        try:
            if not (ask and server.has(piece)):
                server.insert(piece)
        except Refused as problem:
            if not _is_a_rows(problem):
                raise
            if len(rows) > 1:
                half = len(rows) // 2
                pieces += [rows[half:], rows[:half]]
                continue
            server.insert(_piece(part, [as_it_is(rows[0])], begin))
            refused += 1
        begin += len(rows)
    return refused


def _rows_of(part: Part) -> list[str]:
    """Returns a part's rows, each without its token."""
    end = with_token("", part.token)
    text = gzip.decompress(part.rows).decode()
    return [line.removesuffix(end.rstrip("\n")) for line in text.splitlines()]


def _piece(part: Part, rows: list[str], begin: int) -> Part:
    token = f"{part.token}/{begin}-{begin + len(rows)}"
    text = "".join(with_token(row, token) for row in rows)
    return part._replace(token=token, rows=gzip.compress(text.encode(), 1, mtime=0))
