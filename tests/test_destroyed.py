# SPDX-License-Identifier: Apache-2.0
"""Sockets that are destroyed, and what was known of them, where the kernel is made up."""

import errno

import pytest

from tests.samples import SOCKET, process
from tests.test_sockets_run import PLAIN
from tracer.clock import WallClock
from tracer.filter.filters import Filters
from tracer.host.fd_holders import Holders
from tracer.inventory.selection import Selection
from tracer.model.process import Holder
from tracer.model.socket import Held, Listed
from tracer.sockets import destroyed
from tracer.sockets.render import SocketLines
from tracer.sockets.table import SocketTable

GONE = SOCKET._replace(uid=None, inode=None, recv_q=None, send_q=None)
HELD = (Held(Holder(9, "comm9", None), 3),)


class Known:
    """Looks at sockets that are made up; a look takes some time."""

    def __init__(self, monkeypatch):
        self.now, self.takes = 100.0, 0.1
        self.sockets, self.holders = [SOCKET], Holders({77: (9, 3)}, 0)
        self.looks, self.warnings = 0, []
        monkeypatch.setattr(destroyed.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(destroyed.run, "selected", self._selected)
        monkeypatch.setattr(
            "tracer.inventory.holders.exe_view.holder", lambda pid: Holder(pid, f"comm{pid}", None)
        )
        monkeypatch.setattr(destroyed, "describer", lambda: dict(self.processes).get)
        self.processes = {9: process(pid=9)}
        monkeypatch.setattr(destroyed, "warn", self.warnings.append)
        self.known = destroyed._Known(PLAIN, lambda _: {1: None}, by_process=True)

    def _selected(self, _selection, _options, _where, warn):
        self.looks += 1
        warn("one cannot be entered")
        self.now += self.takes
        yield from (Listed(sock, {"netns": 1}) for sock in self.sockets)

    def look(self, after=1000.0):
        self.now += after
        self.known.look(lambda: self.holders)


@pytest.fixture
def machine(monkeypatch):
    return Known(monkeypatch)


def test_what_was_seen_of_it(machine):
    machine.look()
    listed, processes, _ = machine.known.of(GONE)
    assert (listed.socket.uid, listed.socket.inode, listed.extra) == (1000, 77, {"netns": 1})
    assert (listed.socket.recv_q, processes) == (None, HELD)


def test_one_that_was_never_seen(machine):
    machine.look()
    listed, processes, _ = machine.known.of(GONE._replace(cookie=99))
    assert (listed.socket.inode, listed.extra, processes) == (None, {}, None)


def test_one_that_the_last_look_did_not_see_any_more(machine):
    machine.look()
    machine.sockets = []
    machine.look()
    assert machine.known.of(GONE)[1] == HELD
    machine.look()
    assert machine.known.of(GONE)[1] is None


def test_holders_are_described_as_they_were_when_it_was_seen(machine):
    """A process that ends closes its sockets: nobody can be asked for it then."""
    machine.look()
    machine.processes = {}
    seen = machine.known.of(GONE)
    of_dig, of_curl = (
        Selection(filters=Filters(exe=frozenset({exe}))) for exe in ("/usr/bin/dig", "/bin/curl")
    )
    assert destroyed._takes(of_dig, seen)
    assert not destroyed._takes(of_curl, seen)
    assert list(map(str, seen.programs.of((HELD[0].by,)))) == ["dig @10.0.0.5 x"]


def test_one_that_its_process_has_closed_has_the_holders_from_before(machine):
    machine.look()
    machine.sockets, machine.holders = [SOCKET._replace(inode=None)], Holders({}, 0)
    machine.look()
    machine.look()
    assert machine.known.of(GONE)[1] == HELD


def test_looks_take_a_twentieth_of_the_time(machine):
    machine.look()
    machine.look(after=1.9)
    assert machine.looks == 1
    machine.look(after=0.2)
    assert machine.looks == 2
    assert machine.known.look(lambda: machine.holders) is False
    assert machine.known.look(lambda: machine.holders, at_once=True)
    assert machine.looks == 3


def test_what_cannot_be_looked_into_is_said_once(machine):
    machine.look()
    machine.look()
    assert machine.warnings == ["one cannot be entered"]


def test_faster_than_they_can_be_read(monkeypatch, machine):
    def too_many(*_):
        yield SOCKET
        raise OSError(errno.ENOBUFS, "")

    monkeypatch.setattr(destroyed.sock_diag, "destroyed", too_many)
    assert list(destroyed._destroyed(None, 1)) == [SOCKET]
    (said,) = machine.warnings
    assert said.startswith("sockets are destroyed faster than they can be read")


def test_another_error_is_one(monkeypatch):
    def fails(*_):
        raise OSError(errno.EIO, "")
        yield

    monkeypatch.setattr(destroyed.sock_diag, "destroyed", fails)
    with pytest.raises(OSError):  # noqa: PT011  that one
        list(destroyed._destroyed(None, 1))


def test_when_it_was():
    clock = WallClock()
    table = SocketTable(None, header=True, numbers=False, user_of=None, name_of=None)
    assert destroyed._before(SocketLines(None, None), clock).endswith('Z","event":"destroyed",')
    assert len(destroyed._before(table, clock)) == len("17:00:00.123 ")
