# SPDX-License-Identifier: Apache-2.0
"""The lines of real files, pipes and devices, compressed or not."""

import gzip
import os
import select
import socket
import threading
import tracemalloc
from pathlib import Path

import pytest

from tracer.report import source

MAX = source._MAX_LINE
WHOLE = b"first\n" + b"x" * 100_000 + b"\n\nlast\n"


def read(path):
    """The lines, how many bytes were read, and how often it was cut short."""
    sizes, cuts = [], []
    found = source.lines_of(Path(path), sizes.append, lambda: cuts.append(1))
    return [line for lines in found for line in lines], sum(sizes), len(cuts)


def piped(pieces, reader_of=read):
    """Reads what another thread writes to a pipe."""
    reader, writer = os.pipe()

    def write():
        with open(writer, "wb", buffering=0) as out:
            for piece in pieces:
                out.write(piece)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        return reader_of(f"/dev/fd/{reader}")
    finally:
        os.close(reader)
        thread.join()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log"


@pytest.mark.parametrize("packed", [False, True])
def test_all_lines(path, packed):
    content = gzip.compress(WHOLE) if packed else WHOLE
    path.write_bytes(content)
    assert read(path) == (WHOLE.split(b"\n")[:-1], len(content), 0)
    path.write_bytes(gzip.compress(WHOLE[:-1]) if packed else WHOLE[:-1])
    assert read(path)[0] == WHOLE.split(b"\n")[:-1]


@pytest.mark.parametrize("block", [1, 100, 999])
def test_a_line_that_is_too_long_is_an_empty_one(path, monkeypatch, block):
    """However it is cut into blocks; a gigabyte of it is no more than a megabyte of it."""
    monkeypatch.setattr(source, "_BLOCK", block)
    monkeypatch.setattr(source, "_MAX_LINE", 1000)
    longest, longer, much_longer = b"a" * 1000, b"b" * 1001, b"c" * 99_000
    path.write_bytes(b"\n".join([longest, longer, b"x", much_longer, b"y", longest, longer]))
    assert read(path)[0] == [longest, b"", b"x", b"", b"y", longest, b""]


@pytest.mark.parametrize("packed", [False, True])
def test_an_endless_line_takes_no_memory(path, packed):
    size = 1 << 28
    if packed:
        with gzip.open(path, "wb", 1) as file:
            for _ in range(size >> 20):
                file.write(bytes(1 << 20))
    else:
        path.touch()
        os.truncate(path, size)
    tracemalloc.start()
    try:
        assert read(path)[0] == [b""]
        assert tracemalloc.get_traced_memory()[1] < 8 * MAX
    finally:
        tracemalloc.stop()


def test_no_read_copies_the_line_again(path, monkeypatch):
    """A line that comes byte by byte, too, costs what its bytes cost: none is handled twice."""
    handled = []
    add = bytearray.__iadd__

    class Counting(bytearray):
        def __iadd__(self, more):
            handled.append(len(more))
            return add(self, more)

    monkeypatch.setattr(source, "_BLOCK", 1)
    monkeypatch.setattr(source, "bytearray", Counting, raising=False)
    path.write_bytes(b"x" * 5000)
    assert read(path)[0] == [b"x" * 5000]
    assert sum(handled) == 5000


def test_a_pipe_byte_by_byte():
    for content in (b"one\ntwo\n", gzip.compress(b"one\ntwo\n")):
        pieces = [content[at : at + 1] for at in range(len(content))]
        assert piped(pieces)[0] == [b"one", b"two"]


def test_a_fifo(path):
    os.mkfifo(path)
    thread = threading.Thread(target=lambda: path.write_bytes(WHOLE))
    thread.start()
    assert read(path) == (WHOLE.split(b"\n")[:-1], len(WHOLE), 0)
    thread.join()


def test_a_pipe_that_does_not_block(monkeypatch):
    """No data yet is not the end."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    kept = os.dup(0)
    os.dup2(reader, 0)
    wait = select.select

    def write_then_wait(*arguments):
        os.write(writer, b"late\n")
        os.close(writer)
        return wait(*arguments)

    monkeypatch.setattr(select, "select", write_then_wait)
    try:
        assert read("-") == ([b"late"], 5, 0)
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(reader)


@pytest.mark.parametrize(
    ("content", "lines", "cuts"),
    [
        (gzip.compress(b"a\n") + gzip.compress(b"b\n"), [b"a", b"b"], 0),
        (gzip.compress(b"a\nb") + gzip.compress(b"c\n"), [b"a", b"bc"], 0),
        (gzip.compress(b"a\n") + bytes(100), [b"a"], 0),  # padding: gzip(1)
        (gzip.compress(b"a\n") + b"garbage", [b"a"], 1),
        (gzip.compress(b"a\n") + gzip.compress(b"b\n")[:-9], [b"a", b"b"], 1),
        (gzip.compress(b"a\n")[:-1], [b"a"], 1),
        (gzip.compress(b"a\n")[:-5] + b"wrong", [b"a"], 1),  # the checksum
        (gzip.compress(b"a\n") * 3000, [b"a"] * 3000, 0),
        (gzip.compress(b"") * 3000, [], 0),
        (b"\x1f\x8b", [], 1),
        (b"\x1f\x8b\x08\x08name without an end", [], 1),
        (b"\x1f", [b"\x1f"], 0),
        (b"", [], 0),
    ],
)
def test_compressed(path, content, lines, cuts):
    path.write_bytes(content)
    assert read(path) == (lines, len(content), cuts)


def test_a_file_that_shrinks_while_it_is_read(path):
    path.write_bytes(b"line\n" * 100_000)
    found = source.lines_of(path, lambda _: None, lambda: None)
    assert next(found)[0] == b"line"
    os.truncate(path, 0)
    assert len(list(found)) <= 1  # what was read already
    path.unlink()


def test_a_file_that_vanishes_while_it_is_read(path):
    path.write_bytes(WHOLE)
    found = source.lines_of(path, lambda _: None, lambda: None)
    first = next(found)
    path.unlink()
    assert [line for lines in (first, *found) for line in lines] == WHOLE.split(b"\n")[:-1]


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/full", "/dev/urandom"])
def test_a_device_is_no_log(name):
    with pytest.raises(OSError, match="it is a device") as caught:
        read(name)
    assert caught.value.filename == name


def test_devnull_is_an_empty_log():
    assert read("/dev/null") == ([], 0, 0)


def test_what_cannot_be_read_has_its_name(tmp_path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    for name in (tmp_path, tmp_path / "none", tmp_path / "socket", tmp_path / ("x" * 300)):
        with pytest.raises(OSError, match=r".") as caught:
            read(name)
        assert caught.value.filename == str(name)
    listener.close()
