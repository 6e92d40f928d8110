# SPDX-License-Identifier: Apache-2.0
"""Whether a path of another mount namespace leads to the same file for us."""

from pathlib import Path

import pytest

from tracer.host import exe_view, procfs
from tracer.host.mounts import mounts

HERE = Path("/proc/self/ns/mnt").stat().st_ino
ELSEWHERE = HERE + 1  # the number of no namespace that matters


@pytest.fixture
def program(tmp_path):
    exe_view.is_here.cache_clear()
    exe_view._mounts.cache_clear()
    path = tmp_path / "program"
    path.write_text("")
    return str(path), procfs.file_at(str(path))


def test_a_path_of_our_own_namespace_is_here(program):
    path, file = program
    assert exe_view.is_here(path, file, HERE) is True
    assert exe_view.is_here(f"{path} (deleted)", file, HERE) is None


def test_the_same_file_is_here(program):
    assert exe_view.is_here(*program, ELSEWHERE) is True


def test_another_file_or_none_is_not(program):
    path, file = program
    assert exe_view.is_here(f"{path}-not", file, ELSEWHERE) is False
    assert exe_view.is_here(f"{path}/below", file, ELSEWHERE) is False
    assert exe_view.is_here(f"{path} (deleted)", file, ELSEWHERE) is False


@pytest.mark.parametrize(("listed", "verdict"), [(True, False), (False, None)])
def test_numbers_prove_something_where_the_kernel_has_the_same(
    program, monkeypatch, listed, verdict
):
    """Not on btrfs: stat(2) has a device there that no mount has."""
    path, file = program
    other = file._replace(inode=file.inode + 1)
    there = [mount._replace(dev=file.dev if listed else "0:0") for mount in mounts()]
    monkeypatch.setattr(exe_view, "mounts", lambda: there)
    assert exe_view.is_here(path, other, ELSEWHERE) is verdict


def test_a_server_is_not_waited_for(program, monkeypatch):
    path, file = program
    there = [mount._replace(kind="nfs4") for mount in mounts()]
    monkeypatch.setattr(exe_view, "mounts", lambda: there)
    monkeypatch.setattr(exe_view.procfs, "file_at", pytest.fail)
    assert exe_view.is_here(path, file, ELSEWHERE) is None


@pytest.mark.parametrize("unknown", ["file", "mntns"])
def test_not_known(program, unknown):
    path, file = program
    known = {"exe": path, "file": file, "mntns": ELSEWHERE}
    assert exe_view.is_here(**known | {unknown: None}) is None
