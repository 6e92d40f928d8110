# SPDX-License-Identifier: Apache-2.0
"""What a filter names and nothing has."""

import contextlib
import os
import subprocess
import threading

import pytest

from tests.samples import process
from tracer.filter.filters import Filters
from tracer.inventory import absence


def said(**given):
    return list(
        absence.messages(Filters(**{name: frozenset({one}) for name, one in given.items()}))
    )


@contextlib.contextmanager
def a_thread():
    """Its id."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        yield thread.native_id
    finally:
        end.set()
        thread.join()


def test_a_process_that_is_there_is_not_said():
    assert said(pid=os.getpid()) == []
    assert said() == []


def test_a_process_that_is_not_there():
    with subprocess.Popen(["true"]) as gone:
        pass
    assert said(pid=gone.pid) == [f"--pid {gone.pid}: there is no such process now"]


def test_a_thread_is_told_with_its_process():
    with a_thread() as tid:
        (message,) = said(pid=tid)
    assert message.startswith(f"--pid {tid}: that is a thread of process {os.getpid()} (")
    assert message.endswith(f"): give --pid {os.getpid()}")


def test_a_program(tmp_path):
    nowhere = tmp_path / "program"
    assert said(exe=str(nowhere)) == [f"--exe {nowhere}: there is no such file now"]
    assert said(exe=str(nowhere / "below")) != []
    nowhere.write_text("")
    assert said(exe=str(nowhere)) == []
    assert said(exe=str(nowhere / "below")) != []


def test_a_program_that_runs_and_was_deleted(monkeypatch):
    running = process(exe="/gone/program (deleted)")
    monkeypatch.setattr(absence, "_processes", lambda: [running])
    assert said(exe="/gone/program") == []
    assert said(exe="/gone/other") != []


CONTAINER = "deadbeef" * 8


@pytest.mark.parametrize(
    ("option", "there", "elsewhere"),
    [
        ("unit", "containerd.service", "nosuch.service"),
        ("container", "deadbe", "beefdead"),
        ("cgroup", "/system.slice", "/nosuch"),
    ],
)
def test_what_goes_by_cgroup(monkeypatch, option, there, elsewhere):
    path = f"/system.slice/containerd.service/docker-{CONTAINER}.scope"
    monkeypatch.setattr(absence.cgroup, "of_process", lambda *_: path)
    assert said(**{option: there}) == []
    assert said(**{option: elsewhere}) == [
        f"--{option} {elsewhere}: no process is in such a {option} now"
    ]
    # of some it is not known
    monkeypatch.setattr(absence.cgroup, "of_process", lambda *_: None)
    assert said(**{option: elsewhere}) == []
