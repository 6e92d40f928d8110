# SPDX-License-Identifier: Apache-2.0
"""The table of sockets: the columns that ss has, and who holds each."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from tracer.model.process import Holder
from tracer.model.socket import Listed, Processes, Socket
from tracer.model.who import Who
from tracer.output.columns import fitted
from tracer.output.terminal import align, fit_middle, wrap
from tracer.output.who_cell import IN_FILE, fit_programs, list_programs
from tracer.printable import is_plain, safe, width
from tracer.sockets.render import NameOf, NetnsNames, Output, Row
from tracer.sockets.whose import Programs

# What a table says of holders: pids and WHO, each as a whole, and the programs that it fits to WHO.
Whose = tuple[str, str, tuple[Who, ...]]
_NOT_KNOWN: Final[Whose] = ("?", "?", ())
_NOBODY: Final[Whose] = ("-", "-", ())


class _Column(NamedTuple):
    """A column, and the width that it has at least where there is room; the rest is as in
    :class:`tracer.output.columns.Column`."""

    name: str
    width: int
    rank: int
    least: int = 0
    right: bool = False
    enough: int = 0


_WHO: Final = "WHO"
_COLUMNS: Final = (
    _Column("PROTO", 5, 7),
    _Column("STATE", 6, 6),
    _Column("RECV-Q", 6, 1, right=True),
    _Column("SEND-Q", 6, 2, right=True),
    _Column("LOCAL", 15, 9, least=15),
    _Column("PEER", 15, 9, least=15),
    _Column("PID", 6, 8, least=11, right=True),  # the longest, and how many more
    _Column(_WHO, 10, 0, least=17, enough=56),
    _Column("USER", 4, 3, least=8),
    _Column("NETNS", 5, 4, least=8),
)
# the cells of a row; WHO, which is safe already, is the last one
_CELLS: Final = (*(one.name for one in _COLUMNS if one.name != _WHO), _WHO)
# What they take, as far as there is room, where no row has been seen yet.
_UNSEEN: Final = {"LOCAL": 47, "PEER": 47, "PID": 7, _WHO: 100, "USER": 8, "NETNS": 12}
_HOLDERS: Final = 3  # that a terminal shows; of the others it has the number
_WHOLE: Final = 1 << 16  # columns: what is written there is not cut
# How many columns WHO has, if that costs no other column above a rank: of the queues, of the owner
# and the namespace.
_MORE: Final = ((36, 2), (23, 5))
_INDENT: Final = "  "  # of details that stand below their row


class Cells(NamedTuple):
    """A row of the table: the socket's network namespace, the cells before the processes, the
    owner, the text at the end."""

    netns: int
    before: tuple[str, ...]
    user: str
    after: str


class SocketTable:
    """A table, aligned by the widest cells of the first rows written. Nothing but long commands is
    cut off, unless a terminal has no room for it."""

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
        self._shown: list[tuple[int, int, _Column]] = []  # of each its place and width

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
        programs: Programs | None = None,
    ) -> None:
        """Writes the rows; ``before`` begins each line, and ``programs`` names the holders. The
        first rows decide about widths, and whether there is a column NETNS."""
        names = {} if netns_names is None else {self._own_netns: "self", **netns_names}
        named_by = programs or Programs(lambda _: None)
        cells, whose = [], []
        for row, by in rows:
            pids, who, of = self._whose(by, named_by)
            whose.append(of)
            netns = names.get(row.netns) or str(row.netns)
            cells.append((*_safe((*row.before, pids, row.user, netns)), who))
        if not self._shown:
            self._set_widths(cells, len(before), with_netns=netns_names is not None)
            if self._header:
                self._out(f"{' ' * len(before)}{self._align(_CELLS, ())}\n")
        lines = (
            self._with_details(f"{before}{self._align(line, of)}", row.after)
            for line, of, (row, _) in zip(cells, whose, rows, strict=True)
        )
        self._out("".join(lines))

    def _whose(self, processes: Processes, programs: Programs) -> Whose:
        """Returns what the table says of a socket's holders."""
        if not processes:
            return _NOT_KNOWN if processes is None else _NOBODY
        holders = tuple([one.by for one in processes])
        known = programs.shown.get(holders)
        if known is None:
            known = programs.shown[holders] = self._said(holders, programs.of(holders))
        return known

    def _said(self, holders: tuple[Holder, ...], programs: tuple[Who, ...]) -> Whose:
        pids = [str(holder.pid) for holder in holders]
        if self._room is None:
            return ",".join(pids), list_programs(programs, IN_FILE), programs
        text = list_programs(programs, _WHOLE, _HOLDERS)
        return _listed(pids[:_HOLDERS], max(0, len(pids) - _HOLDERS)), text, programs

    def _set_widths(self, cells: Sequence[Sequence[str]], indent: int, *, with_netns: bool) -> None:
        columns = _COLUMNS if with_netns else _COLUMNS[:-1]
        places = {one: _CELLS.index(one.name) for one in columns}
        widths = {
            one.name: max([one.width, *(width(row[at]) for row in cells)])
            for one, at in places.items()
        }
        if self._room is not None:
            if not cells and indent:  # they come one by one
                widths |= {name: _UNSEEN[name] for name in widths.keys() & _UNSEEN}
            widths = _fitted(columns, widths, self._room - indent)
        self._shown = [
            (at, widths[one.name], one) for one, at in places.items() if one.name in widths
        ]

    def _align(self, cells: Sequence[str], programs: tuple[Who, ...]) -> str:
        shown = cells if self._room is None else self._cut(cells, programs)
        aligned = [align(shown[at], columns, right=one.right) for at, columns, one in self._shown]
        return " ".join(aligned).rstrip()

    def _cut(self, cells: Sequence[str], programs: tuple[Who, ...]) -> Sequence[str]:
        cut = list(cells)
        for at, columns, one in self._shown:
            if width(cells[at]) <= columns:
                continue
            if one.name == _WHO and programs:
                cut[at] = _fitting(programs, columns)
            else:
                cut[at] = (_fewer if one.right else fit_middle)(cells[at], columns)
        return cut

    def _with_details(self, line: str, details: str) -> str:
        """Returns the line with the details behind it, or below it where they do not fit."""
        whole = f"{line} {details}".rstrip()
        if self._room is None or width(whole) <= self._room:
            return f"{whole}\n"
        below = wrap(details, self._room, _INDENT)
        return "".join(f"{part}\n" for part in (line, *below))

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


def _fitted(columns: Sequence[_Column], natural: dict[str, int], room: int) -> dict[str, int]:
    """Returns the widths of the columns that are shown. Others give way to WHO, first the queues,
    but not what the socket is."""
    for least, rank in _MORE:
        with_more = [one._replace(least=least) if one.name == _WHO else one for one in columns]
        widths = fitted(with_more, natural, room)
        if all(one.name in widths for one in columns if one.rank > rank):
            return widths
    return fitted(columns, natural, room)


def _or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)


def _safe(cells: tuple[str, ...]) -> tuple[str, ...]:
    return cells if is_plain("".join(cells)) else tuple(map(safe, cells))


@lru_cache(maxsize=4096)
def _fitting(programs: tuple[Who, ...], columns: int) -> str:
    return fit_programs(programs, _HOLDERS, columns)


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
