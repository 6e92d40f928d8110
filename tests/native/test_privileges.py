# SPDX-License-Identifier: Apache-2.0
"""What works with how little, and what is given up."""

import contextlib
import functools
import json
import os
import pwd
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cases import PRIVILEGES
from tests.logs import whole
from tests.native.conftest import DEADLINE, sockwatch, talking, wait_for
from tests.native.test_identity import the_cgroup2
from tracer.capabilities import Capability

pytestmark = pytest.mark.native

WATCHED = "127.0.0.5"
NOBODY = pwd.getpwnam("nobody")
KEPT = {"CAP_BPF", "CAP_NET_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN"}


def as_nobody(*capabilities):
    """The command to begin with."""
    sets = ",".join(["-all", *(f"+cap_{Capability[name]:d}" for name in capabilities)])
    ids = [f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups"]
    return ["setpriv", *ids, "--inh-caps", sets, "--ambient-caps", sets, "--bounding-set", sets]


@pytest.fixture
def nobodys(tmp_path_factory):
    """A folder of that user's; skips where it cannot read this checkout."""
    folder = tmp_path_factory.mktemp("nobodys")
    for parent in folder.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
    reads = [*as_nobody(), sys.executable, "-c", "import tracer.cli.main"]
    if subprocess.run(reads, check=False, capture_output=True, timeout=DEADLINE).returncode:
        pytest.skip("another user cannot read this checkout")
    return folder


@pytest.fixture
def without(nobodys, namespaces):
    """What a tracer without one of the capabilities logs: of a process from before that shares its
    socket, and of one in another namespace."""

    def run(missing):
        command = [*as_nobody(*(name for name in PRIVILEGES if name != missing)), *sockwatch()]
        options = ("--log", str(nobodys / "log"), "--ready-file", str(nobodys / "ready1"))
        argv = [*command, "-P", "7090,7091", "-q", *options]
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener,
            talking("udp", WATCHED, "7090", "connect", "share") as here,
            talking("udp", "10.0.0.5", "7091", "connect", netns=namespaces.near) as there,
            subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as tracer,
            contextlib.ExitStack() as cleanup,
        ):
            cleanup.callback(tracer.kill)
            listener.bind((WATCHED, 7090))
            wait_for(lambda: (nobodys / "ready1").exists() or tracer.poll() is not None)
            if tracer.poll() is None:
                there.talk()
                for number in range(1, 21):  # until it may look at all descriptors once more
                    here.talk()
                    wait_for(functools.partial(_has_sends, nobodys / "log", 1 + number))
                tracer.terminate()
            said = tracer.communicate(timeout=DEADLINE)[1]
        log = nobodys / "log"
        return tracer.returncode, said, log.read_text() if log.exists() else ""

    return run


def _has_sends(log, number):
    return log.read_text().count('"event":"send"') == number


