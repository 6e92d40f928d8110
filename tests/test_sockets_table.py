# SPDX-License-Identifier: Apache-2.0
"""The table of sockets at each width."""

import re

import pytest

from tests import golden
from tests.samples import SOCKET
from tracer.model.process import Holder
from tracer.model.socket import Held, Listed
from tracer.printable import width
from tracer.sockets.render import SocketTable

V6 = "2001:db8:1111:2222:3333:4444:5555:6666"
USERS = {0: "root", 1000: "systemd-timesync", 1001: "文書"}


def holders(number, comm="systemd-resol"):
    found = (Holder(4194000 + at, f"{comm}{at % 7}", None) for at in range(number))
    return tuple(Held(one, 3) for one in found)


ROWS = (
    (SOCKET, holders(1, "nginx")),
    (SOCKET._replace(state="LISTEN", dst=None, dport=None, uid=0), holders(40)),
    (SOCKET._replace(proto="tcp", src=V6, dst=V6, version=6, sport=65535, dport=65535), holders(3)),
    (SOCKET._replace(uid=1001, recv_q=None, netns=2), None),
    (SOCKET._replace(uid=None), ()),
)


def table(room, **more):
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
    made.write([(made.row(Listed(sock, {})), who) for sock, who in ROWS], **more)
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
    assert ",+37" in table(200)


@pytest.mark.parametrize("room", range(60, 260, 7))
def test_no_pid_is_cut(room):
    text = table(room)
    if " PID " in text:
        assert "4194000,+39 " in text or "4194000,4194001,+38 " in text or ",4194002,+37 " in text
    assert not re.search("41?9?…", text)
