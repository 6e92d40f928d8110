# SPDX-License-Identifier: Apache-2.0
"""One run of ``sockwatch sockets --watch``: shows the sockets that are destroyed, as it happens.

Netlink announces nothing else, and does so when owner and holders are gone already. So existing
sockets are listed again and again, and what was last seen of them is shown.
"""

import contextlib
import errno
import itertools
import selectors
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final, NamedTuple, TextIO

from tracer.clock import WallClock, boot_now
from tracer.filter.parse import NetnsPlace
from tracer.host import fd_holders
from tracer.host.fd_holders import Holders
from tracer.host.netlink import sock_diag
from tracer.host.resolver import Names
from tracer.inventory import dump
from tracer.inventory.holders import Join
from tracer.inventory.selection import Selection
from tracer.model.socket import Listed, Processes, Socket
from tracer.output.stream import PATIENCE
from tracer.sockets import run
from tracer.sockets.heard import Heard
from tracer.sockets.render import SocketLines
from tracer.sockets.run import Options
from tracer.sockets.whose import Programs, describer
from tracer.trace import screen
from tracer.trace.stop import Stop
from tracer.warn import warn


class _Seen(NamedTuple):
    """What was seen of a socket; ``programs`` describes its holders as they were then."""

    listed: Listed
    processes: Processes
    programs: Programs


_TICK: Final = 0.2  # seconds between checks whether to stop
_REST: Final = 20  # pause between listings of existing sockets, in multiples of a listing's time


def watch(
    selection: Selection,
    options: Options,
    places: Collection[NetnsPlace],
    held_by: Callable[[], Holders],
    out: TextIO,
) -> None:
    """Writes a line for each socket that is destroyed, until it is told to stop; ``places`` are the
    namespaces that are asked for, none: all. ``held_by`` waits for the first search for holders.
    Raises SockwatchError."""
    clock, messages = WallClock(), screen.stderr()
    shown = screen.stdout_of(out, clock, warn, json=options.json)
    stop = Stop(shown)
    run.warn_of_filters(selection.filters)
    sink = run.sink_of(options, shown.write, Names() if options.resolve else None)
    with contextlib.ExitStack() as cleanup:
        selector = cleanup.enter_context(selectors.DefaultSelector())
        heard = Heard(places, selector, lambda change: warn(str(change)))
        cleanup.callback(heard.close)
        by_process = selection.filters.by_process or not options.json
        known = _Known(options, heard.namespaces, by_process=by_process)
        known.look(held_by)
        others = not places or len(selector.get_map()) > 1
        names = run.netns_names_of(options, others=others)
        sink.write([], _before(sink, clock), names)
        while not stop():
            for key, _ in selector.select(0 if shown.pending else _TICK):
                gone = filter(selection.takes, _destroyed(key.fileobj, key.data))
                chosen = [one for one in map(known.of, gone) if _takes(selection, one)]
                for programs, seen in itertools.groupby(chosen, lambda one: one.programs):
                    rows = [(sink.row(one.listed), one.processes) for one in seen]
                    sink.write(rows, _before(sink, clock), names, programs)
            heard.let_go()
            if known.look(at_once=heard.has_changed()):
                names = run.netns_names_of(options, others=others)
            if shown.pending or messages.pending:
                screen.pause(_TICK / 10, shown, messages)
        shown.finish(PATIENCE / 2)
        messages.finish(PATIENCE / 2)


def _takes(selection: Selection, seen: _Seen) -> bool | None:
    return selection.takes_holders(seen.processes, seen.programs.process_of)


def _destroyed(sock: Any, netns: int) -> Iterator[Socket]:
    try:
        yield from sock_diag.destroyed(sock, netns)
    except OSError as error:
        if error.errno != errno.ENOBUFS:
            raise
        warn("sockets are destroyed faster than they can be read: some are missing")


def _before(sink: object, clock: WallClock) -> str:
    """Returns the beginning of a line, which says when."""
    now = boot_now()
    clock.measure()
    if isinstance(sink, SocketLines):
        return f'"time":"{clock.iso(now)}","event":"destroyed",'
    return f"{clock.local(now)} "


class _Known:
    """What was last seen of each socket, by cookie."""

    def __init__(
        self,
        options: Options,
        namespaces: Callable[[Callable[[str], None]], dump.Where],
        *,
        by_process: bool,
    ) -> None:
        """``namespaces`` finds those to look into, and tells what it is given what it cannot;
        ``by_process``: holders are described."""
        self._everything = Selection()
        self._options = options
        self._namespaces = namespaces
        self._by_process = by_process
        self._rows: dict[int | None, _Seen] = {}
        self._before: dict[int | None, _Seen] = {}
        self._next = 0.0
        self._warn: Callable[[str], None] = warn

    def look(
        self, held_by: Callable[[], Holders] = fd_holders.find, *, at_once: bool = False
    ) -> bool:
        """Lists the sockets again, unless it did so a moment ago and need not ``at_once``. Returns
        whether it did."""
        started = time.monotonic()
        if started < self._next and not at_once:
            return False
        rows: dict[int | None, _Seen] = {}
        join = Join(self._everything, held_by())
        programs = Programs(describer() if self._by_process else lambda _: None)
        where = self._namespaces(self._warn)
        for listed in run.selected(self._everything, self._options, where, self._warn):
            inode, cookie = listed.socket.inode, listed.socket.cookie
            seen = _Seen(listed, join.holders(inode), programs)
            for one in seen.processes or ():  # it may end before the socket does
                programs.process_of(one.by.pid)
            # a socket that its process has closed shows no holders any more: keep the last ones
            rows[cookie] = seen if inode else self._rows.get(cookie, seen)
        self._before, self._rows = self._rows, rows
        self._warn = _no_warning  # warns only once
        self._next = time.monotonic() + _REST * (time.monotonic() - started)
        return True

    def of(self, sock: Socket) -> _Seen:
        """Returns a destroyed socket with what is known of it."""
        gone = sock._replace(recv_q=None, send_q=None)
        row = self._rows.get(sock.cookie) or self._before.get(sock.cookie)
        if row is None:
            return _Seen(Listed(gone, {}), None, Programs(lambda _: None))
        seen, extra = row.listed
        gone = gone._replace(uid=seen.uid, inode=seen.inode)
        return row._replace(listed=Listed(gone, extra))


def _no_warning(_message: str) -> None:
    """Drops a warning: it was given before."""
