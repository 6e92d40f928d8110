# SPDX-License-Identifier: Apache-2.0
"""What the shell completes, asked for as a shell's completion does, and where names come from."""

import os
import pwd
import subprocess
import sys

import pytest

from tests.test_workload import ID, PATHS
from tracer.cli import complete
from tracer.host import cgroup, procfs
from tracer.model import protocols
from tracer.model.socket import STATE_NAMES

OURS = pwd.getpwuid(os.getuid()).pw_name
IMPORTED = """
import sys
from tracer.cli.main import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


def answer(typed, program=("-m", "tracer"), shell="bash"):
    """What the command line says when Tab is pressed behind ``typed``."""
    *before, last = typed.split(" ")
    where = last if shell == "fish" else str(len(before))
    asked = {"COMP_WORDS": typed, "COMP_CWORD": where, "_SOCKWATCH_COMPLETE": f"{shell}_complete"}
    return subprocess.run(
        [sys.executable, *program],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **asked},
    )


def values(typed):
    done = answer(typed)
    assert (done.returncode, done.stderr) == (0, "")
    return [line.partition(",")[2] for line in done.stdout.split()]


def completed(find, typed=""):
    return find(None, None, typed)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("sockwatch re", ["report"]),
        ("sockwatch --log-ma", ["--log-max-size"]),
        ("sockwatch sockets --ex", ["--exe", "--exposed", "--extended"]),
        ("sockwatch report --by ex", ["exe"]),
        ("sockwatch report --by host,ex", ["host,exe"]),
        ("sockwatch sockets --state l", ["last-ack", "listening"]),
        ("sockwatch sockets --state ", sorted(STATE_NAMES)),
        ("sockwatch --proto sc", ["sctp"]),
        ("sockwatch report --dst 10.0.0.5 --proto ", sorted(protocols.NAMES.values())),
        ("sockwatch -N se", ["self"]),
        ("sockwatch prove --probe t", ["tracepoint"]),
    ],
)
def test_names(typed, found):
    assert sorted(values(typed)) == found


@pytest.mark.parametrize("option", ["-u", "--uid", "--dst 10.0.0.5 --uid"])
def test_users(option):
    assert OURS in values(f"sockwatch {option} {OURS[:1]}")
    assert OURS not in values(f"sockwatch {option} {OURS}x")


@pytest.mark.parametrize("option", ["--exe", "--log"])
def test_files_are_the_shells(option):
    assert answer(f"sockwatch {option} /us").stdout == "file,/us\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell(shell):
    assert "listening" in answer("sockwatch sockets --state lis", shell=shell).stdout


def test_cgroups():
    """This process's own, and those above it."""
    ours = cgroup.of_process(os.getpid(), procfs.stat(os.getpid())[1], None)
    if ours is None:
        pytest.skip("a cgroup namespace of its own hides it")
    assert ours in cgroup.populated()
    above = ours.rpartition("/")[0] or "/"
    assert {ours, above} <= {*completed(complete.cgroups), "/"}


def test_units_and_containers(monkeypatch):
    monkeypatch.setattr(cgroup, "populated", lambda: set(PATHS))
    assert completed(complete.units, "ssh") == ["ssh.service"]
    assert "user@1000.service/app-firefox-77.scope" in completed(complete.units, "user@")
    assert completed(complete.containers, ID[:6]) == [ID]
    assert completed(complete.containers, "zz") == []


def test_nothing_that_a_shell_would_run(monkeypatch):
    """Whoever has been given a cgroup may make others with any name."""
    names = ["$(id)", "a;id", "a b", "`id`", "*", "a\nid", "a'b", "~", r"a\x2db", "é"]
    paths = {f"/user.slice/{name}.service" for name in (*names, "good")}
    monkeypatch.setattr(cgroup, "populated", lambda: paths)
    assert completed(complete.units) == ["good.service"]
    assert completed(complete.cgroups) == ["/user.slice", "/user.slice/good.service"]


def test_it_says_nothing_of_what_it_cannot_read(monkeypatch):
    def refuse():
        raise PermissionError

    monkeypatch.setattr(cgroup, "populated", refuse)
    assert completed(complete.units) == []


@pytest.mark.parametrize("missing", ["COMP_WORDS", "COMP_CWORD"])
def test_it_says_nothing_of_what_it_was_not_asked(monkeypatch, missing):
    monkeypatch.setenv("_SOCKWATCH_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "sockwatch ")
    monkeypatch.setenv("COMP_CWORD", "1")
    monkeypatch.delenv(missing)
    done = subprocess.run(
        [sys.executable, "-m", "tracer"], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


@pytest.mark.parametrize(
    ("typed", "spared"),
    [
        ("sockwatch --unit ", {"bcc", "pyroute2"}),
        ("sockwatch --netns ", {"bcc", "pyroute2"}),
        ("sockwatch sockets --unit ", {"bcc", "pyroute2", "tracer.cli.live", "tracer.trace.run"}),
        ("sockwatch report --uid ", {"bcc", "pyroute2", "tracer.cli.live", "tracer.host.netlink"}),
    ],
)
def test_it_imports_only_what_it_needs(typed, spared):
    imported = answer(typed, ("-c", IMPORTED)).stderr.split()
    assert "tracer.cli.complete" in imported
    assert spared.isdisjoint(imported)
