# SPDX-License-Identifier: Apache-2.0
"""The table of sockets at each width."""

import re

import pytest

from tests import golden
from tests.samples import SOCKET, process
from tracer.model.process import Holder, Parent
from tracer.model.socket import Held, Listed
from tracer.printable import width
from tracer.sockets.table import SocketTable
from tracer.sockets.whose import Programs

V6 = "2001:db8:1111:2222:3333:4444:5555:6666"
USERS = {0: "root", 1000: "systemd-timesync", 1001: "文書"}
FIRST = 4194000


def holders(number, first=FIRST):
    found = (Holder(first + at, f"comm{at % 7}", None) for at in range(number))
    return tuple(Held(one, 3) for one in found)


def query(pid, unit):
    script = ("python3", "/opt/query.py", "--host", "db")
    return process(
        pid=pid,
        comm="query.py",
        exe="/usr/bin/python3.11",
        args=(*script, f"--worker={pid}", "--verbose"),
        parents=(Parent(9, "cronjob.sh", "/bin/sh", script="/opt/cronjob.sh"),),
        units=(unit,),
    )


PROCESSES = {
    1: process(pid=1, comm="systemd", exe="/usr/lib/systemd/systemd", args=("/sbin/init",)),
    2: process(pid=2, comm="cupsd", exe="/usr/sbin/cupsd", args=None, units=("cups.service",)),
    3: process(pid=3, comm="文書", exe=None, args=("文書", "\x1b[2J")),
    4: process(pid=4, comm="sh", exe="/bin/sh", args=("sh", "-c", "x" * 300)),
    **{FIRST + at: query(FIRST + at, f"cron{at % 5}.service") for at in range(100)},
}
ROWS = (
    (SOCKET, holders(1)),
    (SOCKET._replace(state="LISTEN", dst=None, dport=None, uid=0), holders(40)),
    (SOCKET._replace(state="LISTEN", dst=None, dport=None, uid=0), holders(2, first=1)),
    (SOCKET._replace(proto="tcp", src=V6, dst=V6, version=6, sport=65535, dport=65535), holders(3)),
    (SOCKET._replace(uid=1001, recv_q=None, netns=2), None),
    (SOCKET._replace(uid=None), ()),
    (SOCKET, holders(1, first=3)),
    (SOCKET, holders(1, first=4)),
    (SOCKET, holders(1, first=5)),
)


def table(room, rows=ROWS, **more):
    out = []
    made = SocketTable(
        out.append,
        header=True,
        numbers=False,
        user_of=USERS.get,
        name_of=None,
        own_netns=1,
        room=room,
    )
    found = [(made.row(Listed(sock, {})), who) for sock, who in rows]
    made.write(found, programs=Programs(PROCESSES.get), **more)
    return "".join(out)


@pytest.mark.parametrize("room", [80, 100, 200, None])
def test_the_table_at_each_width(room):
    text = table(room, netns_names={2: "a-container-of-mine"})
    assert max(map(width, text.splitlines())) <= (room or 1000)
    assert golden.same(text, f"sockets-{room or 'file'}.txt")


@pytest.mark.parametrize("room", range(60, 260, 7))
def test_no_line_wraps(room):
    assert max(map(width, table(room).splitlines())) <= room
    assert max(map(width, table(room, before="12:00:00 ").splitlines())) <= room


def test_in_a_file_all_holders_are_there():
    assert "+" not in table(None)
    assert "4194039" in table(None)
    assert ",+37" in table(250)


@pytest.mark.parametrize("room", range(60, 260, 7))
def test_no_pid_is_cut(room):
    text = table(room, ROWS[:6])
    if " PID " in text:
        assert "4194000,+39 " in text or "4194000,4194001,+38 " in text or ",4194002,+37 " in text
    assert not re.search("41?9?…", text)


def who_of(*pids, comm="gone"):
    return Programs(PROCESSES.get).of(tuple(Holder(pid, comm, None) for pid in pids))


def test_holders_in_one_role_are_one_program():
    (who,) = who_of(FIRST, FIRST + 5)
    assert str(who) == "python3 query.py --host db … ← cronjob.sh [cron0.service]"
    assert len(who_of(FIRST, FIRST + 1)) == 2


