# SPDX-License-Identifier: Apache-2.0
"""packaging/shippers, with the programs that can be had: on logs that the log's own writer made."""

import gzip
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.logs import text_of
from tests.otlp import records
from tests.samples import event, flow, process
from tracer.model.fields import Rendering
from tracer.model.flow import Endpoint
from tracer.output.backups import backups_of
from tracer.output.logfile import DEFAULT, LogFile, Rotation
from tracer.trace.line import Line, ProcessLines
from tracer.trace.streams import LogStream, Rendered

ROOT = Path(__file__).parents[1]
SHIPPERS = ROOT / "packaging/shippers"
PATIENCE = 20  # seconds; all that is waited for is there within one
START = "2026-11-29T10:00:00.120000000Z"
HOST = {"name": "web1", "machine_id": "ab" * 16, "boot_id": "88a1f0ed-5ae5-41ee-af6b-41921c311872"}
HARMLESS = (
    "rsyslog internal message (7,",  # that severity: what newer ones say of how they end
    "rsyslogd: imfile: poll_tree cannot stat file",  # between a rotation's two renames
)
RSYSLOGD = shutil.which("rsyslogd", path=f"{os.environ['PATH']}:/usr/sbin")
ROTEL = find_spec("rotel")
needs_rsyslog = pytest.mark.skipif(not RSYSLOGD, reason="rsyslogd is not installed")
needs_rotel = pytest.mark.skipif(not ROTEL, reason="rotel is not installed (extra dev)")


class Log:
    """A log of one run after another, rotated at 20 KB."""

    def __init__(self, path):
        self.path = path
        self._events = 0
        self._runs = 0
        self.begin()

    def begin(self):
        self._runs += 1
        run = f"{self._runs:016x}"
        rendering = Rendering(run, lambda _: START)
        processes = ProcessLines(rendering)
        several = [
            process(pid=pid, args=("dig", "x" * pid, "\t\u00e9\udcff\"'\n")) for pid in (9, 10)
        ]
        to = Endpoint(ip_address("10.0.0.5"), 53)
        self._lines = [
            Line(flow(process=who, dst=to, cookie=(1 << 62) + at), rendering, processes)
            for at, who in enumerate([*several, None])
        ]

        def about(kind):
            known = {"event": kind, "run": run, "format": 2, "host": HOST}
            return lambda lines: Rendered(
                json.dumps({"time": self._time(), **known, "lines": lines}) + "\n"
            )

        self._file = LogFile(self.path, Rotation(20_000, 1 << 30, 30, compress=True), fail)
        self._stream = LogStream(self._file, about("alive"))
        self._stream.mark(about("start"))

    def _time(self):
        self._events += 1
        return f"2026-11-29T10:{self._events // 60 % 60:02}:{self._events % 60:02}.689374526Z"

    def write(self, count):
        for _ in range(count):
            line, at = self._lines[self._events % len(self._lines)], self._time()
            self._stream.put([Rendered(line.text(event(), at, ""), line.process, at)])

    def write_long(self):
        """A line as long as one may be."""
        text = json.dumps({"time": self._time(), "event": "process", "x": "x" * 999_900}) + "\n"
        self._stream.put([Rendered(text)])

    def end(self):
        self._file.close()

    def rotate(self, told):
        """Writes up to the first lines of one file more; ``told`` waits until a shipper has seen
        them, for it may miss a file when there are two rotations at once."""
        before = len(backups_of(self.path))
        while len(backups_of(self.path)) == before:
            self.write(1)
        told()

    def lines(self):
        """All lines there are, oldest first."""
        self._file._backups.wait()  # until none is being renamed
        return "".join(map(text_of, [*backups_of(self.path), self.path])).splitlines()


def fail(message):
    raise AssertionError(message)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Receiver:
    """Takes lines by TCP."""

    def __init__(self, server):
        self.port = server.getsockname()[1]
        self.got = []
        self._more = threading.Condition()
        threading.Thread(target=self._serve, args=(server,), daemon=True).start()

    def _serve(self, server):
        while True:
            try:
                connection, _ = server.accept()
            except OSError:  # closed: the test is over
                return
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection):
        with connection, connection.makefile(encoding="ascii", newline="\n") as lines:
            for line in lines:
                with self._more:
                    self.got.append(line.removesuffix("\n"))
                    self._more.notify()

    def wait_for(self, lines):
        with self._more:
            got_all = self._more.wait_for(lambda: set(lines) <= set(self.got), PATIENCE)
            missing = [] if got_all else [line for line in lines if line not in set(self.got)]
            assert got_all, f"{len(missing)} of {len(lines)} are missing: {missing[:2]}"

    def twice(self):
        with self._more:
            return sum(count - 1 for count in Counter(self.got).values())


