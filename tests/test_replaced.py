# SPDX-License-Identifier: Apache-2.0
"""A file is replaced as a whole."""

import os

import pytest

from tracer.output import replaced


def test_a_reader_has_the_old_text_or_the_new(tmp_path):
    path = tmp_path / "file"
    replaced.write(path, "old", 0o644)
    with open(path) as reader:
        replaced.write(path, "new", 0o600)
        assert reader.read() == "old"
    assert path.read_text() == "new"
    assert oct(path.stat().st_mode)[-3:] == "600"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_what_was_left_by_one_that_was_killed_is_replaced(tmp_path):
    (tmp_path / "file.new").write_text("half")
    replaced.write(tmp_path / "file", "whole", 0o640)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_link_is_not_followed_to_another_file(tmp_path):
    (tmp_path / "other").write_text("mine")
    (tmp_path / "file.new").symlink_to(tmp_path / "other")
    replaced.write(tmp_path / "file", "new", 0o640)
    assert (tmp_path / "other").read_text() == "mine"


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    happened = []
    fsync, rename = os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (happened.append("fsync"), fsync(fd))[1])
    monkeypatch.setattr(
        os, "rename", lambda *names, **at: (happened.append("rename"), rename(*names, **at))[1]
    )
    replaced.write(tmp_path / "file", "text", 0o640, durable=True)
    assert happened == ["fsync", "rename", "fsync"]


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        replaced.write(tmp_path / "none" / "file", "text", 0o640)
