# SPDX-License-Identifier: Apache-2.0
"""The log file and its backups, on real files."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.logs import put, stream_to, text_of
from tracer.errors import SockwatchError
from tracer.output.backups import backups_of
from tracer.output.logfile import LogFile, Rotation
from tracer.trace.line import ProcessLine
from tracer.trace.streams import LogStream, Rendered

DAYS = 30
NEVER = Rotation(0, 1 << 30, DAYS, compress=False)


def line(number):
    return f'{{"number":{number:06}}}\n'  # 18 bytes


def fail(message):
    raise AssertionError(message)


def opened(path, rotation=NEVER, warn=fail):
    return LogFile(path, rotation, warn)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_rotation_loses_and_splits_nothing(tmp_path, compress, batch):
    path = tmp_path / "log"
    log = opened(path, Rotation(1000, 1 << 30, DAYS, compress=compress))
    stream = stream_to(log)
    for first in range(0, 5000, batch):
        put(stream, *map(line, range(first, min(first + batch, 5000))))
    log.close()
    files = [*backups_of(path), path]
    assert "".join(map(text_of, files)) == "".join(map(line, range(5000)))
    assert {len(text_of(file)) for file in files[:-1]} == {55 * 18}
    assert {file.suffix == ".gz" for file in files[:-1]} == {compress}
    assert {file.stat().st_mode & 0o777 for file in files} == {0o640}
    assert len(list(tmp_path.iterdir())) == len(files)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("keep", [100, 190, 100_000])
def test_so_many_bytes_are_kept(tmp_path, keep, compress):
    path = tmp_path / "log"
    log = opened(path, Rotation(100, keep, DAYS, compress=compress))
    stream = stream_to(log)
    for number in range(1000):
        put(stream, line(number))
    log.close()
    files = [*backups_of(path), path]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert sum(file.stat().st_size for file in files) <= keep
    if keep == 100_000:
        assert "".join(map(text_of, files)) == "".join(map(line, range(1000)))
    assert text_of(path).endswith(line(999))
    assert len(files) == {100: 1, 190: 2, 100_000: 200}[keep]


def test_backups_that_are_too_old_are_removed(tmp_path):
    path = tmp_path / "log"
    log = opened(path, Rotation(50, 1 << 20, 3, compress=False))
    put(stream_to(log), *map(line, range(8)))
    log.close()
    first, second, third = backups_of(path)
    now = time.time()
    for backup, days in ((first, 3.1), (second, 2.9)):
        os.utime(backup, (now, now - days * 86_400))
    opened(path, Rotation(50, 1 << 20, 3, compress=False)).check()
    assert backups_of(path) == [second, third]


def test_a_log_of_yesterday_is_rotated(tmp_path):
    path = tmp_path / "log"
    path.write_text('{"time":"2026-11-24T01:31:46.855381454Z","event":"start"}\n')
    log = opened(path, Rotation(1 << 20, 1 << 30, DAYS, compress=False))
    put(stream_to(log), line(1), line(2))
    log.close()
    (backup,) = backups_of(path)
    assert "start" in text_of(backup)
    assert text_of(path) == line(1) + line(2)


def test_each_file_stands_alone(tmp_path):
    """It begins with a line about the run, and has a process's line before its first event."""
    path, told = tmp_path / "log", []
    log = opened(path, Rotation(200, 1 << 30, DAYS, compress=False))

    def begin(lines):
        told.append(lines)
        return Rendered("alive\n")

    stream = LogStream(log, begin)
    who = ProcessLine(7, f"{'who':#>20}\n")
    stream.put([Rendered(line(number), who, "T") for number in range(50)])
    log.close()
    files = [*map(text_of, [*backups_of(path), path])]
    before = '{"time":"T' + who.text
    assert len(files) == len(told) + 1 > 5
    assert all(file.startswith("alive\n" + before) for file in files[1:])
    assert files[0].startswith(before)
    assert all(file.count(before) == 1 for file in files)
    assert "".join(files).replace("alive\n", "").replace(before, "") == "".join(
        map(line, range(50))
    )
    whole = "".join(files).splitlines()
    assert told == [at for at, text in enumerate(whole) if text == "alive"]
    assert stream.lines == len(whole)


def test_compressed_and_plain_backups_side_by_side(tmp_path):
    path = tmp_path / "log"
    for compress in (True, False, True):
        log = opened(path, Rotation(50, 1 << 30, DAYS, compress=compress))
        put(stream_to(log), *map(line, range(6)))
        log.close()
    files = [*backups_of(path), path]
    assert "".join(map(text_of, files)) == "".join(map(line, range(6))) * 3


def test_what_a_killed_run_left_half_compressed_is_taken_away(tmp_path):
    (tmp_path / "log.77.gz.tmp").write_bytes(b"half")
    (tmp_path / "log2.77.gz.tmp").write_bytes(b"another's")
    opened(tmp_path / "log").close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log2.77.gz.tmp"]


def test_a_line_longer_than_a_log(tmp_path):
    path = tmp_path / "log"
    log = opened(path, Rotation(20, 1 << 30, DAYS, compress=False))
    long = "x" * 50 + "\n"
    put(stream_to(log), line(1), long, line(2))
    log.close()
    assert [text_of(file) for file in [*backups_of(path), path]] == [line(1), long, line(2)]


