# SPDX-License-Identifier: Apache-2.0
"""``sockwatch sockets``, on a listing that is made up."""

import gc
import io
import json
import os

import pytest

from tests.samples import SOCKET
from tracer.errors import SockwatchError
from tracer.filter.filters import Filters
from tracer.host.fd_holders import Holders
from tracer.inventory import absence, holders
from tracer.inventory.holders import Join
from tracer.inventory.selection import Selection
from tracer.model.process import Holder
from tracer.sockets import run
from tracer.sockets.run import Options

PLAIN = Options(
    source="auto", json=True, header=True, extended=False, memory=False, info=False,
    exposed=False, resolve=False,
)  # fmt: skip
NOBODY = Holders({}, 0)
LISTENING = SOCKET._replace(state="UNCONN", dst=None, dport=None)


class Out(io.StringIO):
    """Whatever is written to its descriptor."""

    encoding = "utf-8"

    def __init__(self, path):
        super().__init__()
        self._file = path.open("w+b")

    def fileno(self):
        return self._file.fileno()

    @property
    def text(self):
        self._file.seek(0)
        return self._file.read().decode()

    @property
    def rows(self):
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def listed(monkeypatch, tmp_path, capsys):
    """Lists these sockets, with these holders; gives what was written and what was said."""
    monkeypatch.setattr(run.atexit, "register", lambda _: None)
    monkeypatch.setattr(run.dump, "namespaces", lambda *_: {1: None})
    monkeypatch.setattr(absence, "messages", lambda _: ())
    monkeypatch.setattr(holders.exe_view, "holder", lambda pid: Holder(pid, f"comm{pid}", None))

    def list_them(sockets, held=NOBODY, selection=None, **options):
        monkeypatch.setattr(run.dump, "sockets", lambda *_: iter(sockets))
        out = Out(tmp_path / "out")
        run.list_sockets(selection or Selection(), PLAIN._replace(**options), lambda: held, out)
        return out, capsys.readouterr().err

    yield list_them
    gc.enable()


def test_each_with_its_holders(listed):
    registered = SOCKET._replace(inode=78)
    out, said = listed([SOCKET, registered], Holders({77: (9, 3, 12, 4), 78: (9, -1)}, 0))
    first, second = out.rows
    assert [(one["pid"], one["fd"], one["comm"]) for one in first["processes"]] == [
        (9, 3, "comm9"),
        (12, 4, "comm12"),
    ]
    assert [(one["pid"], one["fd"]) for one in second["processes"]] == [(9, None)]
    assert said == ""


def test_a_socket_that_no_descriptor_leads_to_has_holders_that_are_not_known(listed):
    """All processes could be read: it is in flight, in an io_uring, or the kernel's."""
    sockets = [SOCKET, SOCKET._replace(inode=None)]
    out, said = listed(sockets)
    assert [row["processes"] for row in out.rows] == [None, []]
    assert said.startswith("sockwatch: 1 of the sockets have no holder that can be seen")
    assert listed(sockets, json=False)[0].text.splitlines()[1].split()[-3:-1] == ["?", "?"]


def test_a_holder_that_may_be_hidden_is_null(listed):
    sockets = [SOCKET, SOCKET._replace(inode=78), SOCKET._replace(inode=None)]
    out, said = listed(sockets, Holders({77: (9, 3)}, 2))
    (held,), hidden, nobodys = [row["processes"] for row in out.rows]
    assert (held["pid"], hidden, nobodys) == (9, None, [])
    hint = ": run it as root" if os.geteuid() else ""
    assert said == (
        f"sockwatch: 1 of the sockets may be held by processes that cannot be looked into{hint}\n"
    )


def test_only_those_of_a_process(listed):
    of_9 = Selection(filters=Filters(pid=frozenset({9})))
    sockets = [SOCKET, SOCKET._replace(inode=78), SOCKET._replace(inode=79)]
    out, said = listed(sockets, Holders({77: (9, 3), 78: (12, 3)}, 1), of_9)
    assert [row["inode"] for row in out.rows] == [77]
    assert said == ""  # there is one: the others are others'


def test_none_of_a_process_but_some_may_be(listed):
    of_9 = Selection(filters=Filters(pid=frozenset({9})))
    out, said = listed([SOCKET, SOCKET._replace(inode=78)], Holders({78: (12, 3)}, 1), of_9)
    assert out.rows == []
    assert "1 of the sockets may be held by processes that cannot be looked into" in said


def test_nothing_has_its_header(listed):
    out, said = listed([], json=False)
    assert out.text.split() == [
        "PROTO", "STATE", "RECV-Q", "SEND-Q", "LOCAL", "PEER", "PID", "WHO", "USER",
    ]  # fmt: skip
    assert said == ""


def test_a_table_is_as_wide_as_what_is_in_it(listed):
    wide = SOCKET._replace(src="2001:db8:1111:2222:3333:4444:5555:6666", inode=78)
    out, _ = listed([SOCKET, wide], Holders({77: (9, 3)}, 0), json=False)
    header, *rows = out.text.splitlines()
    for row in rows:
        assert row.index("10.0.0.5:53") == header.index("PEER")
    assert "[2001:db8:1111:2222:3333:4444:5555:6666]:40001" in rows[1]


