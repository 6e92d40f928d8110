# SPDX-License-Identifier: Apache-2.0
"""What a user sees and finds: table, JSON, log, answer, control, errors."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tiny
from tests.cases import PROBE_NAMES
from tests.logs import lines_of, whole
from tests.native.conftest import DEADLINE, generate, sockwatch, wait_for

WATCHED = "127.0.0.5"


def test_table_aligns_and_fits(start):
    tracer = start("--dst", WATCHED, "--dst", "::1")
    generate("sendto", WATCHED, "count=2")
    generate("sendto", "::1")
    generate("connect", WATCHED, "port=9")
    run = tracer.finish()
    header, *rows = run.out.splitlines()[:6]
    names = ["TIME", "PID", "WHO", "USER", "PROTO", "LOCAL", "REMOTE", "BYTES", "RESULT"]
    assert header.split() == names
    assert all(" generator.py " in row for row in rows)
    assert all(row.split()[-3].rpartition(":")[0] in (WATCHED, "[::1]") for row in rows)
    assert [row.split()[-1] for row in rows] == [
        "sent",
        "sent",
        "sent",
        "connect",
        "ECONNREFUSED",
    ]
    assert "\x1b" not in run.out


def test_no_header_and_quiet(start):
    bare, quiet = start("--dst", WATCHED, "-H"), start("--dst", WATCHED, "-q")
    generate("sendto", WATCHED)
    event, *answer = bare.finish().out.splitlines()
    assert event.split()[-1] == "sent"
    run = quiet.finish()
    assert run.out.splitlines() == answer  # what is left to tell is the answer
    assert len(run.events) == 1


def test_json_is_the_logs_lines(start):
    tracer = start("--dst", WATCHED, "--json")
    generate("sendto", WATCHED, "count=3")
    run = tracer.finish()
    assert run.out == run.log.read_text()


def test_first_and_last_line_and_the_answer(start, best_probe):
    tracer = start("--dst", WATCHED, "--not-dst", "127.0.0.7", "-P", "53,8000-9999")
    truth = generate("sendto", WATCHED, "count=23")
    run = tracer.finish()
    first, last = run.lines[0], run.lines[-1]
    assert first["event"] == "start"
    assert first["probe"] == best_probe
    assert first["filter"] == {
        "dst": [WATCHED],
        "not_dst": ["127.0.0.7"],
        "dport": ["53", "8000-9999"],
        "accept": True,
        "forward": True,
    }
    assert {"version", "refused", "blind_spots"} <= set(first)
    assert (last["event"], last["matched"], last["coalesced"], last["lost"]) == ("stop", 23, 0, 0)
    assert last["seen"] >= 23
    assert last["duration"] > 0
    line = run.out.splitlines()[-1]
    assert " generator.py " in line
    assert line.split()[0] == str(truth[0]["pid"])
    assert f" udp {WATCHED}:9999 23 {sum(range(23))} " in " ".join(line.split())
    last_said = run.err.splitlines()[-1]
    assert re.search(
        r": 23 events matched of [\d,]+ looked at in [\d.]+ s; none missed\.$", last_said
    )


def test_nothing_seen_is_an_answer_too(start):
    run = start("--dst", "127.0.0.99").finish()
    assert run.events == []
    said = run.err.splitlines()[-1]
    assert re.match(
        r"sockwatch: Nobody sent to 127\.0\.0\.99 in [\d.]+ s \([\d,]+ events looked at, none "
        r"missed\); not looked for: ",
        said,
    )


def test_a_socket_from_before_is_no_proof_of_nobody(start):
    """A TCP connection from before the start may send, and no event tells of it."""
    with (
        socket.create_server(("127.0.0.98", 0)) as server,
        socket.create_connection(server.getsockname()),
    ):
        run = start("--dst", "127.0.0.98").finish()
    assert len(run.existing) == run.stop["existing"]
    said = run.err.splitlines()[-1]
    assert f"No event of dst 127.0.0.98 was seen in {run.stop['duration']:.1f} s (" in said
    assert f": already connected {run.stop['existing']}; not looked for: " in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_cleanly(start, number):
    run = start("--dst", WATCHED).finish(number)
    assert run.status == 0
    assert run.lines[-1]["event"] == "stop"


def test_count_and_duration_end_by_themselves(start):
    counted, timed = start("--dst", WATCHED, "-c", "5"), start("--duration", "0.3", "-p", "1")
    generate("sendto", WATCHED, "count=23")
    run = counted.finish(None)
    assert (run.status, len(run.events)) == (0, 5)
    assert timed.finish(None).status == 0


def test_time_is_wall_clock(start):
    tracer = start("--dst", WATCHED)
    before = time.time()
    generate("sendto", WATCHED)
    after = time.time()
    (event,) = tracer.finish().events
    sent = time.strptime(event["time"][:19], "%Y-%m-%dT%H:%M:%S")
    fraction = float(event["time"][19:-1])
    seconds = time.mktime(sent) - time.timezone + fraction
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", event["time"])
    assert before - 0.001 <= seconds <= after + 0.001


def test_a_name_cannot_reach_the_terminal_raw(start):
    tracer = start("--dst", WATCHED)
    generate("name", WATCHED, r"comm=\x1b[31mred\x07\n")
    run = tracer.finish()
    (event,) = run.events
    assert event["process"]["comm"] == "\x1b[31mred\x07\n"
    assert r"\x1b[31mr" in run.out
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", run.out + run.err + run.log.read_text())
    assert len(run.out.splitlines()) == 4  # an event, the answer, and their headers


def test_log_is_appended_to_and_private(start, tmp_path):
    log = tmp_path / "mine.jsonl"
    for _ in range(2):
        tracer = start("--dst", WATCHED, "--log", str(log))
        generate("sendto", WATCHED)
        tracer.finish()
    lines = lines_of(log)
    assert [line["event"] for line in lines] == ["start", "send", "stop"] * 2
    assert log.stat().st_mode & 0o777 == 0o640


def test_half_a_line_of_a_killed_run_is_closed(start, tmp_path):
    log = tmp_path / "mine.jsonl"
    log.write_text('{"time":"2026-')
    start("--dst", WATCHED, "--log", str(log)).finish()
    lines = log.read_text().splitlines()
    assert lines[0] == '{"time":"2026-'
    assert json.loads(lines[1])["event"] == "start"


def test_a_full_disk_stops_nothing(start):
    tracer = start("--dst", WATCHED, "--log", "/dev/full", "--json")
    generate("sendto", WATCHED, "count=3")
    run = tracer.finish()
    assert run.status == 0
    lines = list(whole(run.out))
    assert [line["event"] for line in lines] == ["start", *["send"] * 3, "stop"]
    lost = lines[-1]["log_lines_lost"]  # all before it, the process's each time
    assert 5 <= lost <= 7
    assert run.err.count("No space left on device") == 1
    assert f"log lines lost {lost + 1}" in run.err


def test_a_disk_that_fills_up_keeps_whole_lines(start, tmp_path):
    """A file size limit cuts a write short as a full disk does."""
    log = tmp_path / "mine.jsonl"
    limited = ["prlimit", "--fsize=20000", *sockwatch()]
    tracer = start("--dst", WATCHED, "--log", str(log), command=limited)
    generate("sendto", WATCHED, "count=100")
    run = tracer.finish()
    assert run.status == 0
    text = log.read_text()
    kept = [json.loads(line) for line in text.splitlines()]
    lost = int(re.search(r"log lines lost ([\d,]+)", run.err).group(1).replace(",", ""))
    assert text.endswith("\n")
    assert [line["event"] for line in kept[:2]] == ["start", "process"]
    assert len(kept) + lost >= 1 + 1 + 100 + 1


@pytest.mark.parametrize(("options", "status"), [((), 0), (("--strict",), 3)])
def test_an_output_that_is_full_stops_nothing(tmp_path, options, status):
    ready, log = tmp_path / "ready", tmp_path / "log"
    argv = sockwatch("--dst", WATCHED, "--log", log, "--ready-file", ready, *options)
    with open("/dev/full", "w") as full:
        process = subprocess.Popen(argv, stdout=full, stderr=subprocess.PIPE, text=True)
    wait_for(ready.exists)
    generate("sendto", WATCHED, "count=3")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == status
    assert err.count("No space left on device") == 1
    assert "output lines lost 6." in err  # three events, the answer, and their headers
    assert [line["event"] for line in lines_of(log)] == [
        "start",
        *["send"] * 3,
        "stop",
    ]


def test_a_signal_while_it_starts():
    process = subprocess.Popen(sockwatch("--no-log", "-q"), stderr=subprocess.PIPE, text=True)
    wait_for(lambda: signal_handled(process.pid, signal.SIGTERM))
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert "Traceback" not in err


def signal_handled(pid, number):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"SigCgt:\s+(\w+)", status).group(1), 16) >> (number - 1) & 1


def test_names_that_the_terminal_cannot_show(start, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    tracer = start("--dst", WATCHED, "--by", "pid")
    generate("name", WATCHED, r"comm=\u65e5\u672c")
    run = tracer.finish()
    assert run.status == 0
    assert r" COMM " in run.out
    assert r" \u65e5\u672c " in run.out


def test_a_process_starts_at_one_time_only(start):
    tracer = start("--dst", WATCHED)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for port in (9998, 9999):
            sock.sendto(b"x", (WATCHED, port))
            time.sleep(0.1)  # another batch
    run = tracer.finish()
    first, second = (event["process"] for event in run.events)
    assert first["start_time"] == second["start_time"]
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    assert first["start_boottime"] == second["start_boottime"] == ticks / os.sysconf("SC_CLK_TCK")
    assert (
        run.lines[0]["host"]["boot_id"]
        == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    )


def test_a_reader_that_goes_away_ends_it(start):
    tracer = start("--dst", WATCHED)
    tracer.process.stdout.close()
    generate("sendto", WATCHED)
    tracer.process.wait(DEADLINE)
    assert tracer.process.returncode == 0
    assert "Traceback" not in tracer.process.stderr.read()


def test_a_reader_that_goes_away_ends_it_without_an_event(start):
    tracer = start("--dst", WATCHED)
    assert tracer.process.stdout.readline().startswith("TIME")
    tracer.process.stdout.close()
    assert tracer.process.wait(DEADLINE) == 0


@contextlib.contextmanager
def nobody_reads(kind: str, folder: Path) -> Iterator[tuple[int, int]]:
    """A place to write to that takes no more, and its other end."""
    if kind == "terminal":
        reader, ours = os.openpty()
        termios.tcflow(ours, termios.TCOOFF)  # Ctrl-S
    elif kind == "fifo":
        os.mkfifo(folder / "fifo")
        reader = os.open(folder / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        ours = os.open(folder / "fifo", os.O_WRONLY)
    else:
        reader, ours = os.pipe()
    os.set_blocking(ours, False)
    for size in (4096, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(ours, b"." * size)
    os.set_blocking(ours, True)
    try:
        yield ours, reader
    finally:
        os.close(ours)
        os.close(reader)


@pytest.mark.parametrize("kind", ["pipe", "fifo", "terminal"])
@pytest.mark.parametrize(
    "end",
    [signal.SIGINT, signal.SIGTERM, ("-c", "23"), ("--duration", "0.3")],
    ids=["SIGINT", "SIGTERM", "count", "duration"],
)
def test_it_can_be_stopped_while_nobody_reads_and_the_log_is_whole(tmp_path, kind, end):
    ready, log = tmp_path / "ready", tmp_path / "log"
    options = end if isinstance(end, tuple) else ()
    files = ("--log", log, "--log-each", "--ready-file", ready)
    argv = sockwatch("--dst", WATCHED, *files, *options)
    with nobody_reads(kind, tmp_path) as (place, _):
        process = subprocess.Popen(argv, stdout=place, stderr=place)
        try:
            wait_for(ready.exists)
            if "--duration" not in options:
                generate("sendto", WATCHED, "count=23")
                wait_for(lambda: log.read_text().count('"event":"send"') == 23)
            if not options:
                process.send_signal(end)
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()
            process.wait()
        assert os.get_blocking(place)
    assert json.loads(log.read_text().splitlines()[-1])["event"] == "stop"


@pytest.mark.native
@pytest.mark.parametrize("kind", ["pipe", "terminal"])
@pytest.mark.parametrize("words", ["--help", "--bad", "report", "sockets", "sockets -h"])
def test_a_command_that_nobody_reads_can_be_stopped(tmp_path, kind, words):
    log = tmp_path / "log"
    log.touch()
    argv = sockwatch(*words.split(), *([log] if words == "report" else ()))
    with nobody_reads(kind, tmp_path) as (place, _):
        process = subprocess.Popen(argv, stdout=place, stderr=place)
        try:
            wait_for(lambda: _waits_to_write(process.pid))
            process.send_signal(signal.SIGINT)
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()
            process.wait()


def _waits_to_write(pid: int) -> bool:
    """In write(2) on x86_64, to standard output or error."""
    return Path(f"/proc/{pid}/syscall").read_text().startswith(("1 0x1 ", "1 0x2 "))


MANY = f"""
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    for _ in iter(input, ""):
        for _ in range(100):
            sock.sendto(b"x", ("{WATCHED}", 9999))
