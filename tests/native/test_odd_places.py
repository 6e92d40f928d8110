# SPDX-License-Identifier: Apache-2.0
"""Where something is missing that a process usually has: each place gets one true line."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.logs import lines_of
from tests.native.conftest import DEADLINE, ip, sockwatch
from tests.native.test_output import in_mount_namespace

WATCHED = "127.0.0.5"
QUICK = ("--no-log", "--duration", "0.1", "--dst", WATCHED)
CLOSED = "Bad file descriptor"
FULL = "No space left on device"


def shell(redirection, *arguments):
    argv = ["sh", "-c", f'exec "$@" {redirection}', "sh", *sockwatch(*arguments)]
    return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)


def assert_one_line(run, status, *says):
    assert run.returncode == status, run
    (line,) = run.stderr.splitlines()
    assert line.startswith("sockwatch: ")
    for words in says:
        assert words in line


@pytest.mark.parametrize("command", [(), ("sockets",), ("report",)], ids=str)
@pytest.mark.parametrize(
    ("redirection", "reason"), [(">&-", CLOSED), ("> /dev/full", FULL)], ids=["closed", "full"]
)
def test_help_that_cannot_be_shown(command, redirection, reason):
    run = shell(redirection, *command, "--help")
    assert_one_line(run, 2, f"cannot write the output ({reason})")


def test_a_listing_that_cannot_be_shown():
    assert_one_line(shell(">&-", "sockets"), 2, f"cannot write the output ({CLOSED})")


def test_tracing_without_standard_output(tmp_path):
    """What would be shown there is lost, and that is said; no file gets its number."""
    log = tmp_path / "log"
    run = shell(">&-", *QUICK[1:], "--log", log)
    assert run.returncode == 0
    assert "Traceback" not in run.stderr
    assert f"cannot write the output ({CLOSED}): tracing goes on" in run.stderr
    assert [line["event"] for line in lines_of(log)] == ["start", "stop"]


@pytest.mark.parametrize("redirection", ["<&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_tracing_without_standard_files(tmp_path, redirection):
    log = tmp_path / "log"
    run = shell(redirection, *QUICK[1:], "--log", log)
    assert run.returncode == 0
    assert "Traceback" not in run.stderr
    assert [line["event"] for line in lines_of(log)] == ["start", "stop"]


def test_a_report_from_closed_standard_input():
    assert_one_line(shell("<&-", "report", "-"), 2, "cannot read")


HOSTILE = "\x1b]0;owned\x07\u202e"


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "--since", HOSTILE),
        ("report", HOSTILE),
        ("sockets", "--state", HOSTILE),
        ("--dst", WATCHED, "--log", f"/nowhere/{HOSTILE}"),
        ("-N", HOSTILE),
        ("-u", HOSTILE),
        ("--no-log", "--", HOSTILE),
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_a_message_repeats_is_made_safe(arguments):
    run = shell("", *arguments)
    assert_one_line(run, 2, r"\x1b]0;owned\x07\u202e")
    assert run.stderr[:-1].isprintable()


def test_a_filter_that_the_start_repeats(tmp_path):
    """An unpaired surrogate, which stands for a byte that is not UTF-8, is no JSON."""
    log = tmp_path / "log"
    values = ("--comm", "\x1b[31m", "--exe", "/\udcff", "--comm", "\udcfe")
    run = shell("", *QUICK[1:], *values, "--log", log)
    assert run.returncode == 0
    assert r"comm \x1b[31m" in run.stderr
    assert run.stderr.replace("\n", "").isprintable()
    start, stop = lines_of(log)
    json.dumps(start, ensure_ascii=False).encode()  # half a pair cannot be encoded
    assert (start["event"], stop["event"]) == ("start", "stop")


def limited(number, *argv):
    argv = ["prlimit", f"--nofile={number}:{number}", *map(str, argv)]
    return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)


@pytest.mark.parametrize("arguments", [QUICK, ("sockets",), ("report", "/dev/null")], ids=str)
def test_too_few_descriptors(arguments):
    """Python itself begins with one or two to spare, which depends on what is installed with it."""
    limits = [n for n in range(3, 41) if not limited(n, sys.executable, "-c", "").returncode]
    assert {*range(6, 41)} <= {*limits}
    for number in limits:
        run = limited(number, *sockwatch(*arguments))
        assert_one_line(run, 2, "more files can be opened", "raise the limit")


@pytest.mark.parametrize("arguments", [QUICK, ("sockets",)], ids=str)
def test_just_enough_descriptors(arguments):
    """What is asked for at the start is enough for all that follows."""
    runs = (limited(number, *sockwatch(*arguments)) for number in range(95, 130))
    run = next(run for run in runs if "more files can be opened" not in run.stderr)
    assert run.returncode == 0, run.stderr
    assert "Too many open files" not in run.stderr


def test_descriptors_that_were_open_before():
    """They count, too: what is left is asked for, not what the limit is."""
    with contextlib.ExitStack() as cleanup:
        files = [cleanup.enter_context(open(os.devnull)).fileno() for _ in range(60)]
        argv = ["prlimit", "--nofile=140:140", *sockwatch(*QUICK)]
        run = subprocess.run(
            argv, check=False, capture_output=True, text=True, timeout=DEADLINE, pass_fds=files
        )
    assert_one_line(run, 2, "more files can be opened")


def test_another_module_named_bcc(tmp_path, monkeypatch):
    """PyPI's is a compiler for something else."""
    (tmp_path / "bcc").mkdir()
    (tmp_path / "bcc/__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    run = shell("", *QUICK)
    assert_one_line(run, 2, f"{tmp_path}/bcc is not BCC's Python module", "pip uninstall bcc")


# what docker and podman leave to a container's root
CONTAINER = (
    "chown,dac_override,fowner,fsetid,kill,setgid,setuid,setpcap,net_bind_service,net_raw,"
    "sys_chroot,mknod,audit_write,setfcap"
)


def test_a_containers_root():
    capabilities = ",".join(["-all", *(f"+{name}" for name in CONTAINER.split(","))])
    argv = ["setpriv", "--bounding-set", capabilities, *sockwatch(*QUICK)]
    run = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)
    assert_one_line(run, 2, "CAP_BPF", "--privileged, or --cap-add BPF --cap-add PERFMON")
    assert "as root" not in run.stderr


