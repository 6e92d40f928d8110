# SPDX-License-Identifier: Apache-2.0
"""The page of a report: whole by itself, and safe whatever a log says. A browser shows it in a
network namespace without a link."""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from html.parser import HTMLParser

import pytest

from tests.samples import flow
from tests.test_answer import CRON, DNS
from tests.test_report_table import all_kinds, line
from tracer.filter.filters import NO_FILTERS
from tracer.report import html
from tracer.report.groups import summarize
from tracer.report.times import Period
from tracer.report.view import View

KEYS = ("role", "dst", "name")
HOSTILE = "</td></script><script>document.title='owned'</script><img src=x onerror=x>\"'&\u202e"
POLICY = r'<meta http-equiv="Content-Security-Policy" content="(.*)">'
BROWSER = shutil.which("chromium")


def page_of(tmp_path, content, order="events", said=("traced",), **more):
    log = tmp_path / "log"
    log.write_text("".join(content))
    found = summarize([log], KEYS, NO_FILTERS, Period("", ""), lambda _: None, order=order)
    return html.page(found, View(KEYS, **more), "sockwatch report", said)


def hostile_lines():
    bad = CRON._replace(
        comm=HOSTILE, exe=f"/{HOSTILE}", args=("x", HOSTILE), user=HOSTILE, parents=()
    )
    yield line(0, flow(process=bad, dst=DNS), names=lambda _: HOSTILE)
    yield line(1, flow(process=None, dst=DNS, interface=HOSTILE), names=lambda _: HOSTILE)


class Page(HTMLParser):
    """What a browser makes of it: elements, attributes, texts of cells, and of what is raw."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.attributes, self.rows, self.raw = [], [], [], {}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self._open = tag
        self.elements.append(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, _tag):
        self._open = ""

    def handle_data(self, data):
        if self._open in ("td", "th"):
            self.rows[-1][-1] += data
        if self._open in ("script", "style"):
            self.raw[self._open] = data


def test_who_to_whom_how_much_and_when(tmp_path):
    page = Page(page_of(tmp_path, all_kinds(), "bytes"))
    assert page.rows[0] == [
        "PID", "WHO", "USER", "DST", "NAME", "EVENTS", "SENT", "RECEIVED", "FIRST", "LAST"
    ]  # fmt: skip
    (cron,) = [row for row in page.rows if "cronjob.sh" in row[1]]
    assert cron[0] == "×120"
    assert cron[3:8] == ["10.0.0.53", "-", "120", "4800", "?"]
    assert ("data-sort", "49500000") in page.attributes
    assert ("data-sort", "120") in page.attributes
    assert page.elements.count("svg") == 1 + 4  # the chart, and a sign for each group
    assert page.elements.count("rect") > 20


def test_the_chart_has_the_most_active_and_the_others(tmp_path):
    content = [
        line(at, flow(process=CRON._replace(args=(), exe=f"/bin/{at}"), dst=DNS))
        for at in range(20)
    ]
    text = page_of(tmp_path, content)
    assert "12 others" in text
    assert len(Page(page_of(tmp_path, content, top=5)).rows) == 6
    assert "&#8230; and 15 more." in page_of(tmp_path, content, top=5)
    assert '<p class="faint">None.</p>' in page_of(tmp_path, [])


def test_its_times_are_of_the_zone_that_they_are_of(tmp_path, monkeypatch):
    """Not of the one that is now."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    try:
        summer = line(0, flow()).replace("2026-11-", "2026-07-")
        assert "times are of UTC+0200<" in page_of(tmp_path, [summer])
        assert "times are of UTC+0100<" in page_of(tmp_path, [line(0, flow())])
        both = page_of(tmp_path, [summer, line(0, flow())])
        assert "times are of UTC+0200 and UTC+0100<" in both
        assert re.search("times are of UTC[+]0[12]00<", page_of(tmp_path, []))
    finally:
        monkeypatch.undo()
        time.tzset()