def test_what_init_has_opened_for_another_is_the_others():
    assert list(map(str, who_of(1, 2))) == ["cupsd [cups.service]", "systemd"]
    assert list(map(str, who_of(1))) == ["systemd"]


def test_workers_of_a_holder_are_none_by_themselves():
    nginx = process(pid=10, exe="/usr/sbin/nginx", args=("nginx: master process",))
    worker = process(
        pid=2,
        exe="/usr/sbin/nginx",
        args=("nginx: worker process",),
        user="www-data",
        parents=(Parent(10, "nginx", "/usr/sbin/nginx"),),
    )
    logger = worker._replace(pid=3, exe="/usr/bin/logger", args=("logger",))
    both = (Holder(10, "", None), Holder(2, "", None), Holder(3, "", None))
    named = Programs({10: nginx, 2: worker, 3: logger}.get).of
    assert list(map(str, named(both))) == ["'nginx: master process'", "logger ← nginx"]
    assert list(map(str, named(both[1:2]))) == ["'nginx: worker process' ← nginx"]


def test_who_is_gone_has_its_name_only():
    assert list(map(str, who_of(1, 5, 6))) == ["systemd", "gone"]
    assert list(map(str, who_of(5, comm="a ← b"))) == ["'a ← b'"]
    assert list(map(str, who_of(5, comm=None))) == ["?"]


def test_without_anybody_who_describes_processes_there_are_names():
    out = []
    made = SocketTable(out.append, header=False, numbers=False, user_of=USERS.get, name_of=None)
    made.write([(made.row(Listed(SOCKET, {})), holders(2))])
    assert f"{FIRST},{FIRST + 1} comm0; comm1 " in out[0]


def test_each_process_is_looked_at_once():
    looked = []
    process_of = describer_of(looked)
    out = []
    made = SocketTable(out.append, header=False, numbers=False, user_of=USERS.get, name_of=None)
    rows = [(made.row(Listed(SOCKET, {})), holders(2))] * 3
    made.write(rows, programs=Programs(process_of))
    assert looked == [FIRST, FIRST + 1]


def describer_of(looked):
    def process_of(pid):
        looked.append(pid)
        return PROCESSES[pid]

    return process_of


TCP = {"congestion": "cubic", "rto_us": 204000, "mss": 1448, "rtt_us": 34, "rttvar_us": 17}
DETAILS = {"cgroup": "/a,b/" + "c" * 90, "tcp": {**TCP, "ssthresh": None, "cwnd": 10}}


@pytest.mark.parametrize("room", [20, 60, 80, 100])
def test_details_are_below_their_row_where_it_has_no_room(room):
    row, *below = with_details(room).splitlines()
    assert max(map(width, (row, *below))) <= room
    whole = with_details(None)
    assert "".join(below).replace(" ", "") == whole[whole.index("cgroup:") :].replace(" ", "")[:-1]


def test_details_break_behind_commas():
    assert with_details(60).splitlines()[-1] == (
        "  rto_us:204000,mss:1448,rtt_us:34,rttvar_us:17,cwnd:10)"
    )


@pytest.mark.parametrize("room", [300, None])
def test_details_are_behind_their_row_where_it_has_room(room):
    (line,) = with_details(room).splitlines()
    assert line.endswith(",rttvar_us:17,cwnd:10)")


def with_details(room):
    out = []
    made = SocketTable(
        out.append, header=False, numbers=False, user_of=USERS.get, name_of=None, room=room
    )
    made.write([(made.row(Listed(SOCKET, DETAILS)), ())])
    return "".join(out)


def test_where_rows_come_one_by_one_the_terminal_is_filled():
    out = []
    made = SocketTable(
        out.append, header=True, numbers=False, user_of=USERS.get, name_of=None, room=240
    )
    made.write([], "12:00:00.123 ")
    sock = SOCKET._replace(src=V6, dst=None, dport=None, version=6)
    made.write(
        [(made.row(Listed(sock, {})), holders(1))], "12:00:00.123 ", None, Programs(PROCESSES.get)
    )
    header, row = "".join(out).splitlines()
    assert f"[{V6}]" in row
    assert row[header.index("WHO") :].startswith("python3 query.py --host db --w")
    assert width(row) <= 240