def test_root_of_a_user_namespace():
    argv = ["unshare", "--user", "--map-root-user", *sockwatch(*QUICK)]
    run = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)
    assert_one_line(run, 2, "user namespace")


@pytest.mark.parametrize(
    ("setup", "says"),
    [
        ("mount -t tmpfs none /sys/kernel/btf", "something empty covers /sys/kernel/btf"),
        ("mount -t tmpfs none /sys/kernel", "something empty covers /sys/kernel:"),
        ("mount -t tmpfs none /sys", "/sys is not mounted here"),
    ],
)
def test_types_that_are_out_of_sight(setup, says):
    run = in_mount_namespace(setup, *QUICK)
    assert_one_line(run, 2, says)
    assert "CONFIG_DEBUG_INFO_BTF" not in run.stderr


@pytest.fixture
def a_namespace():
    name = f"swodd{os.getpid()}"
    ip("netns", "add", name)
    yield name
    ip("netns", "del", name)


STALE = "mount -t tmpfs none /run/netns && touch /run/netns/stale && ln -s /nowhere /run/netns/link"


@pytest.mark.parametrize(
    "setup", [STALE, "umount -l /run/netns; mount -t tmpfs none /run && touch /run/netns"]
)
def test_names_that_lead_to_no_namespace(a_namespace, setup):
    """As those in a mount namespace that has the names without the mounts upon them."""
    assert Path("/run/netns", a_namespace).exists()
    run = in_mount_namespace(setup, *QUICK)
    assert (run.returncode, "Traceback" in run.stderr) == (0, False), run.stderr
    run = in_mount_namespace(setup, "sockets", "--all-netns", "--json")
    assert run.returncode == 0
    assert "Traceback" not in run.stderr
    named = in_mount_namespace(STALE, "-N", "stale", *QUICK)
    assert_one_line(named, 2, "there is no network namespace 'stale'")
