# SPDX-License-Identifier: Apache-2.0
"""Holders in odd places: real processes of our own, which need no root."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.odd_holder import holding
from tracer.host import exe_view, fd_holders, procfs, task_files
from tracer.host.fd_holders import NO_DESCRIPTOR


def holders(inode):
    return fd_holders.find().by_inode.get(inode, ())


@pytest.mark.parametrize("compares", [True, False])
@pytest.mark.parametrize("place", ["ended", "table"])
def test_a_thread_holds_it(place, compares, monkeypatch):
    """Also where the kernel does not say which threads share a table."""
    if not compares:
        monkeypatch.setattr(task_files, "_KCMP", {})
    with holding(place) as (_, held):
        pid, fd = holders(held["inode"])
        assert pid == held["pid"]
        assert fd > 2


def test_threads_that_share_a_table_are_read_once():
    code = (
        "import threading, sys\n"
        "for _ in range(3): threading.Thread(target=sys.stdin.read).start()\n"
        "print(flush=True)\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as process:
        assert process.stdout.readline() == b"\n"
        assert len(procfs.threads(process.pid)) > 1
        assert len(list(task_files.folders(process.pid))) == 1
        process.communicate()


def test_a_ring_holds_it():
    with holding("ring") as (_, held):
        folder = Path(f"/proc/{held['pid']}/fdinfo")
        said = "".join(descriptor.read_text() for descriptor in folder.iterdir())
        assert "UserFiles:\t1\n" in said
        if not re.search(r"^ *0: socket:", said, re.MULTILINE):
            pytest.skip("this kernel does not say which files are registered")
        assert holders(held["inode"]) == (held["pid"], NO_DESCRIPTOR)


def test_a_message_holds_it_for_nobody():
    with holding("flight") as (_, held):
        assert holders(held["inode"]) == ()


def test_the_program_of_a_process_whose_first_thread_has_ended():
    with holding("ended") as (_, held):
        pid = held["pid"]
        found = procfs.status(pid)
        program = procfs.read_program(pid, found.start_time)
        assert program.exe == os.readlink("/proc/self/exe")
        assert program.args[:1] == (sys.executable,)
        assert program.args[2] == "ended"
        namespaces = [Path(f"/proc/self/ns/{kind}").stat().st_ino for kind in ("net", "pid")]
        assert [found.netns, found.pidns] == namespaces
        assert exe_view.holder(pid).exe == program.exe
