# SPDX-License-Identifier: Apache-2.0
"""The metrics of a run, as they are written every 15 seconds."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import golden
from tests.samples import event, flow, process
from tracer.filter.endpoints import endpoints
from tracer.model.fields import LOSSES
from tracer.output.prometheus import MetricsFile
from tracer.trace import metrics
from tracer.trace.metrics import PERIOD, Metrics
from tracer.trace.traffic import Traffic

DOCS = Path(__file__).parents[1] / "docs" / "metrics.md"


class Clock:
    def __init__(self):
        self.now = 1000.0

    def time(self):
        return 1_795_949_183.0 + self.now

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(metrics, "time", made)
    monkeypatch.setattr(metrics, "__version__", "1.2.3")
    return made


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sockwatch.prom"


def numbers():
    known = dict.fromkeys(("seen", "matched", "existing", "undecided", "unfinished", "lost",
                           "received_lost", "processes_lost", "unread", "unfollowed",
                           "kernel_replies", "log_lines_lost", "flows"), 0)  # fmt: skip
    return known | {"seen": 5, "matched": 2, "lost": 1, "skipped": None}


def fail(message):
    raise AssertionError(message)


def begun(path, traffic=None, counts=numbers):
    return Metrics(MetricsFile(path, fail), "fexit", traffic or Traffic([]), counts)


def value_of(path, name):
    return float(re.search(rf"^{name} (.*)$", path.read_text(), re.MULTILINE)[1])


def test_the_whole_file(clock, path):
    traffic = Traffic([("10.0.0.0/8", endpoints("--dst", ["10.0.0.0/8"]))])
    written = begun(path, traffic)
    name = '/tmp/a"b\n\x1b[2J'
    traffic.write([event(), event(flow(process=process(exe=name), proto="icmp"), error=1)])
    clock.now += PERIOD
    written.check()
    assert golden.same(path.read_text(), "metrics.prom")


def test_every_15_seconds_and_at_the_end(clock, path):
    asked = []
    written = begun(path, counts=lambda: asked.append(1) or numbers())
    assert value_of(path, "sockwatch_up") == 1
    began = value_of(path, "sockwatch_last_update_timestamp_seconds")
    for _ in range(14):
        clock.now += 1
        written.check()
    assert (len(asked), value_of(path, "sockwatch_last_update_timestamp_seconds")) == (1, began)
    clock.now += 1
    written.check()
    written.check()
    assert len(asked) == 2
    assert value_of(path, "sockwatch_last_update_timestamp_seconds") == began + 15
    assert value_of(path, "sockwatch_start_time_seconds") == began
    clock.now += 1
    written.finish()
    assert value_of(path, "sockwatch_up") == 0
    assert value_of(path, "sockwatch_last_update_timestamp_seconds") == began + 16


def test_what_is_not_known_is_left_out(path):
    begun(path)
    text = path.read_text()
    assert 'kind="lost"} 1' in text
    assert 'kind="skipped"' not in text
    begun(path, counts=lambda: {**numbers(), "skipped": 0, "log_lines_lost": None})
    text = path.read_text()
    assert 'kind="skipped"} 0' in text
    assert "log_lines_lost" not in text


def test_the_documentation_has_every_metric(path):
    counts = {**numbers(), "skipped": 0}
    traffic = Traffic([("10.0.0.5", endpoints("--dst", ["10.0.0.5"]))])
    written = begun(path, traffic, lambda: counts)
    traffic.write([event(flow(), received=1)])
    written.finish()
    names = set(re.findall(r"^# TYPE (\S+)", path.read_text(), re.MULTILINE))
    names |= {"sockwatch_received_bytes_total"}
    table = set(re.findall(r"^\| `(sockwatch_\w+)", DOCS.read_text(), re.MULTILINE))
    assert table == names
    assert all(f"`{name}`" in DOCS.read_text() for name in LOSSES)


@pytest.fixture
def rules(tmp_path):
    """The alerts of the documentation."""
    if shutil.which("promtool") is None:
        pytest.skip("there is no promtool (Debian: prometheus)")
    (text,) = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    path = tmp_path / "rules.yml"
    path.write_text(text)
    return path


# series, as of 10 minutes, and which alert they raise
CASES = [
    ({"sockwatch_last_update_timestamp_seconds": "0+60x10", "sockwatch_up": "1x10"}, None),
    ({"sockwatch_last_update_timestamp_seconds": "0+60x7 420x3", "sockwatch_up": "1x10"},
     "SockwatchDead"),
    ({"sockwatch_up": "1x8 0x2"}, "SockwatchDead"),
    ({}, "SockwatchDead"),
    ({"sockwatch_up": "1x10", "sockwatch_lost_events_total{kind='unread'}": "0x7 3x3"},
     "SockwatchMissedSomething"),
    ({"sockwatch_up": "1x10", "sockwatch_lost_events_total{kind='unread'}": "3x10"}, None),
    ({"sockwatch_up": "1x10", "sockwatch_dst_events_total{dst='10.0.0.5'}": "0x7 1x3",
      "sockwatch_dst_events_total{dst='10.0.0.6'}": "0x10"}, "SomebodyTalksToIt"),
    ({"sockwatch_up": "1x10", "sockwatch_dst_events_total{dst='10.0.0.6'}": "0x7 1x3"}, None),
    ({"sockwatch_up": "1x10", "sockwatch_dst_bytes_total{dst='10.0.0.5'}": "0x7 1x3"},
     "SomebodyTalksToIt"),
]  # fmt: skip


@pytest.mark.parametrize(("series", "raised"), CASES)
def test_the_alerts(rules, tmp_path, series, raised):
    """As Prometheus itself evaluates them."""
    alerts = ("SockwatchDead", "SockwatchMissedSomething", "SomebodyTalksToIt")
    expected = [
        {"eval_time": "10m", "alertname": name, "exp_alerts": [_alert(series)] * (name == raised)}
        for name in alerts
    ]
    one = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": expected,
    }
    path = tmp_path / "test.yml"  # JSON is YAML
    path.write_text(json.dumps({"rule_files": [str(rules)], "tests": [one]}))
    tested = subprocess.run(
        ["promtool", "test", "rules", path], capture_output=True, text=True, timeout=60, check=False
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr


def _alert(series):
    """The labels of what raises it: the series that changes, if one of a counter does."""
    name = next((one for one, values in series.items() if " " in values), "")
    return {"exp_labels": dict(re.findall(r"(\w+)='([^']*)'", name))}