"""


def send_long_lines(log: Path, hundreds: int) -> None:
    """Sends as many datagrams as can be logged one by one, by a program with a path of 3,700
    letters."""
    folder = log.parent.joinpath(*["x" * 250] * 14)
    folder.mkdir(parents=True)
    python = shutil.copy(os.path.realpath(sys.executable), folder / "python")
    argv = [python, "-c", MANY]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, text=True) as sender:
        for number in range(hundreds):
            sender.stdin.write("more\n")
            sender.stdin.flush()
            wait_for(lambda sent=number: log.read_bytes().count(b'"send"') == 100 * (sent + 1))
        sender.stdin.write("\n")


@pytest.mark.native
def test_a_reader_that_pauses_gets_every_line(start):
    tracer = start("--dst", WATCHED, "--json")
    send_long_lines(tracer.log, 10)  # 5 MB
    text = "".join(tracer.process.stdout.readline() for _ in range(2 + 1000))
    assert [line["event"] for line in whole(text)] == ["start"] + ["send"] * 1000
    run = tracer.finish()
    assert text == run.log.read_text()[: len(text)]
    assert "output lines lost" not in run.err


@pytest.mark.native
@pytest.mark.parametrize("options", [(), ("--strict",)])
def test_beyond_the_buffer_lines_are_counted_on_the_screen_and_the_log_has_them(start, options):
    tracer = start("--dst", WATCHED, "--json", *options)
    send_long_lines(tracer.log, 30)  # 15 MB
    first = [tracer.process.stdout.readline()]
    while '"event":"lost"' not in first[-1]:
        first.append(tracer.process.stdout.readline())
    generate("sendto", WATCHED)
    run = tracer.finish()
    lost = json.loads(first.pop())
    before, after = list(whole("".join(first))), list(whole(run.out))
    assert lost["run"] == run.lines[0]["run"]
    assert '"event":"lost"' not in run.out
    # a process whose line may be lost has it again: each line stands with what is known of it
    assert len(run.lines) == 1 + 3001 + 1
    missing = len(run.lines) - len(before) - len(after)
    assert 0 < missing <= lost["output_lines_lost"] <= missing + 100
    shown, logged = after.pop(), run.lines.pop()
    assert shown["lines"] < logged["lines"]  # each counts its own
    assert shown | {"lines": 0} == logged | {"lines": 0}
    assert before + after == run.lines[: len(before)] + run.lines[-len(after) :]
    assert f"output lines lost {lost['output_lines_lost']:,}." in run.err
    assert run.status == (3 if options else 0)


def test_a_ready_file_that_nobody_reads(tmp_path):
    os.mkfifo(tmp_path / "ready")
    run = fails("--no-log", "--ready-file", str(tmp_path / "ready"))
    assert run.returncode == 2
    assert f"cannot write {tmp_path}/ready (nobody reads it)" in run.stderr


def test_why_a_better_probe_was_refused(start, refusals):
    """In the start lines, in the log, and as the error when nothing else was asked for."""
    refused = [probe for probe in PROBE_NAMES if refusals[probe]]
    if not refused:
        pytest.skip("this kernel takes every probe")
    run = start("--dst", WATCHED, "--why").finish()
    for probe in refused:
        assert run.lines[0]["refused"][probe] in run.err
        alone = fails("--probe", probe, "--no-log")
        assert alone.returncode == 2
        assert run.lines[0]["refused"][probe] in alone.stderr
        assert alone.stderr.count("\n") == 1


def test_failures_only(start):
    tracer = start("--dst", WATCHED, "-x")
    generate("sendto", WATCHED)
    generate("connect", WATCHED, "port=9")
    (event,) = tracer.finish().events
    assert (event["event"], event["error"]) == ("connect_failed", "ECONNREFUSED")


def fails(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        sockwatch(*arguments),
        check=False,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        **options,
    )


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("--dst", "10.0.0.300"), 2, "'10.0.0.300' is not an address"),
        (("--dst", "10.0.0.0/33"), 2, "not an address"),
        (("--dst", ""), 2, "--dst is empty"),
        (("--dst", "010.0.0.5"), 2, "'010.0.0.5' is not an address"),
        (("--dst", "10.0.0.5", "-6"), 2, "--dst 10.0.0.5 and -6 exclude each other"),
        (("-q", "--json"), 2, "--quiet and --json exclude each other"),
        (("--duration", "5x"), 2, "'5x' is not a duration"),
        (("-P", "70000"), 2, "not a port"),
        (("-P", "9-8"), 2, "not a port"),
        (("--sport", "no-such"), 2, "not a port"),
        (("-u", "no-such-user"), 2, "no user 'no-such-user'"),
        (("-N", "no-such-netns"), 2, "no network namespace 'no-such-netns'"),
        (("-p", "0"), 2, "pid"),
        (("-p", "x"), 2, "pid"),
        (("--count", "0"), 2, "--count"),
        (("-b", "3"), 2, "power of two"),
        (("--no-such-option",), 2, "--no-such-option"),
        (("stray",), 2, "stray"),
        (("--exec", " "), 2, "--exec has no command"),
        (("--new", "--log", "/proc/1/mem/x"), 2, "the log /proc/1/mem/x cannot be read"),
        (("--require-filter",), 2, "refuses to trace everything: say what to watch"),
        (("--log", "/proc/nowhere/log"), 2, "cannot write the log /proc/nowhere/log"),
        (("--ready-file", "/proc/nowhere/ready", "--no-log"), 2, "/proc/nowhere/ready"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_gets_one_line(arguments, status, says):
    run = fails(*arguments)
    assert run.returncode == status
    assert says in run.stderr
    assert run.stderr.startswith("sockwatch: ")
    assert len(run.stderr.splitlines()) == 1
    assert run.stdout == ""


def test_what_is_not_there_is_waited_for(start, tmp_path):
    """A program that comes after the start is traced."""
    program = tmp_path / "tiny"
    absent = ("--pid", "4194303", "--unit", "nosuch", "--container", "deadbeef")
    for options in (absent[0:2], absent[2:4], absent[4:6], ("--cgroup", "/nosuch")):
        run = start(*options, "--dst", WATCHED).finish()
        name, value = options
        (said,) = [line for line in run.err.splitlines() if f"{name} {value}" in line]
        assert said.endswith(" now")
        assert (run.status, run.events) == (0, [])
    tracer = start("--exe", str(program), "--dst", WATCHED)
    tiny.write(program, WATCHED, 7080)
    subprocess.run([program], check=True, timeout=DEADLINE)
    run = tracer.finish()
    assert f"--exe {program}: there is no such file now" in run.err
    assert [event["process"]["exe"] for event in run.events] == [str(program)]


def test_a_threads_id_is_told_with_its_process(start):
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        run = start("--pid", str(thread.native_id)).finish()
    finally:
        end.set()
        thread.join()
    assert f"that is a thread of process {os.getpid()} (" in run.err


def test_without_privileges_it_says_what_is_missing():
    run = fails("--no-log", user=65534, group=65534)
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN missing" in run.stderr
    assert "root" in run.stderr


def in_mount_namespace(setup: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs sockwatch where ``setup`` has changed what the file system shows."""
    script = f'mount --make-rprivate / && {setup} && exec "$@"'
    argv = ["unshare", "--mount", "sh", "-c", script, "sh", *sockwatch(*arguments)]
    return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)


