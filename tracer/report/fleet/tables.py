# SPDX-License-Identifier: Apache-2.0
"""The tables of a server, and how it writes what its version has another way to write."""

from typing import Final, NamedTuple

from tracer.output.clickhouse import Connection, Refused, known, quoted

_TABLES: Final = ("events", "processes", "runs")
_EXPERIMENTAL: Final = ("allow_experimental_low_cardinality_type",)  # for a server that is old
_NO_TABLE: Final = 60  # ClickHouse's error code


class Tables(NamedTuple):
    """Names of tables, of all shards where there are several. ``has_addresses``: addresses have a
    type of their own; else they are text. ``has_fractions``: so have times with nanoseconds.
    ``may_lag``: they are of several servers, of which one may lack what another has got."""

    events: str
    processes: str
    runs: str
    has_addresses: bool
    has_fractions: bool
    may_lag: bool

    def time(self, logged: str) -> str:
        """Writes a time of the log. Without fractions, it is that second."""
        text = f"{logged[:10]} {logged[11:29]}" if self.has_fractions else _second(logged)
        return (
            f"toDateTime64({quoted(text)}, 9, 'UTC')"
            if self.has_fractions
            else f"toDateTime({quoted(text)}, 'UTC')"
        )

    def between(self, column: str, first: str, last: str) -> str:
        """Asks for addresses from one to another one, both as IPv6. Null is no address."""
        if self.has_addresses:
            return f"{column} BETWEEN toIPv6({quoted(first)}) AND toIPv6({quoted(last)})"
        number = f"IPv6StringToNum({column})"
        ends = (f"IPv6StringToNum({quoted(end)})" for end in (first, last))
        return f"{number} BETWEEN {' AND '.join(ends)}"

    def address(self, text: str) -> str:
        """Makes an address of an expression that is an address as text, or no address."""
        mapped = f"if(position({text}, ':') > 0, {text}, concat('::ffff:', {text}))"
        return f"toIPv6OrDefault({mapped})" if self.has_addresses else mapped


def tables_of(connection: Connection) -> Tables:
    """Returns a server's tables. Raises Away and Refused."""
    where = "database = currentDatabase()"
    names = {f"{prefix}{name}" for name in _TABLES for prefix in ("", "fleet_")}
    listed = ", ".join(map(quoted, sorted(names)))
    rows = connection.ask(
        f"SELECT name, engine FROM system.tables WHERE {where} AND name IN ({listed})"
    )
    there = {row[0]: row[1] for row in rows}
    prefix = "fleet_" if {f"fleet_{name}" for name in _TABLES} <= there.keys() else ""
    named = [f"{prefix}{name}" for name in _TABLES]
    missing = [name for name in named if name not in there]
    if missing:
        raise Refused(_NO_TABLE, f"there is no table {missing[0]}, or not for this user")
    events, processes, runs = named
    columns = connection.ask(
        f"SELECT name, type FROM system.columns WHERE {where} AND table = {quoted(events)} "
        "AND name IN ('dst', 'time')"
    )
    types = {row[0]: row[1] for row in columns}
    if not {"dst", "time"} <= types.keys():
        raise Refused(_NO_TABLE, f"{events} has no dst and time, or not for this user")
    may_lag = not {there[events], there[runs]} <= {"MergeTree"}
    return Tables(events, processes, runs, types["dst"] == "IPv6", "64" in types["time"], may_lag)


def _second(logged: str) -> str:
    return f"{logged[:10]} {logged[11:19]}"


def settings_of(connection: Connection) -> dict[str, str]:
    """Returns what has to be asked with. Raises Away and Refused."""
    return dict.fromkeys(known(connection, "name", "settings", _EXPERIMENTAL), "1")
