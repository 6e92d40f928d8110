# SPDX-License-Identifier: Apache-2.0
"""Renders a listing of sockets as JSON Lines, or as a table with the columns that ss has."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from tracer.model.process import Holder
from tracer.model.socket import Listed, Processes, Socket
from tracer.output.columns import fitted
from tracer.output.jsonl import to_json
from tracer.output.terminal import align, fit_middle
from tracer.printable import is_plain, safe, width

Output = Callable[[str], None]
NameOf = Callable[[str], str | None]

_NULL: Final[dict[Any, str]] = {None: "null"}
_or_null: Final = _NULL.get  # _or_null(value, value): the quickest way to write None in JSON

# Names of network namespaces by inode; None if rows do not tell theirs.
NetnsNames = dict[int, str] | None
Row = Any  # a sink's rendering of a socket before its processes are known; only the sink reads it


class _Column(NamedTuple):
    """A column, and the width that it has at least where there is room; the rest is as in
    :class:`tracer.output.columns.Column`."""

    name: str
    width: int
    rank: int
    least: int = 0
    right: bool = False
    enough: int = 0


_COLUMNS: Final = (
    _Column("PROTO", 5, 6),
    _Column("STATE", 6, 7),
    _Column("RECV-Q", 6, 1, right=True),
    _Column("SEND-Q", 6, 2, right=True),
    _Column("LOCAL", 15, 9, least=15),
    _Column("PEER", 15, 9, least=15),
    _Column("PID", 6, 8, least=11, right=True),  # the longest, and how many more
    _Column("COMM", 10, 0, least=10, enough=15),
    _Column("USER", 4, 3, least=8),
    _Column("NETNS", 5, 4, least=8),
)
_HOLDERS: Final = 3  # that a terminal shows; of the others it has the number


class SocketLines:
    """Writes a line of JSON for each row, its keys always in the same order."""

    def __init__(self, out: Output, name_of: NameOf | None) -> None:
        self._out = out
        self._name_of = name_of

    def row(self, listed: Listed) -> Row:
        """Renders all but the processes, which may still be looked for."""
        sock, extra = listed
        proto, state, recv_q, send_q, src, sport, dst, dport, uid, inode, cookie, *_ = sock
        address = self._named if self._name_of else _address
        return (
            sock.netns,
            f'"proto":"{proto}","state":"{state}",'
            f'"recv_q":{_or_null(recv_q, recv_q)},"send_q":{_or_null(send_q, send_q)},'
            f'"src":{{"addr":{address(src)},"port":{sport or "null"},'
            f'"zone":{_zone(sock.src_zone)}}},'
            f'"dst":{{"addr":{address(dst)},"port":{dport or "null"},'
            f'"zone":{_zone(sock.dst_zone)}}},'
            f'"uid":{_or_null(uid, uid)},"inode":{inode or "null"},'
            f'"cookie":{cookie or "null"},{_extra(extra)}"processes":',
        )

    def write(
        self,
        rows: Sequence[tuple[Row, Processes]],
        before: str = "",
        netns_names: NetnsNames = None,
    ) -> None:
        """Writes the rows; ``before`` is JSON that begins each line."""
        if netns_names is None:
            lines = [f"{{{before}{row}{_processes(who)}}}\n" for (_, row), who in rows]
        else:
            lines = [
                f"{{{before}{row}{_processes(who)},{_netns(inode, netns_names)}}}\n"
                for (inode, row), who in rows
            ]
        self._out("".join(lines))

    def _named(self, addr: str | None) -> str:
        assert self._name_of is not None
        return f'{_address(addr)},"name":{to_json(addr and self._name_of(addr))}'


class Cells(NamedTuple):
    """A row of the table: the socket's network namespace, the cells before the processes, the
    owner, the text at the end."""

    netns: int
    before: tuple[str, ...]
    user: str
    after: str


class SocketTable:
    """A table, aligned by the widest cells of the first rows written. Nothing is cut off, unless a
    terminal has no room for it."""

    def __init__(
        self,
        out: Output,
        *,
        header: bool,
        numbers: bool,
        user_of: Callable[[int], str | None],
        name_of: NameOf | None,
        own_netns: int = 0,
        room: int | None = None,
    ) -> None:
        """``numbers`` adds inode, cookie, uid and the network namespace's inode behind each row.
        ``own_netns`` is shown as ``self`` if it has no name. ``room`` is the terminal's width;
        None: there is none."""
        self._out = out
        self._numbers = numbers
        self._user_of = user_of
        self._name_of = name_of
        self._own_netns = own_netns
        self._header = header
        self._room = room
        self._shown: list[tuple[int, int, bool]] = []  # of each column its place, width and side

    def row(self, listed: Listed) -> Row:
        """Renders all but the processes, which may still be looked for."""
        sock, _ = listed
        return Cells(
            sock.netns,
            (
                sock.proto,
                sock.state,
                _or_dash(sock.recv_q),
                _or_dash(sock.send_q),
                self._end(sock.src, sock.src_zone, sock.sport, sock),
                self._end(sock.dst, sock.dst_zone, sock.dport, sock),
            ),
            "-" if sock.uid is None else self._user_of(sock.uid) or str(sock.uid),
            self._details(listed),
        )

    def write(
        self,
        rows: Sequence[tuple[Row, Processes]],
        before: str = "",
        netns_names: NetnsNames = None,
    ) -> None:
        """Writes the rows; ``before`` begins each line. The first rows decide about widths, and
        whether there is a column NETNS."""
        names = {} if netns_names is None else {self._own_netns: "self", **netns_names}
        limit = None if self._room is None else _HOLDERS
        cells = [
            _safe((*row.before, *_who(by, limit), row.user, names.get(row.netns, str(row.netns))))
            for row, by in rows
        ]
        if not self._shown:
            self._set_widths(cells, len(before), with_netns=netns_names is not None)
            if self._header:
                self._out(" " * len(before) + self._align([one.name for one in _COLUMNS]) + "\n")
        self._out(
            "".join(
                before + f"{self._align(line)} {row.after}".rstrip() + "\n"
                for line, (row, _) in zip(cells, rows, strict=True)
            )
        )

    def _set_widths(self, cells: Sequence[Sequence[str]], indent: int, *, with_netns: bool) -> None:
        columns = _COLUMNS if with_netns else _COLUMNS[:-1]
        widths = {
            one.name: max([one.width, *(width(row[at]) for row in cells)])
            for at, one in enumerate(columns)
        }
        if self._room is not None:
            widths = fitted(columns, widths, self._room - indent)
        self._shown = [
            (at, widths[one.name], one.right)
            for at, one in enumerate(columns)
            if one.name in widths
        ]

    def _align(self, cells: Sequence[str]) -> str:
        aligned = (
            align(self._cut(cells[at], columns, is_list=right), columns, right=right)
            for at, columns, right in self._shown
        )
        return " ".join(aligned).rstrip()

    def _cut(self, cell: str, columns: int, *, is_list: bool) -> str:
        if self._room is None:
            return cell
        return _fewer(cell, columns) if is_list else fit_middle(cell, columns)

    def _details(self, listed: Listed) -> str:
        """Returns ``name:value`` for each detail, with ss's names; a value may have parts."""
        sock = listed.socket
        numbers = {"ino": sock.inode, "sk": sock.cookie, "uid": sock.uid, "netns": sock.netns}
        shown = {**numbers, **listed.extra} if self._numbers else listed.extra
        return " ".join(_detail(name, value) for name, value in shown.items() if value is not None)

    def _end(self, addr: str | None, zone: str | None, port: int | None, sock: Socket) -> str:
        unspecified = "0.0.0.0" if sock.version == 4 else "::"
        shown = addr or unspecified
        name = self._name_of(shown) if self._name_of and addr else None
        with_zone = f"{shown}%{zone}" if zone else shown
        shown = name or (f"[{with_zone}]" if ":" in shown else shown)
        return f"{shown}:{'*' if port is None else port}"


