# SPDX-License-Identifier: Apache-2.0
"""Prometheus' text format, and the file that holds it."""

import errno
import os
import re
import stat
from pathlib import Path

import pytest

from tests.test_printable import HOSTILE
from tracer.errors import SockwatchError
from tracer.output import replaced
from tracer.output.prometheus import Metric, MetricsFile, label_value, render

_LABEL = re.compile(r'name="((?:[^"\\\n]|\\["\\n])*)"')


def fail(message):
    raise AssertionError(message)


def names_in(folder):
    return [path.name for path in folder.iterdir()]


def label_of(text):
    """The value of the one label that a text has, as Prometheus reads it."""
    (line,) = (line for line in text.splitlines() if not line.startswith("#"))
    inside = re.fullmatch(r"a_total\{(.*)\} 1", line)[1]
    found = _LABEL.fullmatch(inside)[1]
    return re.sub(r"\\(.)", lambda escape: {"n": "\n"}.get(escape[1], escape[1]), found)


def test_the_format():
    metrics = [
        Metric("a_total", "counter", "How many.", [({"of": "b", "in": ""}, 3), ({"of": "c"}, 0)]),
        Metric("unknown", "gauge", "Nobody knows.", []),
        Metric("d_seconds", "gauge", "How long.", [({}, 1.5)]),
    ]
    assert render(metrics) == (
        "# HELP a_total How many.\n"
        "# TYPE a_total counter\n"
        'a_total{of="b",in=""} 3\n'
        'a_total{of="c"} 0\n'
        "# HELP d_seconds How long.\n"
        "# TYPE d_seconds gauge\n"
        "d_seconds 1.5\n"
    )


@pytest.mark.parametrize("name", ['"} 1\nb_total{x="', "\\", '\\"', "\n", 'a\\nb"', HOSTILE])
def test_a_label_cannot_be_left(name):
    assert label_of(render([Metric("a_total", "counter", "A.", [({"name": name}, 1)])])) == name


def test_what_anybody_may_name_is_one_line_of_bounded_length():
    assert label_value(HOSTILE).isprintable()
    assert label_value(HOSTILE).encode()  # no half of a surrogate pair
    assert label_value("/bin/sh") == "/bin/sh"
    assert label_value("/" + "x" * 4096 + "/y") == "/" + "x" * 59 + "…" + "x" * 57 + "/y"


def test_the_file_is_replaced(tmp_path):
    """Not written to: who reads it has the old one or the new one."""
    old_umask = os.umask(0o077)
    try:
        file = MetricsFile(tmp_path / "a.prom", fail)
        assert list(tmp_path.iterdir()) == []
        file.write("one\n")
        with open(tmp_path / "a.prom") as reader:
            file.write("two\n")
            assert reader.read() == "one\n"
    finally:
        os.umask(old_umask)
    assert (tmp_path / "a.prom").read_text() == "two\n"
    assert stat.S_IMODE((tmp_path / "a.prom").stat().st_mode) == 0o644
    assert names_in(tmp_path) == ["a.prom"]


def test_the_collector_does_not_read_the_new_one(tmp_path, monkeypatch):
    seen = []
    rename = os.rename

    def look(*arguments, **more):
        seen.extend(names_in(tmp_path))
        rename(*arguments, **more)

    monkeypatch.setattr(os, "rename", look)
    MetricsFile(tmp_path / "a.prom", fail).write("one\n")
    assert seen == [".a.prom.new"]


def test_what_a_killed_run_has_left_is_removed(tmp_path):
    (tmp_path / ".a.prom.new").write_text("hal")
    MetricsFile(tmp_path / "a.prom", fail).write("one\n")
    assert names_in(tmp_path) == ["a.prom"]


def folder(path):
    path.mkdir()


def fifo(path):
    os.mkfifo(path)


def device(path):
    path.symlink_to("/dev/null")


def loop(path):
    path.symlink_to(path.name)


@pytest.mark.parametrize("make", [folder, fifo, device, loop])
def test_what_is_no_file_is_not_replaced(tmp_path, make):
    path = tmp_path / "a.prom"
    make(path)
    before = path.lstat()
    with pytest.raises(SockwatchError, match=r"cannot write the metrics .*a\.prom \(.+\): name"):
        MetricsFile(path, fail)
    assert os.path.samestat(path.lstat(), before)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(SockwatchError, match="No such file or directory"):
        MetricsFile(tmp_path / "no" / "a.prom", fail)


def test_a_name_that_another_has_taken_is_refused(tmp_path):
    (tmp_path / ".a.prom.new").mkdir()
    with pytest.raises(SockwatchError, match="File exists"):
        MetricsFile(tmp_path / "a.prom", fail)


def test_a_full_disk_is_told_of_once(tmp_path, monkeypatch):
    said = []
    file = MetricsFile(tmp_path / "a.prom", said.append)
    file.write("one\n")
    is_full = True
    real = open

    def full(made, *arguments, **more):
        if is_full:
            os.close(made)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(made, *arguments, **more)

    monkeypatch.setattr(replaced, "open", full, raising=False)
    file.write("two\n")
    file.write("three\n")
    assert said == [
        f"cannot write the metrics {tmp_path}/a.prom (No space left on device): what it has is old"
    ]
    assert (tmp_path / "a.prom").read_text() == "one\n"
    assert names_in(tmp_path) == ["a.prom"]
    is_full = False
    file.write("four\n")
    assert (tmp_path / "a.prom").read_text() == "four\n"
