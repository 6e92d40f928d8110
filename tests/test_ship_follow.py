# SPDX-License-Identifier: Apache-2.0
"""A log's files are found and read on, whatever their names are by then."""

import gzip
import os

import pytest

from tests.log_writer import LogWriter
from tracer.errors import SockwatchError
from tracer.ship import follow
from tracer.ship.follow import MAX_LINE, Log


@pytest.fixture
def writer(tmp_path):
    writer = LogWriter(tmp_path / "log")
    writer.start()
    return writer


@pytest.fixture
def log(writer):
    return Log(writer.path)


def opened(log, index=0, position=0):
    file = log.open(log.files()[index])
    file.seek(position)
    return file


def all_of(file):
    return list(iter(file.take, None))


def test_files_are_the_oldest_first_and_known_by_their_first_line(writer, log):
    (first,) = log.files()
    writer.send(3)
    writer.rotate(compress=False)
    writer.send(3)
    writer.rotate(compress=True)
    found = log.files()
    assert [one.name for one in found] == ["log.2", "log.1.gz", "log"]
    assert found[0].identity == first.identity
    assert len({one.identity for one in found}) == 3


def test_numbers_are_numbers_and_may_have_gaps(writer, log):
    content = writer.path.read_bytes()
    for number in (2, 10, 11):
        writer.path.with_name(f"log.{number}").write_bytes(
            content.replace(b"0.1.0", b"0.1.%d" % number)
        )
    writer.path.with_name("log.12.gz.tmp").write_bytes(b"")
    writer.path.with_name("log.new").write_bytes(b"")
    assert [one.name for one in log.files()] == ["log.11", "log.10", "log.2", "log"]


def test_a_backup_that_is_compressed_but_not_removed_yet_is_one_file(writer, log):
    writer.rotate(compress=False)
    plain = writer.backup(1)
    plain.with_name("log.1.gz").write_bytes(gzip.compress(plain.read_bytes()))
    assert [one.name for one in log.files()] == ["log.1", "log"]


def test_a_copy_is_one_file(writer, log):
    """As logrotate's copytruncate makes one."""
    writer.path.with_name("log.1").write_bytes(writer.path.read_bytes())
    assert [one.name for one in log.files()] == ["log.1"]


def test_a_file_without_a_whole_first_line_is_none_yet(writer, log):
    writer.rotate(compress=False)
    whole = writer.path.read_bytes()
    writer.path.write_bytes(whole[:-1])
    assert [one.name for one in log.files()] == ["log.1"]
    writer.path.write_bytes(b"")
    assert [one.name for one in log.files()] == ["log.1"]
    writer.path.write_bytes(whole)
    assert [one.name for one in log.files()] == ["log.1", "log"]


def test_damage_at_the_beginning_makes_no_two_files_alike(writer, log):
    writer.rotate(compress=False)
    for path in (writer.path, writer.backup(1)):
        path.write_bytes(b"\n\0\0\n" + path.read_bytes())
    first, second = log.files()
    assert first.identity != second.identity


def test_a_first_line_without_an_end_is_cut_off(writer, log):
    writer.path.write_bytes(b"x" * (2 * MAX_LINE) + b"\n" + writer.path.read_bytes())
    file = opened(log)
    first, second = all_of(file)
    assert first == b""
    assert second.startswith(b'{"time":')
    assert file.position == writer.path.stat().st_size


@pytest.mark.parametrize("compress", [False, True])
def test_lines_are_taken_from_any_place_on(writer, log, compress):
    writer.send(2000)
    whole = writer.path.read_bytes()
    writer.rotate(compress=compress)
    lines = whole.splitlines()
    file = opened(log)
    places = [(file.take(), file.position) for _ in lines]
    assert [line for line, _ in places] == lines
    assert file.take() is None
    for index in (0, 1, 700, len(lines) - 1):
        again = opened(log, 0, places[index][1])
        assert all_of(again) == lines[index + 1 :]
        assert again.position == len(whole)


def test_a_file_is_gone_back_in(writer, log):
    writer.send(500)
    file = opened(log)
    first = file.take()
    file.seek(0)
    assert file.take() == first
    assert len(all_of(file)) == 501


def test_files_are_renamed_while_they_are_listed(writer, log, monkeypatch):
    """None is missed: it is looked again."""
    for _ in range(3):
        writer.rotate(compress=False)
    known, names = follow._known, []

    def and_rotate(folder, name):
        names.append(name)
        if len(names) == 2:
            writer.rotate(compress=False)
        return known(folder, name)

    monkeypatch.setattr(follow, "_known", and_rotate)
    assert [one.name for one in log.files()] == ["log.4", "log.3", "log.2", "log.1", "log"]


def test_half_a_line_waits_for_the_rest(writer, log):
    file = opened(log)
    all_of(file)
    place = file.position
    writer.raw('{"time":"20', end="")
    assert file.take() is None
    assert (file.position, file.rest(), file.unread()) == (place, 11, 0)
    writer.raw('26"}')
    assert file.take() == b'{"time":"2026"}'
    assert file.rest() == 0


def test_a_file_that_was_renamed_is_read_on(writer, log):
    file = opened(log)
    all_of(file)
    writer.path.rename(writer.path.with_name("log.1"))
    with open(writer.path.with_name("log.1"), "ab") as tracer:
        tracer.write(b"late\n")
    assert all_of(file) == [b"late"]
    assert file.is_same()


def test_what_is_open_is_read_on_when_it_is_gone(writer, log):
    writer.send(5)
    file = opened(log)
    writer.path.unlink()
    assert len(all_of(file)) == 7


def test_a_file_that_is_truncated_is_not_the_same(writer, log):
    writer.send(5)
    file = opened(log)
    all_of(file)
    assert file.is_same()
    os.truncate(writer.path, file.position - 1)
    assert not file.is_same()


def test_a_file_that_is_written_anew_is_not_the_same_however_long(writer, log):
    writer.send(5)
    file = opened(log)
    file.take()
    other = LogWriter(writer.path.with_name("other"), run="other")
    other.start()
    other.send(50)
    writer.path.write_bytes(other.path.read_bytes())
    assert not file.is_same()


def test_what_is_compressed_may_be_cut_short(writer, log):
    writer.send(500)
    writer.rotate()
    backup = writer.backup(1)
    backup.write_bytes(backup.read_bytes()[:-200])
    file = opened(log)
    taken = all_of(file)
    assert 0 < len(taken) < 502
    assert file.is_cut_short


def test_a_name_that_leads_elsewhere_is_not_opened(writer, log):
    (found,) = log.files()
    writer.rotate(compress=False)
    assert log.open(found) is None


def test_there_need_not_be_a_log_yet(tmp_path):
    assert Log(tmp_path / "log").files() == []
    assert Log(tmp_path / "no" / "log").files() == []


def test_what_cannot_be_read_is_said(tmp_path):
    (tmp_path / "log").symlink_to(tmp_path / "other")
    (tmp_path / "other").mkdir()
    with pytest.raises(SockwatchError, match="cannot read the log"):
        Log(tmp_path / "log").files()