def are_of_others(rows: Iterable[tuple[Row, Processes]], own_netns: int) -> bool:
    """Says whether any row is of another network namespace than our own."""
    return any(row[0] != own_netns for row, _ in rows)


def _netns(inode: int, names: dict[int, str]) -> str:
    return f'"netns":{inode},"netns_name":{to_json(names.get(inode))}'


def _address(addr: str | None) -> str:
    return "null" if addr is None else f'"{addr}"'


def _zone(name: str | None) -> str:
    return "null" if name is None else to_json(name)


def _or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)


def _safe(cells: tuple[str, ...]) -> tuple[str, ...]:
    return cells if is_plain("".join(cells)) else tuple(map(safe, cells))


def _who(processes: Processes, limit: int | None = None) -> tuple[str, str]:
    """Returns pids, and each name once; of more than ``limit`` the number only, if there is a
    limit."""
    if processes is None:
        return "?", "?"
    pids = _joined([str(one.by.pid) for one in processes], limit)
    return pids, _joined([*dict.fromkeys(one.by.comm or "?" for one in processes)], limit)


def _joined(texts: Sequence[str], limit: int | None) -> str:
    limit = len(texts) if limit is None else limit
    return _listed(texts[:limit], max(0, len(texts) - limit)) or "-"


def _fewer(numbers: str, columns: int) -> str:
    """Returns as many of a list's numbers as fit, and how many more there are: half a pid would be
    another's."""
    first, *others = numbers.split(",")
    more = int(others.pop()) if numbers.rpartition(",")[2].startswith("+") else 0
    while others and width(_listed([first, *others], more)) > columns:
        others.pop()
        more += 1
    return _listed([first, *others], more)


def _listed(texts: Sequence[str], more: int) -> str:
    return ",".join([*texts, *([f"+{more}"] if more else [])])


def _processes(processes: Processes) -> str:
    if processes is None:
        return "null"
    shown = [f"{_holder(by)}{'null' if fd is None else fd}}}" for by, fd in processes]
    return f"[{','.join(shown)}]"


@lru_cache(maxsize=4096)
def _holder(holder: Holder) -> str:
    return to_json(holder._asdict())[:-1] + ',"fd":'


def _extra(extra: dict[str, Any]) -> str:
    return to_json(extra)[1:-1] + "," if extra else ""


def _detail(name: str, value: Any) -> str:
    return f"{name}:{safe(_detail_text(value))}"


def _detail_text(value: Any) -> str:
    if isinstance(value, dict):
        known = {part: number for part, number in value.items() if number is not None}
        return f"({','.join(f'{part}:{number}' for part, number in known.items())})"
    if isinstance(value, list):
        return ",".join(_address_text(**entry) for entry in value)
    return str(int(value) if isinstance(value, bool) else value)


def _address_text(addr: str, interface: str | None) -> str:
    return f"{addr}%{interface}" if interface else addr