def test_a_table_without_header(listed):
    out, _ = listed([SOCKET], json=False, header=False)
    assert "PROTO" not in out.text
    assert "10.0.0.5:53" in out.text


SEVERAL = [SOCKET._replace(netns=number, inode=70 + number) for number in (1, 2, 3)]


@pytest.fixture
def several(listed, monkeypatch):
    """The second namespace has a name."""
    monkeypatch.setattr(run.dump, "namespaces", lambda *_: {1: None, 2: "/two", 3: "/three"})
    monkeypatch.setattr(run.netns, "names", lambda: {2: "blue"})
    monkeypatch.setattr(run.netns, "own", lambda: 1)
    return listed


def test_namespaces_are_told_apart_where_rows_are_of_several(several):
    rows = several(SEVERAL)[0].rows
    assert [(row["netns"], row["netns_name"]) for row in rows] == [
        (1, None),
        (2, "blue"),
        (3, None),
    ]
    header, *lines = several(SEVERAL, json=False)[0].text.splitlines()
    assert header.split()[-1] == "NETNS"
    assert [line[header.index("NETNS") :] for line in lines] == ["self", "blue", "3"]


def test_namespaces_are_not_told_where_all_rows_are_of_our_own(several):
    own = [SOCKET._replace(netns=1)]
    (row,) = several(own)[0].rows
    assert "netns" not in row
    assert "NETNS" not in several(own, json=False)[0].text


def test_the_only_row_may_be_of_another_namespace(several):
    """Without a word, it would look like one of our own."""
    of_9 = Selection(filters=Filters(pid=frozenset({9})))
    held = Holders({72: (9, 3)}, 0)
    (row,) = several(SEVERAL, held=held, selection=of_9)[0].rows
    assert (row["netns"], row["netns_name"]) == (2, "blue")


def test_extended_tells_the_namespace_always(listed, monkeypatch):
    monkeypatch.setattr(run, "_extended", lambda _: {})
    (row,) = listed([SOCKET], extended=True)[0].rows
    assert (row["netns"], row["netns_name"]) == (SOCKET.netns, None)
    assert f"netns:{SOCKET.netns}" in listed([SOCKET], extended=True, json=False)[0].text


def test_more_than_a_batch_may_be_of_several(several, monkeypatch):
    monkeypatch.setattr(run, "_BATCH", 2)
    sockets = [SOCKET, SOCKET, SOCKET._replace(netns=2)]
    assert [row["netns_name"] for row in several(sockets)[0].rows][2] == "blue"


def test_only_what_is_exposed(listed, monkeypatch):
    reachable = {"0.0.0.0": [{"addr": "10.0.0.1", "interface": "eth0"}], "127.0.0.1": []}

    class Exposure:
        def of(self, sock):
            return reachable[sock.src]

    monkeypatch.setattr(run, "Exposure", Exposure)
    sockets = [LISTENING._replace(src="127.0.0.1"), LISTENING._replace(src="0.0.0.0")]
    (row,) = listed(sockets, exposed=True)[0].rows
    assert row["reachable"] == reachable["0.0.0.0"]


def test_names_are_waited_for(listed, monkeypatch):
    waited = []

    class Names:
        def of(self, addr):
            return f"name-of-{addr}"

        def wait(self, addrs, seconds):
            waited.append((set(addrs), seconds))

    monkeypatch.setattr(run, "Names", Names)
    out, _ = listed([SOCKET, LISTENING._replace(src="0.0.0.0")], resolve=True)
    assert waited[0] == ({"10.0.0.1", "10.0.0.5"}, 2.0)
    assert out.rows[0]["dst"]["name"] == "name-of-10.0.0.5"


def test_many_come_in_batches(listed, monkeypatch):
    monkeypatch.setattr(run, "_BATCH", 3)
    sockets = [SOCKET._replace(inode=number) for number in range(1, 8)]
    out, said = listed(sockets, Holders({}, 1))
    assert [row["inode"] for row in out.rows] == list(range(1, 8))
    assert "7 of the sockets may be held" in said


def test_each_process_is_looked_at_once(monkeypatch):
    looked = []
    monkeypatch.setattr(
        holders.exe_view, "holder", lambda pid: looked.append(pid) or Holder(pid, "", "")
    )
    join = Join(Selection(), Holders({77: (9, 3), 78: (9, 4)}, 0))
    assert [held.fd for inode in (77, 78) for held in join.holders(inode)] == [3, 4]
    assert looked == [9]


def test_a_cgroup_namespace_is_said(listed, monkeypatch):
    monkeypatch.setattr(run.cgroup, "is_private", lambda: True)
    of_unit = Selection(filters=Filters(unit=frozenset({"x.service"})))
    assert "a cgroup namespace of its own" in listed([], selection=of_unit)[1]
    assert listed([])[1] == ""


def test_an_output_that_cannot_be_written_is_an_error(monkeypatch):
    monkeypatch.setattr(run.atexit, "register", lambda _: None)
    monkeypatch.setattr(run.dump, "namespaces", lambda *_: {1: None})
    monkeypatch.setattr(run.dump, "sockets", lambda *_: iter([SOCKET]))
    with open("/dev/full", "w") as full, pytest.raises(SockwatchError, match="No space left"):
        run.list_sockets(Selection(), PLAIN, lambda: Holders({}, 0), full)
    gc.enable()
