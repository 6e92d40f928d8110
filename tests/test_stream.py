# SPDX-License-Identifier: Apache-2.0
"""Writing to readers that pause, stop and go away: pipes, FIFOs, terminals, sockets."""

import contextlib
import fcntl
import os
import pty
import re
import resource
import signal
import socket
import subprocess
import termios
import tty

import pytest

from tracer.output import nonblocking
from tracer.output.stream import BUFFER, Stream

LIMIT = 1 << 18
LINES = [f"{number:06} {'x' * 100}\n" for number in range(6000)]  # 660 KB


def gap(lines):
    return f"missing {lines}\n"


def fail(message):
    raise AssertionError(message)


def stream_to(descriptor, warn=fail, limit=LIMIT, encoding="utf-8"):
    return Stream(descriptor, encoding, warn, gap, limit)


class Place:
    """Two ends: ours to write to, and the reader's."""

    def __init__(self, ours, reader):
        self.ours, self.reader = ours, reader

    def text(self):
        """All that can be read now."""
        os.set_blocking(self.reader, False)
        found = b""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.reader, 1 << 16):
                found += data
        return found.decode()


def ends(kind, tmp_path):
    if kind == "pipe":
        return os.pipe()[::-1]
    if kind == "fifo":
        os.mkfifo(tmp_path / "fifo")
        reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        return os.open(tmp_path / "fifo", os.O_WRONLY), reader
    if kind == "terminal":
        reader, ours = pty.openpty()
        tty.setraw(ours)  # else a newline becomes two characters
        return ours, reader
    one, other = socket.socketpair()
    return one.detach(), other.detach()


@pytest.fixture(params=["pipe", "fifo", "terminal", "socket"])
def place(request, tmp_path):
    made = Place(*ends(request.param, tmp_path))
    yield made
    for descriptor in (made.ours, made.reader):
        with contextlib.suppress(OSError):
            os.close(descriptor)


@pytest.fixture
def pipe(tmp_path):
    made = Place(*ends("pipe", tmp_path))
    yield made
    for descriptor in (made.ours, made.reader):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def read_on(stream, place):
    """What a reader gets that reads again."""
    found = place.text()
    while stream.pending:
        stream.flush(0)
        found += place.text()
    return found


def test_a_reader_that_pauses_gets_every_line(place):
    stream = stream_to(place.ours, limit=BUFFER)
    for line in LINES:
        stream.write(line)
    assert stream.pending
    assert read_on(stream, place) == "".join(LINES)
    assert stream.lost == 0


def test_beyond_the_buffer_lines_are_dropped_and_counted(place):
    stream = stream_to(place.ours)
    for line in LINES:
        stream.write(line)
    found = read_on(stream, place)
    (missing,) = re.findall(r"^missing (\d+)\n", found, re.MULTILINE)
    shown = found.replace(f"missing {missing}\n", "")
    assert int(missing) == stream.lost > 0
    assert shown == "".join(LINES[: len(LINES) - stream.lost])
    stream.write("again\n")
    assert place.text() == "again\n"


def test_lines_flow_again_once_half_of_the_buffer_is_free(pipe):
    stream = stream_to(pipe.ours)
    for line in LINES:
        stream.write(line)
    pipe.text()  # a quarter of what waits
    stream.write("too early\n")
    pipe.text()
    stream.flush(0)
    pipe.text()
    stream.flush(0)
    stream.write("in time\n")
    found = read_on(stream, pipe)
    assert "too early" not in found
    assert found.endswith(f"missing {stream.lost}\nin time\n")


def test_one_write_of_more_than_the_buffer(pipe):
    stream = stream_to(pipe.ours)
    stream.write("".join(LINES))
    found = read_on(stream, pipe)
    assert found == "".join(LINES[: len(LINES) - stream.lost]) + f"missing {stream.lost}\n"


def test_the_end_waits_a_moment_only_and_counts_the_rest(pipe):
    stream = stream_to(pipe.ours)
    for line in LINES:
        stream.write(line)
    stream.finish(0.01)
    found = pipe.text()
    assert found == "".join(LINES[: len(LINES) - stream.lost])
    assert not stream.pending


def test_the_end_tells_of_a_gap(pipe):
    stream = stream_to(pipe.ours)
    stream.write("".join(LINES))
    dropped = stream.lost
    last = ["sed", "-n", "/missing/{p;q}"]
    with subprocess.Popen(last, stdin=pipe.reader, stdout=subprocess.PIPE, text=True) as reader:
        stream.finish(60.0)
        assert reader.stdout.read() == f"missing {dropped}\n"
    assert stream.lost == dropped