def test_names_are_text(tmp_path):
    page = Page(page_of(tmp_path, hostile_lines(), said=(HOSTILE,)))
    assert page.elements.count("script") == 1
    assert "img" not in page.elements
    assert not [value for name, value in page.attributes if name.startswith("on")]
    shown = HOSTILE.replace("\u202e", "\\u202e")
    assert [row[4] for row in page.rows[1:]] == [shown, shown]
    assert page.rows[1][2] == shown
    assert page.rows[2][1] == f"[{shown}]"


def test_nothing_is_loaded_and_only_its_own_script_runs(tmp_path):
    text = page_of(tmp_path, all_kinds())
    assert text.isascii()
    assert re.findall(r"\w+://[^\"]*", text) == ["http://www.w3.org/2000/svg"]  # a name
    page = Page(text)
    assert not {"src", "href", "style", "action"} & dict(page.attributes).keys()
    policy = re.search(POLICY, text)[1]
    for kind in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.raw[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")


def test_the_command_writes_it(tmp_path):
    log, page = tmp_path / "log", tmp_path / "page.html"
    log.write_text("".join(all_kinds()))
    argv = [sys.executable, "-m", "tracer", "report", "--sort", "bytes", "--html", page, log]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60)
    said = [text.removeprefix("sockwatch: ") for text in done.stderr.splitlines()]
    text = page.read_text()
    for sentence in (f"sockwatch report --sort bytes --html {page} {log}", *said):
        assert sentence.encode("ascii", "xmlcharrefreplace").decode() in text
    for place, status, why in (("-", 2, "--html writes a file"), (tmp_path / "no/x", 2, "--html")):
        argv[-2] = place
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
        assert (done.returncode, why in done.stderr) == (status, True)


def test_it_is_imported_only_when_asked_for():
    code = "import sys, tracer.cli.report; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "tracer.report.render" in done.stdout
    assert not {"tracer.report.html", "tracer.report.names", "html"} & set(done.stdout.split())


@pytest.fixture
def shown(tmp_path):
    """What a browser has made of a page, in a network namespace without a link."""
    if not BROWSER or os.geteuid():
        pytest.skip("there is no chromium, or no root to put it into a network namespace")

    def show(text):
        path = tmp_path / "page.html"
        path.write_text(text)
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/c"]
        argv = ["unshare", "--net", BROWSER, *options, "--dump-dom", f"file://{path}"]
        done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120)
        return done.stdout

    return show


CLICKED = """
<script>
const heads = [...document.querySelectorAll("th")];
const first = () => document.querySelector("tbody td:nth-child(2)").textContent.slice(0, 5);
const seen = [first()];
for (const name of ["EVENTS", "EVENTS", "RECEIVED", "PID", "WHO"]) {
  heads.find(head => head.textContent === name).click();
  seen.push(first());
}
const filled = getComputedStyle(document.querySelector("rect.c0")).fill;
document.title = [...seen, filled].join("|");
</script></body>"""


def title(dom):
    return re.search("<title>(.*?)</title>", dom)[1]


def test_a_browser_sorts_it(shown, tmp_path):
    text = re.sub(POLICY, "", page_of(tmp_path, all_kinds(), "bytes"))
    dom = shown(text.replace("</body>", CLICKED))
    assert title(dom) == "[wg0]|[wg0]|java |java |pytho|'文書' |rgb(27, 108, 168)"


def test_a_browser_runs_nothing_else(shown, tmp_path):
    text = page_of(tmp_path, hostile_lines())
    assert title(shown(text)) == "sockwatch report"
    unescaped = text.replace("<h1>", "<h1><script>document.title='owned'</script>")
    dom = shown(unescaped)
    assert "document.title='owned'" in dom
    assert title(dom) == "sockwatch report"
    without = re.sub(POLICY, "", unescaped)
    assert title(shown(without)) == "owned"
