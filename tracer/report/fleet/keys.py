# SPDX-License-Identifier: Apache-2.0
"""What groups of a server's rows are made by: what :mod:`tracer.report.keys` makes of a log's."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tracer.report.decode import address_of
from tracer.report.fleet import conditions
from tracer.report.fleet.tables import Tables

DEFAULT_KEYS: Final = ("host", "exe", "dst")
# In what is left of `dst`, which is flat. What is in a string has escaped quotes.
_ZONE: Final = r'(?:^\\{|,)"dst":\\{[^{}]*?"zone":"((?:[^"\\\\]|\\\\.)*)"'


def _exe(tables: Tables) -> str:
    mark = f"if(exe != '' AND {conditions.is_marked(tables)}, ' (not here)', '')"
    return f"concat(toString(exe), {mark})"


def _user(_tables: Tables) -> str:
    number = "if(isNotNull(uid), toString(ifNull(uid, 0)), '')"
    return f"if(user != '', toString(user), {number})"


def _column(name: str) -> Callable[[Tables], str]:
    return lambda _: f"toString({name})"


# For each key, an expression, or several of which it is made; text is empty where it is not known.
_EXPRESSIONS: Final[dict[str, tuple[Callable[[Tables], str], ...]]] = {
    "host": (_column("host"),),
    "exe": (_exe,),
    "user": (_user,),
    "unit": (_column("unit"),),
    "container": (_column("container"),),
    "name": (_column("name"),),
    "proto": (_column("proto"),),
    "dst": (_column("dst"), lambda _: f"extract(more, '{_ZONE}')"),
    "port": (lambda _: "dport",),
}


def expressions(tables: Tables, names: Sequence[str]) -> dict[str, str]:
    """Returns the expressions that rows are grouped by, each by a name."""
    return {
        f"{name}_{number}": expression(tables)
        for name in names
        for number, expression in enumerate(_EXPRESSIONS[name])
    }


def values(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Returns the keys of a group."""
    return {name: _value(row, name) for name in names}


def _value(row: Mapping[str, Any], name: str) -> Any:
    found = row.get(f"{name}_0")
    if name == "dst":
        addr = address_of(found) if found else None
        zone = json.loads(f'"{row.get("dst_1", "")}"')
        return addr and (f"{addr}%{zone}" if zone else str(addr))
    if name == "port":
        return None if found is None else int(found)
    return found or None
