# SPDX-License-Identifier: Apache-2.0
"""The log of real runs: rotated, moved away, shared, killed; and what a report makes of it."""

import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.logs import lines_of
from tests.native.conftest import DEADLINE, generate, sockwatch, wait_for
from tracer.output.backups import backups_of

WATCHED = "127.0.0.5"
FLOOD = f"""
import socket, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.monotonic() + 600
while time.monotonic() < end:
    for _ in range(20):
        sock.sendto(b"x" * 64, ("{WATCHED}", 9999))
    time.sleep(0.005)
"""


def report(*arguments):
    argv = sockwatch("report", "--json", *arguments)
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    *groups, last = map(json.loads, done.stdout.splitlines())
    assert list(last) == ["coverage"]
    return groups, done.stderr


@pytest.mark.native
@pytest.mark.parametrize("options", [("--no-log-compress",), ()], ids=["plain", "compressed"])
def test_rotation_under_way(start, tmp_path, options):
    log = tmp_path / "mine"
    limits = ("--log-max-size", "10K")
    tracer = start("--dst", WATCHED, "-q", "--log", str(log), *limits, *options)
    truth = [line for _ in range(5) for line in generate("sendto", WATCHED, "count=23")]
    tracer.finish()
    files = [*backups_of(log), log]
    assert len(files) > 5
    assert all(file.stat().st_size <= 10 << 10 for file in files)
    groups, said = report(*files, "--by", "dst")
    (group,) = groups
    assert (group["dst"], group["count"]) == (WATCHED, len(truth))
    assert group["bytes"] == sum(line["bytes"] for line in truth)
    assert "damaged" not in said


@pytest.mark.native
def test_a_flow_that_has_many_events_has_few_lines(start):
    """Their sums are those of all, and the first are there at once."""
    tracer = start("--dst", WATCHED, "-q", merged=True)
    truth = generate("sendto", WATCHED, "count=500")
    run = tracer.finish()
    sent = [line for line in run.lines if line["event"] == "send"]
    assert sum(line["count"] for line in sent) == len(truth) == 500
    assert sum(line["bytes"] for line in sent) == sum(line["bytes"] for line in truth)
    assert [line["count"] for line in sent[:2]] == [1, 1]
    assert len(sent) < 250
    assert run.stop["matched"] == 500
    (group,) = report(tracer.log, "--by", "dst")[0]
    assert (group["count"], group["last"]) == (500, max(one.get("last_time", "") for one in sent))


@pytest.mark.native
def test_the_start_says_whose_log_it_is_and_how_long_it_is_kept(start):
    limits = ("--log-keep", "300M", "--log-keep-days", "7")
    first, second = (start("--dst", WATCHED, *limits).finish().lines for _ in range(2))
    begin = first[0]
    assert begin["format"] == 2
    assert begin["host"] == {
        "name": os.uname().nodename,
        "machine_id": machine_id(),
        "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
    }
    assert begin["log"] == {"keep": 300 << 20, "keep_days": 7}
    assert re.fullmatch("[0-9a-f]{16}", begin["run"])
    assert begin["run"] != second[0]["run"]


def machine_id():
    path = Path("/etc/machine-id")
    return (path.read_text().strip() or None) if path.exists() else None


@pytest.mark.native
@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (("--log-keep", "10M"), "--log-keep is less than one file (--log-max-size)"),
        (("--log-keep-days", "0"), "is not a number from 1"),
    ],
)
def test_a_log_that_would_keep_nothing(limits, said):
    argv = sockwatch("--dst", WATCHED, *limits)
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.native
def test_hangup_reopens(start, tmp_path):
    log, moved = tmp_path / "mine", tmp_path / "moved"
    tracer = start("--dst", WATCHED, "-q", "--log", str(log))
    generate("sendto", WATCHED, "port=1111")
    wait_for(lambda: "1111" in log.read_text())
    log.rename(moved)
    tracer.process.send_signal(signal.SIGHUP)
    generate("sendto", WATCHED, "port=2222")
    tracer.finish()
    lines = [*map(lines_of, (moved, log))]
    ports = [[one["dst"]["port"] for one in file if one["event"] == "send"] for file in lines]
    assert ports == [[1111], [2222]]
    assert [file[0]["event"] for file in lines] == ["start", "alive"]  # each stands alone
    assert lines[0][0]["host"] == lines[1][0]["host"]
    assert len({line["run"] for file in lines for line in file}) == 1