@pytest.mark.usefixtures("nobodys")
@pytest.mark.parametrize("missing", ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"])
def test_no_tracing_without(missing):
    enough = {*PRIVILEGES} - {missing, "CAP_SYS_ADMIN"}
    argv = [*as_nobody(*enough), *sockwatch("--no-log", "--duration", "0")]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"not permitted to trace ({missing} missing): run it as root" in line


@pytest.mark.parametrize(
    "missing", [None, "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN"]
)
def test_tracing_without(without, missing):
    status, said, log = without(missing)
    assert status == 0, said
    lines = whole(log)
    events = {(line["event"], line["dst"]["port"]): line for line in lines if "dst" in line}
    here, there = events["send", 7090], events["send", 7091]
    assert (here["process"]["exe"] is None) == (missing == "CAP_SYS_PTRACE")
    holders = here["process"]["holders"]
    assert (holders is None) == (missing in ("CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"))
    assert (("existing", 7091) in events) == (missing != "CAP_SYS_ADMIN")
    assert (there["route"] is None) == (missing == "CAP_SYS_ADMIN")
    assert here["route"]["interface"] == "lo"


@pytest.mark.usefixtures("nobodys")
@pytest.mark.parametrize("capabilities", [(), ("CAP_DAC_READ_SEARCH",)])
def test_a_listing_as_another_user(capabilities):
    """Who holds a socket is null where not all can be looked into, and said: with the one
    capability the folders of descriptors can be opened, and the links in them not be read."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        listing = sockwatch("sockets", "--src", "127.0.0.1", "--sport", str(sock.getsockname()[1]))
        argv = [*as_nobody(*capabilities), *listing]
        table, lines = (
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=DEADLINE)
            for command in (argv, [*argv, "--json"])
        )
    row = json.loads(lines.stdout)
    assert (row["processes"], row["uid"]) == (None, 0)
    assert table.stdout.splitlines()[1].split()[-3:] == ["?", "?", "root"]
    assert table.stderr == lines.stderr
    others = "sockwatch: network namespaces that cannot be entered"  # if there are others here
    here, held = (line for line in table.stderr.splitlines() if not line.startswith(others))
    assert re.fullmatch(
        r"sockwatch: \d+ of the processes cannot be looked into: network namespaces that only they "
        "are in are not listed: run it as root",
        here,
    )
    may_be = "1 of the sockets may be held by processes that cannot be looked into: run it as root"
    assert held == f"sockwatch: {may_be}"


@pytest.mark.usefixtures("nobodys")
def test_other_namespaces_as_another_user(namespaces):
    """What can be listed is, and what cannot is named; the one that is asked for is an error."""
    listing = [*as_nobody(), *sockwatch("sockets")]
    done, asked_for = (
        subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)
        for argv in (listing, [*listing, "-N", namespaces.far])
    )
    assert (done.returncode, done.stdout.split()[0]) == (0, "PROTO")
    (said,) = [line for line in done.stderr.splitlines() if "cannot be entered" in line]
    assert said.startswith("sockwatch: network namespaces that cannot be entered are not listed, /")
    assert said.endswith(": run it as root")
    assert (asked_for.returncode, asked_for.stdout) == (2, "")
    assert f"/run/netns/{namespaces.far} cannot be entered" in asked_for.stderr


@pytest.mark.usefixtures("nobodys")
def test_paths_of_cgroups():
    root = the_cgroup2()
    code = (
        "import os, sys\n"
        "from tracer.host import cgroup\n"
        "print(cgroup.path(os.stat(sys.argv[1]).st_ino))\n"
    )
    for capabilities, path in ((["CAP_DAC_READ_SEARCH"], "/"), ([], "None")):
        argv = [*as_nobody(*capabilities), sys.executable, "-c", code, str(root)]
        done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=DEADLINE)
        assert done.stdout.strip() == path


def _mask(pid, name):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(f"\n{name}:")[2].split()[0], 16)


@pytest.mark.parametrize("mine", [True, False])
def test_what_is_not_needed_is_given_up(start, nobodys, tmp_path, mine):
    """In another user's folder the log can only be rotated with CAP_DAC_OVERRIDE."""
    folder = tmp_path if mine else nobodys
    tracer = start("--dst", WATCHED, "--log", str(folder / "log"))
    pid = tracer.process.pid
    others = set() if mine else {"CAP_DAC_OVERRIDE", "CAP_CHOWN"}
    wanted = sum(1 << Capability[name] for name in KEPT | others)
    own = _mask("self", "CapEff")
    for name in ("CapEff", "CapPrm", "CapBnd"):
        assert _mask(pid, name) == wanted & own
    assert _mask(pid, "CapInh") == _mask(pid, "CapAmb") == 0
    assert _mask(pid, "NoNewPrivs") == 1


def test_a_command_keeps_its_own():
    argv = sockwatch("--no-log", "-q", "--", "cat", "/proc/self/status")
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=DEADLINE)
    assert int(done.stdout.partition("\nCapEff:")[2].split()[0], 16) == _mask("self", "CapEff")
