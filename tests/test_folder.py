# SPDX-License-Identifier: Apache-2.0
"""Files in folders that others may write to, as far as one user can make them."""

import os
import socket
import stat
from pathlib import Path

import pytest

from tracer.folder import Folder, place_of


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def descriptors():
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def closed(descriptor):
    os.close(descriptor)
    return True


@pytest.fixture
def shared(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777])
def test_a_new_file_has_one_mode_whatever_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        os.close(Folder(tmp_path).make("file"))
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "file") == 0o640


def test_a_path_leads_where_the_kernel_says(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "up").symlink_to("a/b")
    (tmp_path / "whole").symlink_to(tmp_path / "up" / "..")
    (tmp_path / "a" / "file").touch()
    monkeypatch.chdir(tmp_path)
    for path in ("a/file", "up/../file", "whole/file", "./whole/b/../file", "whole/b/../../a/file"):
        for start in ("", tmp_path):
            folder, name = place_of(Path(start, path))
            assert folder.has(name, (tmp_path / "a" / "file").stat())


def test_a_file_may_be_a_link_of_ours(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "first").symlink_to("second")
    (tmp_path / "second").symlink_to("there/file")
    folder, name = place_of(tmp_path / "first")
    os.close(folder.open_or_make(name))
    assert (tmp_path / "there" / "file").read_bytes() == b""


@pytest.mark.parametrize("path", ["loop", "loop/file"])
def test_links_that_never_end(tmp_path, path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        place_of(tmp_path / path)


def test_a_folder_is_made_if_that_is_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError):
        Folder(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    Folder(tmp_path / "a" / "b", 0o750)
    assert (mode_of(tmp_path / "a"), mode_of(tmp_path / "a" / "b")) == (0o755, 0o750)


def test_what_is_renamed_or_replaced_later_changes_nothing(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "other").mkdir()
    folder = Folder(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "moved")
    (tmp_path / "a").symlink_to("other")
    os.close(folder.make("file"))
    folder.rename("file", "renamed")
    assert folder.names() == ["renamed"] == [path.name for path in (tmp_path / "moved").iterdir()]
    assert list((tmp_path / "other").iterdir()) == []


def test_a_link_that_was_put_there_after_the_walk_is_not_followed(tmp_path):
    folder, name = place_of(tmp_path / "file")
    (tmp_path / "file").symlink_to("elsewhere")
    with pytest.raises(PermissionError, match="it is a symbolic link"):
        folder.open_or_make(name)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("mode", [0o660, 0o642, 0o666])
def test_a_file_that_others_may_write_to(tmp_path, mode):
    (tmp_path / "file").touch()
    (tmp_path / "file").chmod(mode)
    with pytest.raises(PermissionError, match="other users may write to it"):
        Folder(tmp_path).open("file")


def test_a_hard_link_is_ours_where_nobody_else_may_write(tmp_path, shared):
    (tmp_path / "file").touch()
    (shared / "file").hardlink_to(tmp_path / "file")
    assert closed(Folder(tmp_path).open("file"))
    with pytest.raises(PermissionError, match="it is a hard link"):
        Folder(shared).open("file")


def test_what_is_no_file_is_neither_opened_nor_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="No such device"):  # nobody reads it
        Folder(tmp_path).open_or_make("pipe", os.O_WRONLY)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
    (tmp_path / "folder").mkdir()
    for name in ("socket", "folder"):
        with pytest.raises(OSError, match=r"not a regular file|No such device|directory"):
            Folder(tmp_path).open_or_make(name)


def test_a_pipe_that_is_open_is_no_file():
    read_end, write_end = os.pipe()
    with pytest.raises(PermissionError, match="it is not a regular file"):
        place_of(Path(f"/dev/fd/{write_end}"))
    os.close(read_end)
    os.close(write_end)


def test_an_open_file_is_found_by_its_number(tmp_path):
    with (tmp_path / "file").open("w") as file:
        folder, name = place_of(Path(f"/dev/fd/{file.fileno()}"))
        assert folder.has(name, os.fstat(file.fileno()))


def test_a_device_is_taken(tmp_path):
    (tmp_path / "null").symlink_to(os.devnull)
    folder, name = place_of(tmp_path / "null")
    assert closed(folder.open_or_make(name))


def test_nothing_stays_open(tmp_path):
    (tmp_path / "link").symlink_to("a")
    before = descriptors()
    for path in ("a/b/c", "link/b", "none/x"):
        Folder(tmp_path / path, 0o755)
    with pytest.raises(OSError, match="directory"):
        Folder(tmp_path / "a" / "none")
    assert descriptors() == before