def test_what_was_there_counts(tmp_path):
    path = tmp_path / "log"
    path.write_text(line(1) * 5)
    log = opened(path, Rotation(100, 1 << 30, DAYS, compress=False))
    put(stream_to(log), line(2))
    log.close()
    assert text_of(backups_of(path)[0]) == line(1) * 5


def test_reopens_after_another_has_moved_it(tmp_path):
    path = tmp_path / "log"
    log = opened(path)
    stream = stream_to(log)
    put(stream, line(1))
    path.rename(tmp_path / "moved")
    put(stream, line(2))
    log.reopen()
    put(stream, line(3))
    done = []
    log.reopen(lambda: done.append(text_of(path)))  # nobody has moved it: it goes on
    put(stream, line(4))
    stream.check()
    assert done == [line(3)]  # once, before the next line, whoever comes first
    log.close()
    assert text_of(tmp_path / "moved") == line(1) + line(2)
    assert text_of(path) == line(3) + line(4)


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    file, link = tmp_path / "real" / "log", tmp_path / "link"
    file.write_text("")
    link.symlink_to(file)
    log = opened(link, Rotation(50, 1 << 30, DAYS, compress=False))
    put(stream_to(log), *map(line, range(4)))
    log.close()
    assert link.is_symlink()
    assert text_of(backups_of(file)[0]) + text_of(file) == "".join(map(line, range(4)))


def test_a_second_writer_is_told_of_the_first(tmp_path):
    path = tmp_path / "log"
    code = (
        "import sys\n"
        "from tracer.output.logfile import LogFile, Rotation\n"
        "from pathlib import Path\n"
        f"log = LogFile(Path({str(path)!r}), Rotation(0, 0, 1, False), print)\n"
        "print('open', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout.readline() == "open\n"
        with pytest.raises(SockwatchError, match=f"is being written by process {first.pid}"):
            opened(path)
        first.stdin.close()
    opened(path).close()


def test_it_is_rotated_when_that_can_be_done_again(tmp_path):
    path, said, obstacle = tmp_path / "log", [], tmp_path / "log.new"
    log = opened(path, Rotation(90, 1 << 30, DAYS, compress=False), said.append)
    obstacle.mkdir()
    stream = stream_to(log)
    put(stream, *map(line, range(10)))
    assert (backups_of(path), len(said)) == ([], 1)
    obstacle.rmdir()
    put(stream, *map(line, range(10, 20)))
    log.close()
    files = [*backups_of(path), path]
    assert "".join(map(text_of, files)) == "".join(map(line, range(20)))
    assert max(len(text_of(file)) for file in files[1:]) <= 90
    assert len(said) == 1


def test_half_a_line_that_cannot_be_taken_back(tmp_path, monkeypatch):
    """On a full disk, in a file that can only be appended to (chattr +a)."""
    path, said = tmp_path / "log", []
    log = opened(path, NEVER, said.append)
    write = os.write

    def full(descriptor, data):
        if len(data) < 18:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:10])

    def refused(*_):
        raise PermissionError

    monkeypatch.setattr(os, "write", full)
    monkeypatch.setattr(os, "ftruncate", refused)
    log.write(line(1))
    monkeypatch.undo()
    log.write(line(2))
    log.close()
    assert text_of(path) == line(1)[:10] + "\n" + line(2)
    assert (log.lost_lines, len(said)) == (1, 1)


def test_what_is_no_file_is_not_rotated():
    log = opened(Path(os.devnull), Rotation(10, 1 << 30, DAYS, compress=False))
    put(stream_to(log), *map(line, range(10)))
    log.close()


@pytest.mark.parametrize("kind", ["fifo", "terminal"])
def test_a_log_that_somebody_would_have_to_read_is_refused(tmp_path, kind):
    """Opening a FIFO that nobody reads must not wait either."""
    if kind == "fifo":
        path, ends = tmp_path / "fifo", ()
        os.mkfifo(path)
    else:
        ends = os.openpty()
        path = Path(os.ttyname(ends[1]))
    with pytest.raises(SockwatchError, match="is a pipe or a terminal, not a file: --json"):
        opened(path)
    for end in ends:
        os.close(end)


def test_a_fifo_that_takes_the_logs_name_leaves_the_old_log_as_it_is(tmp_path):
    path, said = tmp_path / "log", []
    log = opened(path, Rotation(100, 1 << 30, DAYS, compress=False), said.append)
    path.rename(tmp_path / "moved")
    os.mkfifo(path)
    log.reopen()
    stream = stream_to(log)
    put(stream, line(1))
    assert (tmp_path / "moved").read_text() == line(1)
    assert "not a file" in said[0]
    path.unlink()
    (tmp_path / "moved").rename(path)
    put(stream, *map(line, range(2, 10)))
    assert backups_of(path)  # it is still rotated


def test_a_process_whose_line_may_be_lost_has_it_again(tmp_path, monkeypatch):
    path, said = tmp_path / "log", []
    log = opened(path, NEVER, said.append)
    stream = stream_to(log)
    who = ProcessLine(7, '","who":1}\n')
    stream.put([Rendered(line(1), who, "T")])
    monkeypatch.setattr(os, "write", full_disk)
    stream.put([Rendered(line(2), who, "T")])
    monkeypatch.undo()
    stream.put([Rendered(line(number), who, "T") for number in (3, 4)])
    log.close()
    before = '{"time":"T","who":1}\n'
    assert text_of(path) == before + line(1) + before + line(3) + line(4)
    assert (stream.lines, log.lost_lines) == (5, 1)


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")