def test_without_btf_it_says_what_the_kernel_lacks():
    no_types = "mount -t tmpfs none /sys/kernel && mkdir /sys/kernel/mm"
    run = in_mount_namespace(no_types, "--no-log")
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "CONFIG_DEBUG_INFO_BTF" in run.stderr


def test_without_bcc_it_says_what_to_install():
    import bcc  # noqa: PLC0415

    folder = Path(bcc.__file__).parent
    run = in_mount_namespace(f"mount -t tmpfs none {folder}", "--no-log")
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "python3-bpfcc" in run.stderr


def test_only_the_first_start_compiles(monkeypatch, tmp_path):
    import bcc  # noqa: PLC0415

    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))
    arguments = ("--no-log", "--duration", "0", "--dst", WATCHED)
    assert subprocess.run(sockwatch(*arguments), check=False, timeout=DEADLINE).returncode == 0
    (kept,) = (tmp_path / "cache").iterdir()
    content = kept.read_bytes()

    (tmp_path / "empty.py").touch()
    no_compiler = f"mount --bind {tmp_path}/empty.py {bcc.__file__}"
    assert in_mount_namespace(no_compiler, *arguments).returncode == 0
    kept.write_bytes(content[:1000])  # as a power cut may leave it
    damaged = in_mount_namespace(no_compiler, *arguments)
    assert (damaged.returncode, damaged.stderr.count("\n")) == (2, 1)
    assert "python3-bpfcc" in damaged.stderr
    assert subprocess.run(sockwatch(*arguments), check=False, timeout=DEADLINE).returncode == 0
    assert kept.read_bytes() == content


