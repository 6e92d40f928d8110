# SPDX-License-Identifier: Apache-2.0
"""``sockwatch top`` on a terminal, with real traffic."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.native.conftest import DEADLINE, sockwatch
from tests.native.test_overload import FLOOD, flood
from tests.terminal import on_terminal

ROOT = Path(__file__).parents[2]
QUERY = """
import socket, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    while True:
        sock.sendto(b"x" * 100, ("127.0.0.5", 9999))
        time.sleep(0.01)
"""
# sends 10 bytes and gets 1,000, again and again
ASK = """
import socket, sys, time
with socket.create_connection(("127.0.0.5", int(sys.argv[1]))) as sock:
    while True:
        sock.sendall(b"x" * 10)
        sock.recv(1000, socket.MSG_WAITALL)
        time.sleep(0.01)
"""
ANSWER = """
import socket
with socket.create_server(("127.0.0.5", 0)) as server:
    print(server.getsockname()[1], flush=True)
    sock, _ = server.accept()
    while sock.recv(10, socket.MSG_WAITALL):
        sock.sendall(b"x" * 1000)
"""
ROW = re.compile(r" python3? query.py --host db")
AT_END = rb"(\x1b\[[0-9;]*t)?"  # the window's title comes back


@contextlib.contextmanager
def running(tmp_path, name, code, *arguments):
    """A script, until the block ends."""
    path = tmp_path / name
    path.write_text(code)
    argv = [sys.executable, path, *arguments]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def showing(*arguments, columns=80, lines=24):
    """A running ``top`` that has drawn its screen."""
    argv = sockwatch("top", *(arguments or ("--dst", "127.0.0.5")))
    with on_terminal(argv, columns, lines) as terminal:
        terminal.wait_for(lambda: "missed 0" in terminal.text, DEADLINE)
        yield terminal


def row_of(terminal, wanted):
    return next((line for line in terminal.lines if re.search(wanted, line)), "")


def shows(terminal, *texts):
    terminal.wait_for(lambda: all(text in terminal.text for text in texts), DEADLINE)


def test_who_talks_now(tmp_path):
    with showing(columns=200, lines=50) as terminal:
        with running(tmp_path, "query.py", QUERY, "--host", "db") as sender:
            # a pid, who, 127.0.0.5:9999, and rates that are not 0
            wanted = rf" {sender.pid}{ROW.pattern}.* 127\.0\.0\.5:9999 .* [1-9]\d* +[1-9][\d.k]+ "
            terminal.wait_for(lambda: row_of(terminal, wanted), DEADLINE)
            assert row_of(terminal, wanted).startswith("+")
            terminal.press("\r")
            shows(terminal, f"process {sender.pid} python", f"{tmp_path}/query.py --host db",
                  "parents ", "udp 127.0.0.5:9999: ", "from 127.0.0.1:")  # fmt: skip
            terminal.press("\x1b")
            terminal.wait_for(lambda: row_of(terminal, wanted), DEADLINE)
        terminal.wait_for(lambda: row_of(terminal, rf"^- .*{ROW.pattern}"), DEADLINE)
        assert "missed 0, unread 0, " in terminal.text


def test_an_open_connection_is_shown_both_ways(tmp_path):
    with running(tmp_path, "answer.py", ANSWER) as server:
        port = server.stdout.readline().strip()
        with running(tmp_path, "ask.py", ASK, port), showing(columns=200) as terminal:
            # of its two rates, the second is a hundred times the first
            rates = re.compile(r"ask\.py.* tcp +\d+ +[1-9]\d* +[1-9][\d.]*k ")
            terminal.wait_for(lambda: row_of(terminal, rates), DEADLINE)


def test_keys(tmp_path):
    with running(tmp_path, "query.py", QUERY, "--host", "db"), showing(columns=200) as terminal:
        terminal.wait_for(lambda: row_of(terminal, ROW), DEADLINE)
        for group in ("process", "destination", "container", "program"):
            terminal.press("a")
            shows(terminal, f"1 row by {group}, ", ":9999")
        terminal.press("s")
        shows(terminal, "most received first")
        terminal.press("/-P 1\r")
        shows(terminal, "0 rows by program", "only -P 1")
        terminal.press("/\x15--dst 127.0.0.0/8 -p 0\r")
        shows(terminal, "'0' is not a pid", "only -P 1")
        for wrong, said in (("--sport 1", "--sport is not known here"), ("'", "cannot be read"),
                            ("--nothing", "No such option"), ("word", "unexpected")):  # fmt: skip
            terminal.press(f"/\x15{wrong}\r")
            shows(terminal, said, "only -P 1")
        terminal.press("/\x15\r")
        shows(terminal, "1 row by program")
        terminal.press("?")
        shows(terminal, "group by program, process")
        terminal.press("q ")
        shows(terminal, "PAUSED")
        before = row_of(terminal, ROW)
        seen = re.search("([0-9,]+) events", terminal.text)[0]
        terminal.wait_for(lambda: seen not in terminal.text, DEADLINE)
        terminal.press("\f")
        assert row_of(terminal, ROW) == before
        terminal.press(" ")
        terminal.wait_for(lambda: row_of(terminal, ROW) != before, DEADLINE)


def test_another_size(tmp_path):
    with running(tmp_path, "query.py", QUERY, "--host", "db"), showing() as terminal:
        terminal.wait_for(lambda: row_of(terminal, "127.0.0.5:9999"), DEADLINE)
        for columns, lines in ((200, 50), (80, 24)):
            terminal.resize(columns, lines)
            terminal.wait_for(lambda: terminal.lines[-1].startswith("a group"), DEADLINE)
            terminal.wait_for(lambda: row_of(terminal, "127.0.0.5:9999"), DEADLINE)
            assert ("EVENTS/S" in terminal.text) == (columns == 200)


@pytest.mark.parametrize("end", ["q", "\x03", signal.SIGTERM, signal.SIGHUP], ids=str)
def test_it_ends_and_gives_the_terminal_back(end):
    with showing() as terminal:
        assert terminal.current_modes() != terminal.modes
        assert b"\x1b[?1049h" in terminal.output
        if isinstance(end, str):
            terminal.press(end)
        else:
            terminal.process.send_signal(end)
        assert terminal.wait(DEADLINE) == 0
        assert terminal.current_modes() == terminal.modes
        assert re.fullmatch(AT_END, terminal.output.partition(b"\x1b[?1049l")[2])
        assert b"\x1b[?25h" in terminal.output


def test_it_ends_when_its_terminal_is_gone():
    with showing() as terminal:
        terminal.hang_up()
        assert terminal.wait(DEADLINE) == 0


def test_a_terminal_that_stops_reading_is_not_waited_for():
    with showing() as terminal:
        terminal.flow(termios.TCOOFF)
        terminal.press("a?")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.process.wait(DEADLINE) == 0
        assert terminal.current_modes() == terminal.modes
        terminal.flow(termios.TCOON)


def test_a_bug_gives_the_terminal_back_and_is_shown(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "from tracer.top import rows\n"
        "def fail(*_): raise ZeroDivisionError\n"
        "rows.Rows.end_interval = fail\n"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    with on_terminal(sockwatch("top", "--dst", "127.0.0.5"), PYTHONPATH=path) as terminal:
        assert terminal.wait(DEADLINE) == 70
        assert terminal.current_modes() == terminal.modes
        assert b"ZeroDivisionError" in terminal.output.partition(b"\x1b[?1049l")[2]


def test_a_flood_is_counted_whole():
    number = 100_000
    with showing() as terminal:
        sender = flood(FLOOD, number, "127.0.0.5")
        assert sender.wait(DEADLINE) == 0
        size = sum(i % 100 for i in range(number))
        shows(terminal, "127.0.0.5:9999")  # there is a row to look into
        terminal.press("\r")
        shows(terminal, f"{number:,} events, {size:,} bytes sent")
        shows(terminal, "missed 0, unread 0, ")


def test_many_short_processes_are_one_row(tmp_path):
    path = tmp_path / "once.py"
    path.write_text(
        "import socket\n"
        "sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "sock.sendto(b'x' * 40, ('127.0.0.5', 9999))\n"
    )
    with showing(columns=200) as terminal:
        for _ in range(20):
            subprocess.run([sys.executable, path], check=True, timeout=DEADLINE)
        terminal.wait_for(lambda: row_of(terminal, r"×20 .*once\.py.* 800\b"), DEADLINE)


def test_without_a_terminal_it_says_what_to_use():
    argv = sockwatch("top")
    done = subprocess.run(
        argv,
        check=False,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "sockwatch: top takes a terminal, to write on and for its keys: 'sockwatch -S' and "
        "'sockwatch --json' write lines instead\n"
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_without_standard_input_or_output(closed):
    argv = ["sh", "-c", f'exec "$@" {closed}', "sh", *sockwatch("top")]
    with on_terminal(argv, 200) as terminal:
        assert terminal.wait(DEADLINE) == 2
        assert terminal.text.startswith("sockwatch: top takes a terminal")


def test_it_gives_the_terminal_back_while_it_is_stopped():
    """As by kill -TSTP, from a shell with job control."""
    script = 'set -m; "$@"; echo it is stopped; read -r; fg > /dev/null'
    argv = ["bash", "-c", script, "bash", *sockwatch("top", "--dst", "127.0.0.5")]
    with on_terminal(argv) as terminal:
        shows(terminal, "missed 0")
        shell = terminal.process.pid
        children = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTSTP)
        # where the cursor is left differs with the terminfo, so that it may be broken on the screen
        terminal.wait_for(lambda: b"it is stopped" in terminal.output, DEADLINE)
        before = terminal.output.partition(b"it is stopped")[0]
        assert before.rpartition(b"\x1b[?1049l")[2].count(b"\x1b[?1049h") == 0
        assert b"\x1b[?25h" in before
        assert terminal.current_modes() == terminal.modes
        terminal.press("\n")
        terminal.wait_for(lambda: b"\x1b[?1049h" in terminal.output[len(before) :], DEADLINE)
        shows(terminal, "missed 0")
        assert terminal.current_modes() != terminal.modes
        terminal.press("q")
        assert terminal.wait(DEADLINE) == 0
        assert terminal.current_modes() == terminal.modes


@pytest.mark.parametrize("name", ["dumb", "no-such-terminal", ""])
def test_a_terminal_that_cannot_do_it(name):
    with on_terminal(sockwatch("top"), 200, TERM=name) as terminal:
        assert terminal.wait(DEADLINE) == 2
        assert f"(TERM is {name or 'unset'}): 'sockwatch -S'" in terminal.text
        assert len(list(filter(None, terminal.lines))) == 1


def test_messages_do_not_spoil_the_screen():
    with showing("-p", "4194303") as terminal:
        assert terminal.lines[0].startswith("sockwatch top: ")
        assert "4194303" in terminal.lines[-1]
        terminal.press("q")
        terminal.wait(DEADLINE)
        assert b"4194303" in terminal.output.partition(b"\x1b[?1049l")[2]
