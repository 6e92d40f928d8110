# SPDX-License-Identifier: Apache-2.0
"""``sockwatch report --format``, on logs that the log's own writer made."""

import gzip
import json
import subprocess
import sys
from ipaddress import ip_network

import click
import pytest

from tests.samples import flow, process
from tests.test_report import LINES, MARKS, at, line, to
from tracer.cli import report
from tracer.errors import UsageError
from tracer.filter.filters import NO_FILTERS, Filters
from tracer.report.convert import FORMATS, converted
from tracer.report.expand import Expansion
from tracer.report.files import with_backups
from tracer.report.times import Period

EVER = Period("", "")


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log"
    path.write_text(MARKS[0] + "".join(LINES) + MARKS[1])
    return path


def run(*arguments, **more):
    argv = [sys.executable, "-m", "tracer", "report", *map(str, arguments)]
    return subprocess.run(argv, check=False, capture_output=True, timeout=60, **more)


def times_of(*files, name="ecs", filters=NO_FILTERS, period=EVER):
    """When each event was that is converted, and what is said of them."""
    expansion = Expansion(filters, period, with_runs=False)
    lines = list(expansion.lines(with_backups(files), lambda _: None))
    found = [converted(line, name, no_args=False)["@timestamp"] for line in lines]
    return found, expansion.summary(len(found))


@pytest.mark.parametrize("name", FORMATS)
def test_each_event_is_a_line(log, name):
    """Lines about the run are none."""
    found = run("--format", name, log)
    lines = [json.loads(text) for text in found.stdout.splitlines()]
    assert (found.returncode, len(lines)) == (0, len(LINES))
    assert lines == [FORMATS[name](json.loads(text)) for text in LINES]
    assert found.stderr == b"sockwatch: 8 lines, 6 written\n"


def test_filters_and_the_period(log):
    assert times_of(log, filters=Filters(dst=(ip_network("10.0.0.6"),)))[0] == [at(20)]
    assert times_of(log, filters=Filters(proto=frozenset({"tcp"})))[0] == [at(40), at(50)]
    assert times_of(log, filters=Filters(failed=True))[0] == [at(50)]
    assert times_of(log, period=Period(at(10), at(20)))[0] == [at(10), at(20)]
    assert times_of(log, period=Period(at(41), ""))[0] == [at(50)]


def test_the_options(log):
    lines = run("--format", "ecs", "--dst", "10.0.0.5", "-x", "--since", at(40), log).stdout
    assert [json.loads(text)["@timestamp"] for text in lines.splitlines()] == [at(50)]


def test_backups_come_first(log):
    log.with_name("log.1.gz").write_bytes(gzip.compress(line(-60 + 60, to("10.0.0.9")).encode()))
    found, said = times_of(log)
    assert found[:2] == [at(0), at(0)]
    assert said == "9 lines, 7 written"


def test_what_may_match_is_said(log):
    """Whose socket it is that was closed is not known."""
    unknown = flow(process=process(exe=None, cgroup=None))
    log.write_text(line(0, unknown))
    assert times_of(log, filters=Filters(unit=frozenset({"a.service"}))) == (
        [], "1 lines, 0 written, 1 left out: they may match",
    )  # fmt: skip


def test_damage_is_counted(log):
    damaged = LINES[0].replace('"ppid":4200', '"ppid":"4200"')
    assert damaged != LINES[0]
    log.write_text(MARKS[0] + LINES[1][:-20] + "\n" + damaged + LINES[0])
    found = run("--format", "otel", log)
    assert found.stderr == b"sockwatch: 4 lines, 1 written, 2 damaged and left out\n"


def test_what_is_no_log(tmp_path):
    path = tmp_path / "odd"
    path.write_text("{}\n")
    found = run("--format", "ecs", path)
    assert found.returncode == 2
    assert b"is no log of sockwatch" in found.stderr
    assert b"No such file" in run("--format", "ecs", tmp_path / "none").stderr


def test_arguments_are_left_out(log):
    assert b"@10.0.0.5" in run("--format", "ecs", log).stdout
    found = run("--format", "ecs", "--no-args", log)
    assert found.returncode == 0
    assert b"@10.0.0.5" not in found.stdout


def test_it_streams():
    """A line comes before the next one is read, and nothing is kept."""
    first, *_ = LINES
    argv = [sys.executable, "-m", "tracer", "report", "--format", "ecs", "-"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        for _ in range(3):
            one.stdin.write(first)
            one.stdin.flush()
            assert json.loads(one.stdout.readline())["@timestamp"] == at(0)
        one.stdin.close()
        assert one.wait(60) == 0


def test_a_reader_that_goes_away(log):
    """As head does."""
    log.write_text(LINES[0] * 3000)  # more than a pipe holds
    argv = [sys.executable, "-m", "tracer", "report", "--format", "ecs", str(log)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one:
        one.stdout.readline()
        one.stdout.close()
        assert (one.stderr.read(), one.wait(60)) == (b"", 0)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--format", "ecs", "--by", "dst"), "--format and --by exclude each other"),
        (("--format", "ecs", "--json"), "--format and --json exclude each other"),
        (("--format", "ecs", "--prove"), "--format and --prove exclude each other"),
        (("--format", "ecs", "--html", "x"), "--format and --html exclude each other"),
        (("--format", "ecs", "--sort", "bytes"), "--format and --sort exclude each other"),
        (("--format", "ecs", "--top", "3"), "--format and --top exclude each other"),
        (("--format", "ecs", "-r"), "--format and --resolve exclude each other"),
        (("--format", "ecs", "--expand"), "--format and --expand exclude each other"),
        (("--expand", "--by", "dst"), "--expand and --by exclude each other"),
        (("--no-args",), "--no-args leaves out nothing but with --format"),
        (("--format", "ecs", "--since", "2026-11-25", "--until", "2026-11-24"), "--since is later"),
    ],
)
def test_what_does_not_go_together(words, says, log):
    with pytest.raises(UsageError, match=says):
        report.command.main([*words, str(log)], standalone_mode=False)


def test_another_format(log):
    with pytest.raises(click.BadParameter):
        report.command.main(["--format", "cef", str(log)], standalone_mode=False)