def test_default_log():
    """In a mount namespace of its own, so that the machine's /var/log is left alone."""
    script = (
        "mount --make-rprivate / && mount -t tmpfs none /var/log && "
        '"$@" --duration 0.1 && stat -c %a /var/log/sockwatch /var/log/sockwatch/events.jsonl'
    )
    argv = ["unshare", "--mount", "sh", "-c", script, "sh", *sockwatch("-q")]
    run = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=DEADLINE)
    assert run.stdout.split()[-2:] == ["750", "640"]
    assert "watching everything by " in run.stderr
    assert ", log /var/log/sockwatch/events.jsonl\n" in run.stderr


def test_colour_is_for_terminals_that_want_it():
    def shown(**environment: str) -> str:
        argv = sockwatch("--no-log", "--duration", "0.1")
        env = {**os.environ, **environment}
        ours, theirs = os.openpty()
        lines = []
        with subprocess.Popen(argv, stdout=theirs, stderr=theirs, env=env):
            os.close(theirs)
            with (
                open(ours) as terminal,
                contextlib.suppress(OSError),
            ):  # EIO: nobody writes any more
                lines.extend(terminal)
        return "".join(lines)

    assert "\x1b[1m" in shown(TERM="xterm")
    plain = shown(TERM="xterm", NO_COLOR="1")
    assert "\x1b[" not in plain
    assert plain.index("sockwatch: watching") < plain.index("TIME")  # the header is above its rows


