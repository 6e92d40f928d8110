# SPDX-License-Identifier: Apache-2.0
"""What a report says of the time that real traces cover: with a gap, a kill, a rotation."""

import datetime as dt
import gzip
import json
import signal
import subprocess
import sys

import pytest

from tests.logs import lines_of
from tests.native.conftest import DEADLINE, generate, sockwatch, wait_for
from tracer.output.backups import backups_of
from tracer.report.times import as_logged

WATCHED = "127.0.0.5"
QUIET = "127.0.0.6"  # nobody sends there
BOTH = ("--dst", "127.0.0.0/28", "-q")
# a minute takes a tenth of a second
HASTY = """
from tracer.trace import alive
alive.PERIOD = 100_000_000
from tracer.cli.main import main
main()
"""
NOBODY, SOMEBODY, NOT_PROVEN = 0, 1, 4

pytestmark = pytest.mark.native


def report(*arguments):
    """Status, coverage, and what is said."""
    argv = sockwatch("report", "--json", *arguments)
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)
    return done.returncode, json.loads(done.stdout.splitlines()[-1])["coverage"], done.stderr


def text_of(log):
    """Empty while it is being rotated."""
    try:
        return log.read_text()
    except FileNotFoundError:
        return ""


def proved(log, *filters):
    status, found, said = report("--prove", *filters, log)
    assert found["proven"] == (status == NOBODY)
    return status, found, said


def kept(log):
    return lines_of(log)


def test_nobody_and_somebody(start, tmp_path):
    log = tmp_path / "mine"
    tracer = start(*BOTH, "--log", str(log))
    generate("sendto", WATCHED, "count=3")
    tracer.finish()
    first, *_, last = kept(log)
    status, found, said = proved(log, "--dst", QUIET)
    assert status == NOBODY, said
    assert (found["since"], found["until"]) == (first["time"], last["time"])
    assert "sockwatch: nobody matches --dst 127.0.0.6, " in said
    assert proved(log, "--dst", WATCHED)[0] == SOMEBODY
    for beyond in ((), ("--dst", "127.1.0.1"), ("--not-dst", WATCHED)):
        status, _, said = proved(log, *beyond, "-P", "1")
        assert status == NOT_PROVEN
        assert "was traced with --dst 127.0.0.0/28, not all of " in said


def test_a_gap_and_a_kill(start, tmp_path):
    log = tmp_path / "mine"
    killed = start(*BOTH, "--log", str(log))
    generate("sendto", WATCHED, "count=3")
    wait_for(lambda: log.read_text().count('"event":"send"') == 3)
    killed.process.kill()
    killed.process.wait()
    generate("sendto", QUIET)  # nobody watches
    start(*BOTH, "--log", str(log)).finish()
    first, *_, last, again, end = kept(log)
    status, found, said = proved(log, "--dst", QUIET)
    assert status == NOT_PROVEN
    assert [(one["since"], one["until"]) for one in found["traced"]] == [
        (first["time"], last["time"]),
        (again["time"], end["time"]),
    ]
    assert found["not_covered"] == [{"since": last["time"], "until": again["time"]}]
    assert " s not covered" in said
    status, *_ = proved(log, "--dst", QUIET, "--since", again["time"], "--until", end["time"])
    assert status == NOBODY


def hasty():
    return [sys.executable, "-c", HASTY]


def test_a_killed_run_tells_how_far_it_came(start, tmp_path):
    log = tmp_path / "mine"
    tracer = start(*BOTH, "--log", str(log), command=hasty())
    wait_for(lambda: log.read_text().count('"event":"alive"') >= 3)
    tracer.process.kill()
    tracer.process.wait()
    begin, *alive = kept(log)
    assert {line["event"] for line in alive} == {"alive"}
    assert [line["lines"] for line in alive] == list(range(1, len(alive) + 1))
    for line in alive:
        filters = {"dst": ["127.0.0.0/28"], "accept": True, "forward": True}
        assert line["filter"] == begin["filter"] == filters
        assert line["host"] == begin["host"]
        assert (line["matched"], line["log_lines_lost"]) == (0, 0)
        assert line["seen"] >= 0
    status, found, said = proved(log, "--dst", QUIET)
    assert status == NOBODY, said
    assert (found["since"], found["until"]) == (begin["time"], alive[-1]["time"])


def test_a_run_whose_beginning_is_rotated_away(start, tmp_path):
    log = tmp_path / "mine"
    limits = ("--log-max-size", "20K", "--log-keep", "24K")
    tracer = start(*BOTH, "--log", str(log), *limits, command=hasty())
    sent = 0
    while len(backups_of(log)) < 2 or '"event":"start"' in first_of(log):
        sent += len(generate("sendto", WATCHED, "count=23"))
        assert sent < 2300
    wait_for(lambda: text_of(log).count('"event":"alive"') >= 2)
    tracer.finish()
    status, found, said = proved(log, "--dst", QUIET)
    assert status == NOBODY, said
    (traced,) = found["traced"]
    assert traced["filter"] == {"dst": ["127.0.0.0/28"], "accept": True, "forward": True}
    assert traced["until"] == kept(log)[-1]["time"]
    (gone,) = found["rotated_away"]
    assert f"{gone['lines']:,} lines rotated away before " in said
    status, found, _ = proved(log, "--dst", QUIET, "--since", "2026-01-01", "--until", "1s")
    assert status == NOT_PROVEN
    # all that was sent is in the log, or rotated away
    groups = subprocess.run(
        sockwatch("report", "--json", "--by", "dst", log), check=True, capture_output=True
    ).stdout.splitlines()
    (group,) = (json.loads(line) for line in groups[:-1])
    assert group["count"] <= sent <= group["count"] + gone["lines"]


def first_of(log):
    return next((gzipped(path)[:200] for path in (*backups_of(log), log)), "")


def gzipped(path):
    return gzip.open(path, "rt").read() if path.suffix == ".gz" else path.read_text()


def test_what_comes_after_the_last_of_a_count_is_not_covered(start, tmp_path):
    log = tmp_path / "mine"
    tracer = start(*BOTH, "-c", "2", "--log", str(log))
    tracer.process.send_signal(signal.SIGSTOP)
    generate("sendto", WATCHED, "count=5")
    later = as_logged(dt.datetime.now(dt.UTC))
    tracer.process.send_signal(signal.SIGCONT)
    tracer.finish(None)
    *_, event, stop = kept(log)
    assert (event["event"], stop["event"]) == ("send", "stop")
    assert stop["time"] < later


def test_what_a_filter_cannot_decide_proves_nothing(start, tmp_path):
    log = tmp_path / "mine"
    tracer = start("--uid", "0", "--dst", WATCHED, "-q", "--log", str(log))
    generate("sendto", WATCHED, "count=1")
    tracer.finish()
    assert proved(log, "--dst", QUIET)[0] == NOT_PROVEN
    assert proved(log, "--uid", "0", "--dst", WATCHED)[0] == SOMEBODY
    assert proved(log, "--uid", "0", "--dst", WATCHED, "-P", "1")[0] == NOBODY
