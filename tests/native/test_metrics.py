# SPDX-License-Identifier: Apache-2.0
"""Metrics of real traffic, as Prometheus reads them."""

import re
import shutil
import signal
import subprocess

import pytest

from tests.native.conftest import DEADLINE, generate, sockwatch, stopped, wait_for

WATCHED, OTHER = "127.0.0.51", "127.0.0.52"
SAMPLE = re.compile(r"sockwatch_(\w+?)(?:_total)?(?:\{(.*)\})? ([0-9.e+]+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def samples(path):
    """(name, labels, value) of each."""
    found = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            name, labels, value = SAMPLE.fullmatch(line).groups()
            found.append((name, dict(LABEL.findall(labels or "")), float(value)))
    return found


def sum_of(path, metric, **labels):
    return sum(
        value
        for name, have, value in samples(path)
        if name == metric and labels.items() <= have.items()
    )


def test_they_are_what_the_log_has(start, tmp_path):
    path = tmp_path / "sockwatch.prom"
    tracer = start("--dst", WATCHED, "--dst", OTHER, "-q", "--metrics", str(path))
    wait_for(path.exists)  # it comes a moment after the ready file
    assert [sum_of(path, name) for name in ("up", "matched_events", "dst_events")] == [1, 0, 0]
    assert ("dst_events", {"dst": OTHER}, 0) in samples(path)  # its first one is an increase
    generate("sendto", WATCHED, "count=3")
    generate("tcp_connection", OTHER, "port=7051")
    generate("tcp_refused", WATCHED, "port=9")
    run = tracer.finish()
    assert sum_of(path, "up") == 0
    assert path.stat().st_mode & 0o777 == 0o644
    for dst in (WATCHED, OTHER):
        lines = [one for one in run.lines if (one.get("dst") or {}).get("addr") == dst]
        for one in lines:
            assert sum_of(
                path, "events", dst=dst, proto=one["proto"], outcome=one["outcome"] or "",
                program=one["process"]["exe"],
            ) == sum(
                other["count"] for other in lines
                if all(one[name] == other[name] for name in ("proto", "outcome"))
            )  # fmt: skip
        assert sum_of(path, "dst_events", dst=dst) == sum(one["count"] for one in lines) > 0
        sent = sum(one["bytes_since"] if one["event"] == "close" else one["bytes"] for one in lines)
        assert sum_of(path, "sent_bytes", dst=dst) == sent > 0
    received = sum(
        one.get("bytes_received_since", one.get("bytes_received", 0)) for one in run.lines
    )
    assert sum_of(path, "received_bytes") == received > 0
    assert sum_of(path, "looked_at") == run.stop["seen"]
    assert sum_of(path, "matched_events") == run.stop["matched"] == sum_of(path, "events")
    assert sum_of(path, "lost_events") == 0
    assert sum_of(path, "build_info", probe=run.lines[0]["probe"]) == 1


def test_prometheus_takes_them(start, tmp_path):
    """Also where a program is named to break out of its label."""
    if shutil.which("promtool") is None:
        pytest.skip("there is no promtool (Debian: prometheus)")
    hostile = tmp_path / '"} 1\nsockwatch_up{x="\\'
    shutil.copy("/usr/bin/python3", hostile)
    path = tmp_path / "sockwatch.prom"
    tracer = start("--dst", WATCHED, "-q", "--metrics", str(path))
    code = f"import socket; socket.socket(type=2).sendto(b'x', ('{WATCHED}', 9))"
    subprocess.run([hostile, "-c", code], check=True, timeout=DEADLINE)
    tracer.finish()
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=path.read_bytes(), capture_output=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
    (program,) = {labels["program"] for name, labels, _ in samples(path) if name == "events"}
    assert program.endswith(r"/\"} 1\\nsockwatch_up{x=\"\\")


def test_they_are_kept_up_to_date(start, tmp_path):
    path = tmp_path / "sockwatch.prom"
    tracer = start("--dst", WATCHED, "-q", "--metrics", str(path))
    wait_for(path.exists)
    generate("sendto", WATCHED)
    wait_for(lambda: sum_of(path, "dst_events") == 1)
    assert sum_of(path, "up") == 1
    tracer.finish(signal.SIGKILL)
    assert sum_of(path, "up") == 1  # only the time of the last update tells


def test_a_write_that_fails_does_not_end_tracing(start, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    tracer = start("--dst", WATCHED, "-q", "--metrics", str(folder / "sockwatch.prom"))
    wait_for((folder / "sockwatch.prom").exists)
    with stopped(tracer):
        shutil.rmtree(folder)
    generate("sendto", WATCHED)
    run = tracer.finish()
    assert (run.status, len(run.events)) == (0, 1)
    assert run.err.count("cannot write the metrics") == 1
    assert "(No such file or directory): what it has is old" in run.err


def test_another_users_folder(start, tmp_path):
    """The tracer has given up most of its privileges when it writes there."""
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o755)
    shutil.chown(folder, 65534)
    path = folder / "sockwatch.prom"
    tracer = start("--dst", WATCHED, "-q", "--metrics", str(path))
    generate("sendto", WATCHED)
    run = tracer.finish()
    assert "cannot write" not in run.err
    assert sum_of(path, "dst_events") == 1
    assert path.stat().st_uid == 65534


@pytest.mark.parametrize("place", ["no/sockwatch.prom", "folder"])
def test_a_bad_path_is_refused_at_the_start(tmp_path, place):
    (tmp_path / "folder").mkdir()
    run = subprocess.run(
        sockwatch("--no-log", "--duration", "0", "--metrics", tmp_path / place),
        capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert (run.returncode, len(run.stderr.splitlines())) == (2, 1)