def test_after_ctrl_c_the_answer_begins_on_a_line_of_its_own():
    ours, theirs = os.openpty()
    argv = ["setsid", "--ctty", *sockwatch("--no-log", "-q", "--dst", WATCHED)]
    with (
        subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs),
        open(ours, "rb", buffering=0) as terminal,
    ):
        os.close(theirs)
        shown = b""
        while b"watching" not in shown:
            shown += terminal.read(1 << 16)
        generate("sendto", WATCHED)
        os.write(ours, b"\x03")
        with contextlib.suppress(OSError):  # EIO: nobody writes any more
            while True:
                shown += terminal.read(1 << 16)
    lines = shown.decode().splitlines()
    header = lines.index("^C") + 1
    assert lines[header].split()[:2] == ["PID", "WHO"]
    assert lines[-1].startswith("sockwatch: 1 event matched")
    assert "" not in lines


def test_a_run_of_so_many_lines_counts_no_others(start):
    tracer = start("--dst", "127.0.0.63", "-c", "3")
    generate("sendto", "127.0.0.63", "count=500")
    run = tracer.finish()
    assert len(run.events) == 3
    assert run.stop["matched"] == sum(line["count"] for line in run.events)
    assert f"{run.stop['matched']} events matched" in run.err


def test_a_script_can_ask(start, tmp_path):
    """With -q and -c, the status is the answer; the answer itself is what is printed."""
    nothing = start("--dst", "127.0.0.99", "-q", "-c", "1", "--duration", "0.1").finish(None)
    assert (nothing.status, nothing.out) == (1, "")
    tracer = start("--dst", WATCHED, "-q", "-c", "1", "--answer-json", str(tmp_path / "answer"))
    (truth,) = generate("sendto", WATCHED)
    found = tracer.finish(None)
    assert found.status == 0
    assert found.out.splitlines()[1].split()[0] == str(truth["pid"])
    (row,) = map(json.loads, (tmp_path / "answer").read_text().splitlines())
    assert (row["process"]["pid"], row["count"]) == (truth["pid"], 1)
    assert "sendto" in row["process"]["args"]


