# SPDX-License-Identifier: Apache-2.0
"""What is new, and the command that is run for it."""

from ipaddress import ip_address

import pytest

from tests.native.conftest import wait_for
from tests.samples import event, flow, process
from tracer.errors import SockwatchError
from tracer.live import runner
from tracer.live.news import News, pair_of
from tracer.live.runner import Runner
from tracer.model.flow import Endpoint, Via
from tracer.report import known as report_known
from tracer.report.files import Files
from tracer.report.known import known


def to(port, addr="10.0.0.5", **changes):
    return flow(dst=Endpoint(ip_address(addr), port), **changes)


class Shown(list):
    def write(self, events):
        self.extend(one.tracked.flow for one in events)


def shown_of(*flows, known=frozenset()):
    shown = Shown()
    News(set(known), shown).write([event(one) for one in flows])
    return shown


def test_the_first_of_each_destination():
    assert shown_of(to(53), to(53), to(54), to(53, "10.0.0.6")) == [
        to(53), to(54), to(53, "10.0.0.6"),
    ]  # fmt: skip


def test_another_process_of_the_same_program_is_not_new():
    first, again = to(53), to(53, process=process(pid=7, start_time=99, uid=3, user="x"))
    assert shown_of(first, again) == [first]


def test_another_program_is_new():
    other = to(53, process=process(exe="/usr/bin/host"))
    assert shown_of(to(53), other) == [to(53), other]


def test_another_script_is_new():
    python = "/usr/bin/python3"
    one, other = (
        to(53, process=process(exe=python, args=("python3", name))) for name in ("a.py", "b.py")
    )
    assert shown_of(one, other, one) == [one, other]


def test_the_port_of_a_client_is_not_its_own():
    """A server answers to another one each time."""
    assert shown_of(to(40000), to(50000)) == [to(40000)]


def test_where_no_process_is_known_the_sender_counts():
    unknown, device = to(53, process=None), to(53, process=None, via=Via.DEVICE, interface="tun0")
    assert unknown.sender != device.sender
    assert shown_of(unknown, device, unknown) == [unknown, device]


def test_what_is_known_is_not_new():
    assert shown_of(to(53), to(54), known={pair_of(to(53))}) == [to(54)]


def test_nothing_is_known_without_a_log(tmp_path):
    assert known(tmp_path / "none.jsonl", pair_of) == set()


def test_a_log_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(SockwatchError, match=r"cannot be read \(Is a directory\)"):
        known(tmp_path, pair_of)


def run(command, lines):
    """Returns what a runner tells at its end."""
    told = []
    one = Runner(command)
    one.give(lines)
    one.finish(told.append)
    return told


def test_one_command_at_a_time_gets_a_line_each(tmp_path):
    out = tmp_path / "out"
    command = f"echo begins >> {out}; cat >> {out}; echo ends >> {out}"
    assert run(command, "one\ntwo\n") == []
    assert out.read_text().split() == ["begins", "one", "ends", "begins", "two", "ends"]


def test_only_a_newline_ends_a_line(tmp_path):
    out = tmp_path / "out"
    assert run(f"cat >> {out}; echo ends >> {out}", "a\u2028b\x85c\n") == []
    assert out.read_text() == "a\u2028b\x85c\nends\n"


def test_a_long_line_is_whole(tmp_path):
    out = tmp_path / "out"
    line = "x" * 100_000 + "\n"
    assert run(f"cat > {out}", line) == []
    assert out.read_text() == line


def test_what_fails_is_told():
    assert run("exit 3", "one\ntwo\n") == ["the command of --exec has failed for 2 lines"]


def test_a_slow_command_is_not_waited_for(tmp_path, monkeypatch):
    """It is ended, and what it did not get to is counted: what waits, and what had no room."""
    monkeypatch.setattr(runner, "_PATIENCE", 0.2)
    monkeypatch.setattr(runner, "_MAX_WAITING", 3)
    go_on, told = tmp_path / "go_on", []
    one = Runner(f"while [ ! -e {go_on} ]; do sleep 0.01; done; [ $(cat) = last ] && sleep 60")
    one.give("a line\n" * 5)
    go_on.touch()
    wait_for(lambda: one.hear() and not one._waiting)
    one.give("last\n")
    one.finish(told.append)
    assert told[0] == "the command of --exec has failed for 3 lines"
    assert told[1:] == [
        "the command of --exec, too slow or killed, has not come to an end for 3 lines"
    ]


def test_a_runner_that_was_killed_does_no_harm():
    (told,) = run("kill -9 $PPID", "a line\n")
    assert told.endswith(" for 1 line")


def test_a_backup_that_is_gone_by_then_leaves_the_others(tmp_path, monkeypatch):
    """A running service may make a new one meanwhile."""
    log = tmp_path / "log.jsonl"
    log.write_text("")
    paths = [tmp_path / "gone", log]
    read = []
    monkeypatch.setattr(report_known, "with_backups", lambda _: Files(paths, set()))
    monkeypatch.setattr(
        report_known.Reader, "entries", lambda _self, path, *_, **__: entries_of(path, read)
    )
    assert known(log, pair_of) == {"pair"}
    assert read == paths


def entries_of(path, read):
    read.append(path)
    with path.open():
        yield b"", None, "pair", True
