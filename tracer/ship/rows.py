# SPDX-License-Identifier: Apache-2.0
"""Makes rows of the tables in packaging/clickhouse/schema.sql from a log's lines."""

import contextlib
import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tracer.model.counts import COUNTS

EVENTS: Final = "events"
PROCESSES: Final = "processes"
RUNS: Final = "runs"
# In the order in which they are sent: an `alive` says that all before it is there.
TABLES: Final = (PROCESSES, EVENTS, RUNS)

_NOT_LOGGED: Final = {"lines_missing", "damaged", "output_lines_lost"}  # of the counts
_PATTERN: Final = r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{9}Z"
_YEARS: Final = range(1970, 2106)  # that each server can keep
_TIME: Final = re.compile(_PATTERN, re.ASCII)
_TIMES: Final = ("last_time", "start_time", "since")
_ADDRESSES: Final = ("src", "dst", "nat_src", "nat_dst")
_TEXTS: Final = ("parents", "filter", "blind_spots")  # JSON in a column of text
_CONVERTED: Final = frozenset((*_TIMES, *_ADDRESSES, *_TEXTS))
_STARTS: Final = ("start", "alive")  # such a line names the host
# An event's line: what it is, numbers, the process, the flow.
_BEGIN: Final = re.compile(rf'{{"time":"{_PATTERN}","event":"'.encode())
_TIME_AT: Final = slice(9, 39)
_HEAD: Final = 41
_NUMBERS_AT: Final = b',"bytes":'
_PROCESS_AT: Final = b',"process":'
_SRC_AT: Final = b',"src":'
_WHOLE: Final = rb"(?:0|[1-9][0-9]*)"
_NUMBER: Final = (
    rb'"(?:bytes|count|latency_us|duration|bytes_received|bytes_since|bytes_received_since)":'
    + _WHOLE
    + rb"(?:\.[0-9]+)?"
)
_NUMBERS: Final = re.compile(rb"%b(?:,%b)*" % (_NUMBER, _NUMBER))
_SRC: Final = re.compile(rb'"src":\{"addr":"([0-9a-f:.]+)","port":(%b)\}' % _WHOLE)
_SOCKET: Final = re.compile(
    rb',"socket":\{("cookie":%b,"netns":%b)(?:,"inode":(%b),"state":"([A-Z0-9-]{1,16})")?\}'
    % ((_WHOLE,) * 3)
)
_MAX_PARTS: Final = 2048  # beyond this, all are rendered anew
_MAX_SHARED: Final = 4096  # bytes; a longer part is rendered each time
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode

Names = dict[str, Any]  # a column's name, or those of a nested object's values


def _tree(names: Mapping[str, str]) -> Names:
    """Makes ``{"dst": {"addr": "dst"}}`` of ``{"dst.addr": "dst"}``."""
    found: Names = {}
    for path, column in names.items():
        *above, last = path.split(".")
        level = found
        for key in above:
            level = level.setdefault(key, {})
        level[last] = column
    return found


def _same(*names: str, of: str = "") -> dict[str, str]:
    return {f"{of}{name}": name for name in names}


# From a line's fields to columns. What has no column goes to `more`.
_COLUMNS: Final = {
    EVENTS: _tree({
        **_same("run", "event", "proto", "outcome", "error", "bytes", "bytes_since",
                "bytes_received", "bytes_received_since", "count", "last_time", "latency_us",
                "duration", "via", "interface"),
        **_same("pid", "start_time", "comm", "exe", "args", "parent", "uid", "user", "unit",
                of="process."),
        "process.id": "process_id",
        "process.container.id": "container",
        "src.addr": "src",
        "src.port": "sport",
        "dst.addr": "dst",
        "dst.port": "dport",
        "dst.name": "name",
        "nat.src.addr": "nat_src",
        "nat.src.port": "nat_sport",
        "nat.dst.addr": "nat_dst",
        "nat.dst.port": "nat_dport",
        "route.interface": "route_interface",
        "socket.cookie": "cookie",
        "socket.netns": "netns",
    }),
    PROCESSES: _tree({
        **_same("run"),
        **_same("id", "pid", "initial_pid", "start_time", "start_boottime", "comm", "exe", "args",
                "ppid", "parents", "uid", "user", "loginuid", "cgroup", "unit", "netns",
                of="process."),
        "process.container.id": "container",
        "process.container.runtime": "container_runtime",
        "process.container.pod": "pod",
    }),
    RUNS: _tree({
        **_same("run", "event", "since", "lines", "version", "boot_id", "probe", "filter",
                "blind_spots", "received_of", "duration"),
        **_same("seen", "matched", *COUNTS.keys() - _NOT_LOGGED),
        "host.machine_id": "machine_id",
        "host.boot_id": "boot_id",
        "host.name": "host",
    }),
}  # fmt: skip