@pytest.mark.parametrize("quiet", [(), ("-q",)])
def test_the_answer_as_json_is_instead_of_the_table(start, quiet):
    tracer = start("--dst", WATCHED, *quiet, "--answer-json", "-")
    generate("sendto", WATCHED)
    run = tracer.finish()
    (row,) = map(json.loads, run.out.splitlines())
    assert row["who"] in run.err


def test_many_short_processes_are_one_row(start, tmp_path):
    """A script that another script starts again and again; and by pid, a row for each."""
    (tmp_path / "query.py").write_text(
        "import socket, sys\n"
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'12345', (sys.argv[1], 9990))\n"
    )
    job = tmp_path / "cronjob.sh"
    job.write_text(
        "#!/bin/sh\n"
        f"for at in 1 2 3 4 5; do {sys.executable} {tmp_path}/query.py {WATCHED} $at; done\n"
    )
    job.chmod(0o755)
    by_role, by_pid = start("--dst", WATCHED, "-q"), start("--dst", WATCHED, "-q", "--by", "pid")
    subprocess.run([job], check=True, timeout=DEADLINE)
    _, row = by_role.finish().out.splitlines()
    assert row.split()[0] == "×5"
    assert f" query.py {WATCHED} … ← cronjob.sh" in row
    assert f" udp {WATCHED}:9990 5 25 " in " ".join(row.split())
    assert len(by_pid.finish().out.splitlines()) == 6


def test_a_script_can_tell_nothing_from_a_failure():
    """As with grep(1)."""
    once = ("--dst", "127.0.0.99", "-q", "-c", "1", "--duration", "0.1")
    assert fails(*once, "--no-log").returncode == 1
    assert fails(*once, "--log", "/proc/nowhere/log").returncode == 2


def test_a_command_has_its_own_status():
    """With -q and -c, too, though nothing matches."""
    argv = sockwatch("--no-log", "--dst", "127.0.0.99", "-q", "-c", "1", "--", "true")
    assert subprocess.run(argv, check=False, timeout=DEADLINE).returncode == 0


def test_an_answer_that_cannot_be_written_is_told_last(start, tmp_path):
    tracer = start("--dst", WATCHED, "-q", "--answer-json", str(tmp_path / "no" / "answer"))
    generate("sendto", WATCHED)
    run = tracer.finish()
    assert run.status == 2
    assert len(run.answer) == 1
    *_, sentence, error = run.err.splitlines()
    assert "1 event matched" in sentence
    assert error.startswith(f"sockwatch: cannot write {tmp_path}/no/answer (")