def test_a_line_longer_than_a_pipe_takes_at_once(pipe):
    lines = ["y" * 300_000 + "\n", "z\n"]
    stream = stream_to(pipe.ours, limit=BUFFER)
    for line in lines:
        stream.write(line)
    assert read_on(stream, pipe) == "".join(lines)


@pytest.mark.parametrize("place", ["pipe", "fifo", "socket"], indirect=True)
def test_a_reader_that_went_away_is_noticed_without_a_write(place):
    stream = stream_to(place.ours)
    stream.write("a\n")
    assert not stream.closed
    os.close(place.reader)
    assert stream.closed


def test_a_reader_that_went_away_is_not_missed_where_nothing_is_written(pipe):
    stream = stream_to(pipe.ours)
    os.close(pipe.reader)
    assert not stream.closed
    stream.write("a\n")
    assert stream.closed
    assert not stream.pending


def test_what_waits_for_a_reader_that_goes_away_is_not_lost_but_unwanted(pipe):
    stream = stream_to(pipe.ours)
    stream.write("".join(LINES[:1000]))
    os.close(pipe.reader)
    stream.finish(0.1)
    assert stream.closed
    assert stream.lost == 0


def test_a_connection_that_is_reset_has_no_reader_either():
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        reader, _ = server.accept()
    with ours:
        stream = stream_to(ours.fileno())
        stream.write("a\n")
        assert reader.recv(1) == b"a"
        reader.close()  # with something unread, which resets it: RFC 2525, 2.17
        assert stream.closed
        stream.write("b\n")
    assert stream.lost == 0


def test_a_terminal_that_goes_away_ends_nothing(tmp_path):
    place = Place(*ends("terminal", tmp_path))
    said = []
    stream = stream_to(place.ours, said.append)
    os.close(place.reader)
    stream.write("a\nb\n")
    stream.write("c\n")
    os.close(place.ours)
    assert not stream.closed
    assert said == ["cannot write the output (Input/output error)"]
    assert stream.lost == 3


def test_a_stopped_terminal(tmp_path):
    place = Place(*ends("terminal", tmp_path))
    stream = stream_to(place.ours)
    termios.tcflow(place.ours, termios.TCOOFF)  # Ctrl-S
    stream.write("a\n")
    assert stream.pending
    termios.tcflow(place.ours, termios.TCOON)
    stream.flush(1.0)
    assert place.text() == "a\n"


def test_a_full_disk():
    said = []
    with open("/dev/full", "w") as full:
        stream = stream_to(full.fileno(), said.append)
        stream.write("a\nb\n")
        stream.write("c\n")
    assert said == ["cannot write the output (No space left on device)"]
    assert stream.lost == 3


def test_a_disk_that_has_room_again_gets_the_gap_on_a_line_of_its_own(tmp_path):
    """A file size limit cuts a write short as a full disk does."""
    kept = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    with open(tmp_path / "out", "wb") as out:
        stream = stream_to(out.fileno(), lambda _: None)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (5, kept[1][1]))
            stream.write("abc\ndef\n")
            stream.write("ghi\n")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, kept[1])
            signal.signal(signal.SIGXFSZ, kept[0])
        stream.write("jkl\n")
    assert (tmp_path / "out").read_text() == "abc\nd\nmissing 2\njkl\n"
    assert stream.lost == 2


def test_the_flags_of_who_shares_the_place_are_left_alone(place):
    stream_to(place.ours).write("".join(LINES))
    assert os.get_blocking(place.ours)


def test_a_place_that_cannot_be_opened_anew(pipe, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(nonblocking.os, "open", refuse)
    stream = stream_to(pipe.ours, limit=BUFFER)
    stream.write("".join(LINES))
    assert stream.pending
    assert read_on(stream, pipe) == "".join(LINES)


def test_characters_that_the_encoding_lacks(pipe):
    stream = stream_to(pipe.ours, encoding="latin-1")
    stream.write("na\u00efve \u65e5\n")
    assert os.read(pipe.reader, 100) == b"na\xefve \\u65e5\n"


def test_a_pipe_that_is_small(pipe):
    fcntl.fcntl(pipe.ours, fcntl.F_SETPIPE_SZ, 4096)
    stream = stream_to(pipe.ours, limit=BUFFER)
    stream.write("".join(LINES[:1000]))
    assert read_on(stream, pipe) == "".join(LINES[:1000])