class Row(NamedTuple):
    """A row for a table. ``text`` is JSON without its end, to which the block's token is added;
    ``line`` what the log says, of those about a run."""

    table: str
    time: str
    text: str
    line: dict[str, Any]


class _Part(NamedTuple):
    """A part of a row, as JSON without braces; ``more`` is for the column of that name, escaped."""

    text: str
    more: str


class Rows:
    """Makes rows. What events share, processes and flows, is rendered once.

    ``digits``: so many of a second the server can keep. ``host`` changes from run to run."""

    def __init__(self, digits: int) -> None:
        self.host = ""
        self._digits = digits
        self._parts: dict[bytes, _Part] = {}
        self._day = ""  # the latest that is known to be one

    def row(self, raw: bytes) -> Row | None:
        """Makes a row of a line; None: the line is damaged."""
        with contextlib.suppress(ValueError, RecursionError):
            parts = self._parts_of(raw)
            if parts:
                return self._made(EVENTS, raw[_TIME_AT].decode(), parts, {})
        with contextlib.suppress(ValueError, RecursionError):
            return self._of_whole(json.loads(raw))
        return None

    def own(self, event: str, time: str, **values: object) -> Row:
        """Makes a row that is no line's: what ship has to say."""
        return self._made(RUNS, time, (self._part(RUNS, {"event": event, **values}),), {})

    def _parts_of(self, raw: bytes) -> list[_Part] | None:
        """Returns the parts of an event's line; None: it is not as most are. In a string, quotes
        are escaped: so what has them is a key. Raises ValueError."""
        numbers = raw.find(_NUMBERS_AT, _HEAD)
        process = raw.find(_PROCESS_AT, numbers)
        src = raw.find(_SRC_AT, process)
        if numbers < 0 or process < 0 or src < 0 or not _BEGIN.match(raw):
            return None
        return [
            self._shared(raw[_HEAD:numbers] + b"}"),
            self._numbers(raw[numbers + 1 : process]),
            self._shared(raw[process + 1 : src] + b"}"),
            *self._flow(raw, src + 1),
        ]

    def _numbers(self, raw: bytes) -> _Part:
        """Returns the part that differs most. Columns are named as it is."""
        return _Part(raw.decode(), "") if _NUMBERS.fullmatch(raw) else self._shared(raw + b"}")

    def _flow(self, raw: bytes, begin: int) -> Iterator[_Part]:
        """Yields the parts of a flow, the port and the cookie apart, which are its own."""
        src = _SRC.match(raw, begin)
        socket = _SOCKET.search(raw, begin)
        if not (src and socket):
            yield self._shared(raw[begin:])
            return
        address = self._converted("src", src[1].decode())
        yield _Part(f'"src":"{address}","sport":{src[2].decode()}', "")
        yield _Part(socket[1].decode(), _found_of(socket))
        rest = raw[src.end() : socket.start()] + raw[socket.end() :]
        yield self._shared(rest.removeprefix(b","))

    def _of_whole(self, line: Any) -> Row | None:
        if not _is_good(line):
            return None
        if line["event"] in _STARTS:
            self.host = _host(line) or self.host
        table, time = _table_of(line), line.pop("time")
        if table == PROCESSES:
            del line["event"]
        return self._made(table, time, (self._part(table, line),), line if table == RUNS else {})

    def _made(self, table: str, time: str, parts: Sequence[_Part], line: dict[str, Any]) -> Row:
        self._check_day(time[:10])
        begin = f'{{"time":"{self._time(time)}","host":{_encode(self.host)}'
        text = ",".join([begin, *[part.text for part in parts if part.text]])
        more = ",".join([part.more for part in parts if part.more])
        return Row(table, time, f'{text},"more":"{{{more}}}"' if more else text, line)

    def _check_day(self, day: str) -> None:
        """Raises ValueError if there is no such day."""
        if day != self._day and dt.date.fromisoformat(day).year not in _YEARS:
            raise ValueError(day)
        self._day = day

    def _shared(self, raw: bytes) -> _Part:
        """Returns a part of an event, rendered when it is met first. Raises ValueError."""
        part = self._parts.get(raw)
        if part is None:
            part = self._part(EVENTS, json.loads(b"{" + raw))
            if len(self._parts) >= _MAX_PARTS:
                self._parts.clear()
            if len(raw) <= _MAX_SHARED:
                self._parts[raw] = part
        return part

    def _part(self, table: str, given: dict[str, Any]) -> _Part:
        row: dict[str, Any] = {}
        rest: dict[str, Any] = {}
        _flatten(given, _COLUMNS[table], row, rest)
        if table == RUNS:
            row.pop("host", None)
        for name in row.keys() & _CONVERTED:
            row[name] = self._converted(name, row[name])
        more = _encode(_encode(rest)[1:-1])[1:-1] if rest else ""
        return _Part(_encode(row)[1:-1], more)

    def _converted(self, name: str, value: Any) -> Any:
        """Returns a value as its column has it."""
        if name in _TEXTS:
            return _encode(value)
        if name in _TIMES:
            return self._time(str(value))
        address = str(value)
        return address if ":" in address else f"::ffff:{address}"  # one column has both versions

    def _time(self, text: str) -> str:
        end = 20 + self._digits if self._digits else 19
        return f"{text[:10]} {text[11:end]}"


