# SPDX-License-Identifier: Apache-2.0
"""Renders a listing of sockets as JSON Lines."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from tracer.model.process import Holder
from tracer.model.socket import Listed, Processes
from tracer.output.jsonl import to_json
from tracer.sockets.whose import Programs

Output = Callable[[str], None]
NameOf = Callable[[str], str | None]

_NULL: Final[dict[Any, str]] = {None: "null"}
_or_null: Final = _NULL.get  # _or_null(value, value): the quickest way to write None in JSON

# Names of network namespaces by inode; None if rows do not tell theirs.
NetnsNames = dict[int, str] | None
Row = Any  # a sink's rendering of a socket before its processes are known; only the sink reads it


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
        programs: Programs | None = None,  # noqa: ARG002 (those of a table)
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


def are_of_others(rows: Iterable[tuple[Row, Processes]], own_netns: int) -> bool:
    """Says whether any row is of another network namespace than our own."""
    return any(row[0] != own_netns for row, _ in rows)


def _netns(inode: int, names: dict[int, str]) -> str:
    return f'"netns":{inode},"netns_name":{to_json(names.get(inode))}'


def _address(addr: str | None) -> str:
    return "null" if addr is None else f'"{addr}"'


def _zone(name: str | None) -> str:
    return "null" if name is None else to_json(name)


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