@pytest.fixture
def receiver():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Receiver(server)


@pytest.fixture
def log(tmp_path):
    (tmp_path / "log").mkdir()
    log = Log(tmp_path / "log/events.jsonl")
    yield log
    log.end()


class Rsyslog:
    """rsyslogd with our file for /etc/rsyslog.d, and nothing else of this machine's."""

    def __init__(self, folder, log, port):
        ours = (SHIPPERS / "rsyslog.conf").read_text()
        for here, there in ((str(DEFAULT), str(log)), ('port="6514"', f'port="{port}"')):
            assert ours.count(here) == 1
            ours = ours.replace(here, there)
        self._folder = folder
        (folder / "sockwatch.conf").write_text(ours)
        (folder / "work").mkdir()
        self.rest = folder / "rest"  # what rsyslog's own rules get
        (folder / "rsyslog.conf").write_text(
            f'global(workDirectory="{folder}/work")\n'
            'template(name="rest" type="string" string="%msg%\\n")\n'
            f'include(file="{folder}/sockwatch.conf")\n'
            f'if $syslogtag == "sockwatch" then action(type="omfile" file="{self.rest}" '
            'template="rest")\n'
        )

    @contextmanager
    def running(self, stop=signal.SIGTERM, expected=()):
        """Fails if it says another thing than is expected, which has to come."""
        argv = [RSYSLOGD, "-n", "-f", self._folder / "rsyslog.conf", "-i", self._folder / "pid"]
        path = self._folder / "said"
        with (
            open(path, "w") as said,
            subprocess.Popen(argv, stdout=said, stderr=said, stdin=subprocess.DEVNULL) as daemon,
        ):
            try:
                yield
                until(lambda: all(text in path.read_text() for text in expected))
            finally:
                daemon.send_signal(stop)
                try:
                    daemon.wait(PATIENCE)
                finally:
                    daemon.kill()
        said = [line for line in path.read_text().splitlines() if not line.startswith(HARMLESS)]
        assert bool(said) == bool(expected), said


def until(is_true):
    end = time.monotonic() + PATIENCE
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def rsyslog(tmp_path, log, receiver):
    return Rsyslog(tmp_path, log.path, receiver.port)


@needs_rsyslog
def test_rsyslog_sends_each_line_once(log, rsyslog, receiver):
    """As it is, whatever is rotated, and if it is stopped meanwhile."""
    told = lambda: receiver.wait_for(log.lines())  # noqa: E731
    log.write(30)
    with rsyslog.running():
        told()
        for _ in range(3):
            log.rotate(told)
        log.write_long()
        told()
    log.write(10)
    with rsyslog.running():
        told()
        log.rotate(told)
    log.end()
    log.begin()  # all backups are compressed
    with rsyslog.running():
        told()
    assert receiver.got == log.lines()
    assert [path.suffix for path in backups_of(log.path)] == [".gz"] * len(backups_of(log.path))
    kinds = Counter(json.loads(line)["event"] for line in receiver.got)
    assert kinds["process"] == 1 + 2 * (len(backups_of(log.path)) + 1 - 2)
    assert not rsyslog.rest.exists()


@needs_rsyslog
def test_a_killed_rsyslog_sends_some_twice(log, rsyslog, receiver):
    log.write(10)
    with rsyslog.running(signal.SIGKILL):
        receiver.wait_for(log.lines())
        log.write(10)
        receiver.wait_for(log.lines())
    log.write(1)
    with rsyslog.running():
        receiver.wait_for(log.lines())
    assert set(receiver.got) == set(log.lines())
    assert receiver.twice() > 10


@needs_rsyslog
def test_rsyslog_keeps_what_nobody_receives(log, tmp_path):
    """Also when it is stopped meanwhile."""
    port = free_port()
    rsyslog = Rsyslog(tmp_path, log.path, port)
    log.write(30)
    with rsyslog.running(expected=["cannot connect"]):
        pass
    log.write(10)
    with socket.create_server(("127.0.0.1", port)) as server:
        receiver = Receiver(server)
        with rsyslog.running():
            receiver.wait_for(log.lines())
    assert Counter(receiver.got) == Counter(log.lines())


