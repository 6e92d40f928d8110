# SPDX-License-Identifier: Apache-2.0
"""The tables: packaging/clickhouse/schema.sql, without what a server does not have."""

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import tracer
from tracer.errors import SockwatchError
from tracer.output.clickhouse import Access, Away, Connection, Refused, Target, known, quoted

_NAME: Final = "schema.sql"
# What holds a value of a type in a server that lacks it.
_INSTEAD: Final = {"IPv6": "String", "DateTime64": "DateTime"}
_TYPE: Final = re.compile(r"\b(IPv6|DateTime64)\b(?:\(9, ('UTC')\))?")
_REPLICATED: Final = re.compile(r"Replicated(\w*MergeTree)\('[^']*', '[^']*'\)")
_SETTING: Final = re.compile(r"^    (\w+) = \w+,?\n?", re.MULTILINE)
_TABLE: Final = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+) \(\n((?: .*\n)+)\)")
_COLUMN: Final = re.compile(r"^    (\w+) (.+?),?$", re.MULTILINE)
_EXPERIMENTAL: Final = "allow_experimental_low_cardinality_type"  # for a server that is old
# Clauses, and a setting of each server that knows them.
_CLAUSES: Final = {
    "merge_with_ttl_timeout": re.compile(r"^TTL .*\n", re.MULTILINE),
    "default_materialized_view_sql_security": re.compile(r"^SQL SECURITY .*\n", re.MULTILINE),
}
T = TypeVar("T")


def create(target: Target, access: Access) -> None:
    """Makes the tables and columns that are missing, on each server. Raises SockwatchError."""
    for host in target.hosts:
        _on(host, target, access, _create)


def text(target: Target, access: Access) -> str:
    """Returns what :func:`create` would run on the first server. Raises SockwatchError."""
    made = _on(target.hosts[0], target, access, statements)
    return "\n".join(f"{statement};\n" for statement in made)


def _create(connection: Connection) -> None:
    experimental = known(connection, "name", "settings", [_EXPERIMENTAL])
    for statement in statements(connection):
        connection.ask(statement, **dict.fromkeys(experimental, "1"))
        for more in _columns_missing(connection, statement):
            connection.ask(more, **dict.fromkeys(experimental, "1"))


def _columns_missing(connection: Connection, statement: str) -> Iterator[str]:
    """Yields what adds the columns that a table of an older version lacks, and the one over all
    shards."""
    made = _TABLE.match(statement)
    if not made:
        return
    columns = dict(_COLUMN.findall(made[2]))
    for table in (made[1], f"fleet_{made[1]}"):
        rows = connection.ask(
            "SELECT name FROM system.columns "
            f"WHERE database = currentDatabase() AND table = {quoted(table)}"
        )
        there = {row[0] for row in rows}
        for name in columns if there else ():
            if name not in there:
                yield f"ALTER TABLE {table} ADD COLUMN {name} {columns[name]}"


def statements(connection: Connection) -> list[str]:
    """Returns the statements for a server. Raises Away and Refused."""
    macros = known(connection, "macro", "macros", ["shard", "replica", "cluster"])
    types = known(connection, "name", "data_type_families", list(_INSTEAD))
    source = _path().read_text()
    names = [*_SETTING.findall(source), *_CLAUSES]
    settings = known(connection, "name", "merge_tree_settings", names)
    settings |= known(connection, "name", "settings", names)
    if not {"shard", "replica"} <= macros:
        source = _REPLICATED.sub(r"\1()", source)
    for setting, clause in _CLAUSES.items():
        if setting not in settings:
            source = clause.sub("", source)
    return [
        _without(_typed(statement, types), settings)
        for statement in _split(source)
        if "cluster" in macros or "Distributed(" not in statement
    ]


def _split(source: str) -> Iterator[str]:
    lines = (line for line in source.splitlines(keepends=True) if not line.startswith("--"))
    return (part.strip() for part in "".join(lines).split(";\n") if part.strip())


def _typed(statement: str, types: frozenset[str]) -> str:
    def instead(found: re.Match[str]) -> str:
        if found[1] in types:
            return found[0]
        return _INSTEAD[found[1]] + (f"({found[2]})" if found[2] else "")

    return _TYPE.sub(instead, statement)


def _without(statement: str, settings: frozenset[str]) -> str:
    """Leaves out the settings that a server does not know."""
    head, found, tail = statement.partition("SETTINGS\n")
    if not found:
        return statement
    kept = [part[0].strip(" ,\n") for part in _SETTING.finditer(f"{tail}\n") if part[1] in settings]
    return head + ("SETTINGS\n    " + ",\n    ".join(kept) if kept else "")


def _path() -> Path:
    """Returns where the file is: in the package, or beside it in a checkout."""
    package = Path(tracer.__file__).parent
    installed = package / _NAME
    return installed if installed.exists() else package.parent / "packaging/clickhouse" / _NAME


def _on(host: tuple[str, int], target: Target, access: Access, do: Callable[[Connection], T]) -> T:
    """Does something on a server. Raises SockwatchError."""
    try:
        with contextlib.closing(Connection(host, target, access)) as connection:
            return do(connection)
    except (Away, Refused) as problem:
        raise SockwatchError(
            f"{host[0]}:{host[1]}: {problem}", "docs/fleet.md has what it takes to make the tables"
        ) from None
