# SPDX-License-Identifier: Apache-2.0
import os
from pathlib import Path

import pytest

from tracer.kernel import cache


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_is_kept_can_be_read(folder):
    assert cache.read("a") is None
    cache.write("a", b"first")
    cache.write("a", b"second")
    assert cache.read("a") == b"second"
    assert names(folder) == {"a"}
    assert (folder / "a").stat().st_mode & 0o777 == 0o600


def test_what_others_can_write_is_not_taken(folder, tmp_path):
    cache.write("a", b"mine")
    (folder / "a").chmod(0o620)
    assert cache.read("a") is None
    (folder / "a").chmod(0o600)
    folder.chmod(0o777)
    assert cache.read("a") is None
    cache.write("b", b"not here")
    assert names(folder) == {"a"}
    folder.chmod(0o755)
    assert cache.read("a") == b"mine"
    (tmp_path / "elsewhere").write_bytes(b"another's")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    assert cache.read("link") is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda whole: whole[:1],
        lambda whole: whole[:31],
        lambda whole: whole[:-1],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole + b"\0",
        lambda whole: bytes(len(whole)),
        lambda whole: whole[:40] + bytes([whole[40] ^ 1]) + whole[41:],
        lambda whole: bytes([whole[0] ^ 1]) + whole[1:],
        lambda _: b"garbage" * 1000,
    ],
)
def test_what_is_damaged_is_not_taken(folder, damage):
    content = b"a program" * 100
    cache.write("a", content)
    kept = (folder / "a").read_bytes()
    (folder / "a").write_bytes(damage(kept))
    assert cache.read("a") is None
    cache.write("a", content)
    assert cache.read("a") == content


def test_another_programs_file_is_not_taken(folder):
    cache.write("a", b"first")
    (folder / "a").rename(folder / "b")
    assert cache.read("b") is None


def test_what_is_no_file_is_not_taken_and_nothing_waits(folder):
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    for name in ("pipe", "folder"):
        assert cache.read(name) is None
        cache.write(name, b"kept")
    assert names(folder) == {"pipe", "folder"}
    assert cache.read("pipe") == b"kept"


def test_a_file_where_the_folder_should_be(folder):
    folder.touch()
    cache.write("a", b"kept")
    assert cache.read("a") is None


def test_a_link_to_the_folder_that_is_gone(folder, tmp_path):
    folder.symlink_to(tmp_path / "none")
    cache.write("a", b"kept")
    assert cache.read("a") == b"kept"
    assert names(tmp_path / "none") == {"a"}


def test_the_oldest_go(folder):
    for number in range(20):
        cache.write(str(number), b"")
        os.utime(folder / str(number), (number, number))
    assert names(folder) == set(map(str, range(4, 20)))


def test_where_nothing_can_be_written_it_does_without(monkeypatch):
    monkeypatch.setenv("CACHE_DIRECTORY", "/proc/none")
    cache.write("a", b"")
    assert cache.read("a") is None


def test_systemds_folder_is_a_link(folder, tmp_path):
    """To /var/cache/private, with DynamicUser=."""
    (tmp_path / "private").mkdir(mode=0o755)
    folder.symlink_to(tmp_path / "private")
    cache.write("a", b"kept")
    assert cache.read("a") == b"kept"
    (tmp_path / "private").chmod(0o777)
    assert cache.read("a") is None


def test_a_user_without_a_home(monkeypatch):
    for name in ("CACHE_DIRECTORY", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    cache.write("a", b"")
    assert cache.read("a") is None


def test_where_it_is(monkeypatch):
    monkeypatch.delenv("CACHE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/me/.cache")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert str(cache.folder()) == "/var/cache/sockwatch"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert str(cache.folder()) == "/home/me/.cache/sockwatch"