@pytest.mark.native
def test_one_log_has_one_writer(start, tmp_path):
    log = tmp_path / "mine"
    first = start("--dst", WATCHED, "-q", "--log", str(log))
    argv = sockwatch("--dst", WATCHED, "--log", log)
    second = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)
    assert (second.returncode, second.stdout) == (2, "")
    (line,) = second.stderr.splitlines()
    assert f"the log {log} is being written by process {first.process.pid}" in line


@pytest.mark.native
def test_killed_fifty_times_under_load(tmp_path):
    """No line is damaged but the last of a run, and a report reads all the others."""
    log, ready = tmp_path / "mine", tmp_path / "ready"
    options = ("-q", "--log", log, "--log-max-size", "0", "--ready-file", ready)
    argv = sockwatch("--dst", WATCHED, *options)
    with subprocess.Popen([sys.executable, "-c", FLOOD]) as flood:
        for _ in range(50):
            with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as tracer:
                wait_for(ready.exists)
                with pytest.raises(subprocess.TimeoutExpired):
                    tracer.wait(random.uniform(0.0, 0.2))
                tracer.kill()
            ready.unlink()
        flood.kill()
    assert tracer.returncode == -signal.SIGKILL
    lines = log.read_text().split("\n")
    last_of_runs = {i - 1 for i, line in enumerate(lines) if '"event":"start"' in line}
    last_of_runs.add(len(lines) - 1)  # empty, if the last line is whole
    damaged = [i for i, line in enumerate(lines) if not _is_whole(line)]
    assert set(damaged) <= last_of_runs
    whole = [json.loads(line) for line in lines if _is_whole(line)]
    assert sum(line["event"] == "start" for line in whole) >= 40
    groups, said = report(log, "--by", "dst")
    assert [group["dst"] for group in groups] == [WATCHED]
    assert groups[0]["count"] == sum(line["count"] for line in whole if line["event"] == "send")
    partial = [i for i in damaged if lines[i]]
    assert (f"{len(partial)} damaged" in said) == bool(partial)


def _is_whole(line):
    try:
        return "event" in json.loads(line)
    except ValueError:
        return False


@pytest.mark.native
def test_a_report_of_what_comes_by_a_pipe(start):
    tracer = start("--dst", WATCHED)
    generate("sendto", WATCHED, "count=3")
    tracer.finish()
    for name in ("-", "/dev/stdin"):
        argv = sockwatch("report", "--json", "--by", "dst", name)
        with (
            subprocess.Popen(["cat", tracer.log], stdout=subprocess.PIPE) as source,
            subprocess.Popen(argv, stdin=source.stdout, stdout=subprocess.PIPE) as report,
        ):
            row, _ = map(json.loads, report.communicate(timeout=DEADLINE)[0].splitlines())
        assert (row["dst"], row["count"]) == (WATCHED, 3)


@pytest.mark.native
@pytest.mark.parametrize("command", ["sockets", "report"])
def test_a_full_disk_is_a_failure(start, command):
    tracer = start("--dst", WATCHED)
    generate("sendto", WATCHED, "count=1")
    tracer.finish()
    argv = sockwatch(command, *([tracer.log] if command == "report" else []))
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            argv, check=False, stdout=full, stderr=subprocess.PIPE, text=True, timeout=DEADLINE
        )
    assert done.returncode == 2
    assert "cannot write the output (No space left on device)" in done.stderr


@pytest.mark.native
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("/no/such/file",), "cannot read /no/such/file (No such file or directory)"),
        (("--since", "soon"), "'soon' is not a time"),
        (("--by", "colour"), "Invalid value for '--by'"),
    ],
)
def test_a_report_that_cannot_be(arguments, said):
    argv = sockwatch("report", *arguments)
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line


@pytest.mark.native
def test_a_size_that_is_none():
    argv = sockwatch("--log-max-size", "big")
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 2
    assert "must be a number of bytes, as 100M" in done.stderr
