# SPDX-License-Identifier: Apache-2.0
"""One run of ``sockwatch sockets``: what is open now, and who holds it."""

import atexit
import gc
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple, TextIO

from tracer.filter.filters import Filters
from tracer.host import cgroup, netns, procfs
from tracer.host.fd_holders import Holders
from tracer.host.netlink import details
from tracer.host.resolver import Names
from tracer.inventory import dump, interfaces
from tracer.inventory.exposure import Exposure
from tracer.inventory.holders import Join
from tracer.inventory.selection import Selection
from tracer.model.socket import UNSPECIFIED, Listed, Socket
from tracer.output.stdout import Screen, fail
from tracer.output.terminal import columns_of
from tracer.sockets import render
from tracer.sockets.render import Output, Row, SocketLines
from tracer.sockets.table import SocketTable
from tracer.sockets.whose import Programs
from tracer.warn import warn

_BATCH: Final = 1 << 16  # sockets held at once; the first are read while holders are looked for
_PATIENCE: Final = 2.0  # seconds that the lookup of a batch's names may take


class Options(NamedTuple):
    """What the user asked for, besides which sockets."""

    source: dump.Source
    json: bool
    header: bool
    extended: bool
    memory: bool
    info: bool
    exposed: bool
    resolve: bool


def list_sockets(
    selection: Selection, options: Options, held_by: Callable[[], Holders], out: TextIO
) -> None:
    """Writes a line for each socket to ``out``; ``held_by`` waits for the holders. Raises
    SockwatchError."""
    gc.disable()  # saves a fifth of the time: a listing ends soon and makes no cycles
    atexit.register(gc.freeze)  # nor are objects collected at exit
    warn_of_filters(selection.filters)
    names = Names() if options.resolve else None
    sink = sink_of(options, Screen(out, fail).write, names)
    where = dump.namespaces(selection.filters.netns, warn)
    found = selected(selection, options, where, warn)
    programs = Programs(selection.process_of)
    join = netns_names = None
    while rows := _rows(itertools.islice(found, _BATCH), sink, names):
        first, join = join is None, join or Join(selection, held_by())
        shown = list(join.rows(rows))
        if first:
            others = len(where) > 1 and (
                len(rows) == _BATCH or render.are_of_others(shown, netns.own())
            )
            netns_names = netns_names_of(options, others=others)
        sink.write(shown, "", netns_names, programs)
    if join is None:
        sink.write([])  # so that a table has its header
    else:
        _warn_of_hidden(join)


def netns_names_of(options: Options, *, others: bool) -> dict[int, str] | None:
    """Returns the names of network namespaces, by inode; None if namespaces are not shown."""
    return netns.names() if others or (options.json and options.extended) else None


def warn_of_filters(filters: Filters) -> None:
    """Warns of filters that leave out too much, or name what does not exist now."""
    if filters.by_cgroup and cgroup.is_private():
        warn(cgroup.PRIVATE)
    if filters.pid or filters.by_process:
        from tracer.inventory import absence  # noqa: PLC0415 (a listing is quicker without it)

        for message in absence.messages(filters):
            warn(message)
    interfaces.warn_of_missing(filters, warn)


def _rows(
    batch: Iterable[Listed], sink: SocketLines | SocketTable, names: Names | None
) -> list[tuple[int | None, Row]]:
    """Returns each socket's inode and rendered row: all that is kept until the holders are
    known."""
    if names:
        batch = list(batch)
        names.wait(_addresses(batch), _PATIENCE)
    return [(listed.socket.inode, sink.row(listed)) for listed in batch]


def _warn_of_hidden(join: Join) -> None:
    """Warns when holders are not known, or when sockets may be hidden from the process filter for
    that reason."""
    number = join.unknown or (0 if join.taken else join.left_out)
    if not number:
        return
    if join.unreadable:
        hint = ": run it as root" if os.geteuid() else ""
        warn(f"{number} of the sockets may be held by processes that cannot be looked into{hint}")
    elif not join.unknown:
        warn(f"{number} sockets are left out: it is not known whether the filter asks for them")
    else:
        warn(
            f"{number} of the sockets have no holder that can be seen: they are the kernel's own, "
            "an io_uring's, or on their way to another process"
        )


def _addresses(batch: Iterable[Listed]) -> set[str]:
    ends = itertools.chain.from_iterable((one.socket.src, one.socket.dst) for one in batch)
    return {addr for addr in ends if addr is not None and addr not in UNSPECIFIED}


def sink_of(options: Options, out: Output, names: Names | None) -> SocketLines | SocketTable:
    """Returns the sink that the user asked for."""
    name_of = names.of if names else None
    if options.json:
        return SocketLines(out, name_of)
    return SocketTable(
        out,
        header=options.header,
        numbers=options.extended,
        own_netns=netns.own(),
        user_of=procfs.user_name,
        name_of=name_of,
        room=columns_of(sys.stdout),
    )


def selected(
    selection: Selection, options: Options, where: dump.Where, warn: Callable[[str], None]
) -> Iterator[Listed]:
    """Yields the selected sockets, before the process filter; ``warn`` is told what could not be
    read. Raises SockwatchError."""
    extensions = details.MEMORY * options.memory | details.TCP_INFO * options.info
    extra = _extra_of(options)
    for sock in dump.sockets(selection, where, options.source, warn, extensions):
        listed = Listed(sock, extra(sock) if extra else {})
        if not options.exposed or listed.extra["reachable"]:
            yield listed


def _extra_of(options: Options) -> Callable[[Socket], dict[str, Any]] | None:
    """Returns what finds a socket's details beyond its row; None if none were asked for."""
    parts: list[Callable[[Socket], dict[str, Any]]] = []
    if options.extended:
        parts.append(_extended)
    if options.memory:
        parts.append(lambda sock: {"memory": details.memory(sock.details)})
    if options.info:
        parts.append(lambda sock: {"tcp": details.tcp_info(sock.details)})
    if options.exposed:
        exposure = Exposure()
        parts.append(lambda sock: {"reachable": exposure.of(sock)})
    if not parts:
        return None
    return lambda sock: {name: value for part in parts for name, value in part(sock).items()}


def _extended(sock: Socket) -> dict[str, Any]:
    number = details.cgroup_id(sock.details)
    return {
        "cgroup": None if number is None else cgroup.path(number),
        "mark": details.mark(sock.details),
        "v6only": details.v6only(sock.details) if sock.version == 6 and sock.details else None,
        "interface": netns.interface(sock.ifindex),
    }