def _found_of(socket: re.Match[bytes]) -> str:
    """Returns what was found out of a socket as `more` has it."""
    if socket[2] is None:
        return ""
    rest = f'"socket":{{"inode":{socket[2].decode()},"state":"{socket[3].decode()}"}}'
    return _encode(rest)[1:-1]


def with_token(text: str, token: str) -> str:
    """Ends a row."""
    return f'{text},"token":"{token}"}}\n'


def as_it_is(text: str) -> str:
    """Returns a row that each table takes, whatever is in it: that is in `more` only."""
    row = json.loads(f"{text}}}")
    names = ("time", "host", "event", "run")
    kept = {name: row[name] for name in names if type(row.get(name)) is str}
    return _encode({**kept, "more": text + "}"})[:-1]


def _is_good(line: Any) -> bool:
    """Says whether it has what each line of a log has."""
    if type(line) is not dict or type(line.get("event")) is not str:
        return False
    time = line.get("time")
    return type(time) is str and _TIME.fullmatch(time) is not None


def _table_of(line: Mapping[str, Any]) -> str:
    if "proto" in line or "src" in line:
        return EVENTS
    return PROCESSES if line["event"] == "process" else RUNS


def _host(line: Mapping[str, Any]) -> str | None:
    """Returns the host that a run's line names."""
    host = line.get("host")
    name = host.get("name") if type(host) is dict else None
    return name if type(name) is str else None


def _flatten(
    given: Mapping[str, Any], names: Names, row: dict[str, Any], rest: dict[str, Any]
) -> None:
    for key, value in given.items():
        if value is None:
            continue
        name = names.get(key)
        if type(name) is str:
            row[name] = value
        elif name is not None and type(value) is dict:
            left: dict[str, Any] = {}
            _flatten(value, name, row, left)
            if left:
                rest[key] = left
        else:
            rest[key] = value