@needs_rsyslog
def test_rsyslog_misses_the_end_of_a_file_that_was_rotated_while_it_was_down(
    log, rsyslog, receiver
):
    """As README.md says; the new file it reads from its beginning."""
    with rsyslog.running():
        receiver.wait_for(log.lines())
    known = log.lines()
    log.rotate(lambda: None)
    backup, new = (text_of(path).splitlines() for path in (*backups_of(log.path), log.path))
    with rsyslog.running():
        receiver.wait_for(new)
    assert receiver.got == known + new
    assert len(backup) > len(known)


@needs_rsyslog
def test_the_half_line_of_a_killed_run_goes_to_rsyslogs_own_rules(log, rsyslog, receiver):
    log.write(1)
    log.end()
    whole = log.lines()
    with open(log.path, "a") as file:
        file.write('{"time":"2026-11-29T1')
    log.begin()
    log.write(1)
    whole += log.lines()[len(whole) + 1 :]
    with rsyslog.running():
        receiver.wait_for(whole)
    assert receiver.got == whole
    assert rsyslog.rest.read_text() == '{"time":"2026-11-29T1\n'


@pytest.fixture
def collector():
    """Takes OTLP by HTTP; ``got`` are the bodies."""
    got, more = [], threading.Condition()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers["content-encoding"] == "gzip":
                body = gzip.decompress(body)
            with more:
                got.append((self.path, self.headers["content-type"], body))
                more.notify()
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, got, more
        server.shutdown()


@contextmanager
def rotel(receives, sends_to, folder):
    """rotel, which takes OTLP at one port, and sends what it has taken to the other."""
    argv = [
        Path(ROTEL.origin).with_name("rotel-agent"), "start",
        "--otlp-http-endpoint", f"127.0.0.1:{receives}",
        "--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}",
        "--exporter", "otlp", "--otlp-exporter-protocol", "http",
        "--otlp-exporter-endpoint", f"http://127.0.0.1:{sends_to}",
    ]  # fmt: skip
    with (
        open(folder / "said", "w") as said,
        subprocess.Popen(argv, env={}, stdout=said, stderr=said, cwd=folder) as agent,
    ):
        try:
            yield agent
        finally:
            agent.terminate()
            try:
                assert agent.wait(PATIENCE) == 0
            finally:
                agent.kill()


def post(port, line):
    """Sends a line of OTLP's JSON, as soon as somebody takes it."""
    wanted = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/logs", line, wanted)
    until(lambda: is_open(port))
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.status


def is_open(port):
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@needs_rotel
def test_a_collector_takes_what_report_writes(log, collector, tmp_path):
    """All of it, and understands it: it hands it on as protobuf."""
    log.write(40)
    argv = [sys.executable, "-m", "tracer", "report", "--format", "otel", str(log.path)]
    done = subprocess.run(argv, check=True, capture_output=True, timeout=60)
    lines = done.stdout.splitlines()
    assert len(lines) == 40
    port, got, more = collector
    receives = free_port()
    with rotel(receives, port, tmp_path):
        assert [post(receives, line) for line in lines] == [200] * 40
    with more:
        found = [record for _, _, body in got for record in records(body)]
    assert {(path, kind) for path, kind, _ in got} == {("/v1/logs", "application/x-protobuf")}
    wanted = [
        (of_resource["resource"]["attributes"], of_resource["scopeLogs"][0]["logRecords"][0])
        for line in lines
        for of_resource in json.loads(line)["resourceLogs"]
    ]
    assert sorted(found, key=str) == sorted(wanted, key=str)


@pytest.mark.parametrize("path", sorted(SHIPPERS.glob("*.yaml")), ids=lambda path: path.name)
def test_a_file_is_yaml(path):
    yaml = pytest.importorskip("yaml", reason="no parser of YAML is installed")
    assert str(DEFAULT) in str(yaml.safe_load(path.read_text()))


def test_nothing_is_sent_away_from_this_machine():
    """Until somebody changes it; and the page says of each whether it was tried."""
    page = (SHIPPERS / "README.md").read_text()
    files = sorted(path for path in SHIPPERS.iterdir() if path.name != "README.md")
    for path in files:
        text = path.read_text()
        addresses = re.findall(r"(?<![\w.])(?:https?://)?(\d+\.\d+\.\d+\.\d+|localhost)\b", text)
        assert addresses
        assert set(addresses) == {"127.0.0.1"}
        (row,) = re.findall(rf"^\| `{re.escape(path.name)}` \|.*$", page, re.MULTILINE)
        assert ("not tried" in row) == ("NOT TRIED" in text)
    assert len(files) == 4
    assert len(page.splitlines()) <= 60
