# SPDX-License-Identifier: Apache-2.0
"""Renders a report as a page that needs nothing but itself: no network, no other file.

Whatever is in a log, the page shows it as text. Its policy lets a browser run its own script and
style only, which it knows by their hashes.
"""

import base64
import hashlib
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from html import escape
from typing import Final

from tracer.output.columns import Column, quantity
from tracer.output.terminal import fit_middle
from tracer.output.who_cell import fit_who
from tracer.printable import safe
from tracer.report.chart import Series, chart
from tracer.report.group import Group, merged
from tracer.report.groups import Report
from tracer.report.keys import says_who
from tracer.report.times import BUCKETS, Timeline
from tracer.report.view import View, columns_of

_COLOURS: Final = 8  # groups in the chart; the others are one, in grey
_MEASURES: Final = {"bytes": "Bytes sent", "received": "Bytes received"}
_SUMS: Final = ("EVENTS", "SENT", "RECEIVED")
_SHOWN: Final = 50  # characters of each key of a group, beside its colour

# Both are ASCII: what is not would be written as references, which mean nothing in there.
_STYLE: Final = """
:root { --back: #fff; --text: #1a1a1a; --faint: #666; --line: #ddd; --band: #f5f6f8;
  --c0: #1b6ca8; --c1: #d1601f; --c2: #2f8f4e; --c3: #8a4fb0; --c4: #b8860b; --c5: #c2375c;
  --c6: #14868c; --c7: #6d5c4d; --c8: #b0b0b0; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --back: #16181c; --text: #e6e6e6; --faint: #9a9a9a;
  --line: #34373d; --band: #1f2228; --c0: #5aa9e6; --c1: #f08a4b; --c2: #5fc27e; --c3: #b98add;
  --c4: #e0b040; --c5: #ef6f8f; --c6: #45c0c6; --c7: #b39d8a; --c8: #6a6a6a; } }
body { background: var(--back); color: var(--text); font: 14px/1.45 system-ui, sans-serif;
  margin: 2rem auto; max-width: 100rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; margin: 0 0 .3rem; } h2 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
code, td { font-family: ui-monospace, monospace; font-size: 13px; }
p { margin: .2rem 0; } .faint { color: var(--faint); }
svg { width: 100%; height: auto; } svg text { fill: var(--faint); font-size: 11px; }
.grid { stroke: var(--line); }
.c0 { fill: var(--c0); } .c1 { fill: var(--c1); } .c2 { fill: var(--c2); } .c3 { fill: var(--c3); }
.c4 { fill: var(--c4); } .c5 { fill: var(--c5); } .c6 { fill: var(--c6); } .c7 { fill: var(--c7); }
.c8 { fill: var(--c8); }
ul { list-style: none; margin: .4rem 0; padding: 0; display: flex; flex-wrap: wrap;
  gap: .2rem 1.4rem; }
li svg { width: .8rem; height: .8rem; vertical-align: -1px; margin-right: .4rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .5rem; text-align: left;
  vertical-align: top; }
th { font-size: 12px; position: sticky; top: 0; background: var(--back); cursor: pointer;
  white-space: nowrap; }
th[aria-sort=ascending]::after { content: " \\25b2"; }
th[aria-sort=descending]::after { content: " \\25bc"; }
td { overflow-wrap: anywhere; } .who { min-width: 18rem; } .user { min-width: 6rem; }
.dst { min-width: 9rem; }
.right { text-align: right; } .right, .time { white-space: nowrap; }
tbody tr:nth-child(even) { background: var(--band); }
"""

_SCRIPT: Final = """
const value = (row, at) => row.cells[at].dataset.sort ?? row.cells[at].textContent;
for (const head of document.querySelectorAll("th")) head.onclick = () => {
  const at = head.cellIndex, body = document.querySelector("tbody");
  const down = head.ariaSort ? head.ariaSort === "ascending" : head.classList.contains("right");
  for (const other of head.parentNode.cells) other.ariaSort = null;
  head.ariaSort = down ? "descending" : "ascending";
  const order = (one, other) => value(one, at).localeCompare(value(other, at), "en",
    { numeric: true }) * (down ? -1 : 1);
  body.append(...[...body.rows].sort(order));
};
"""


def page(found: Report, view: View, command: str, said: Iterable[str]) -> str:
    """Returns the page, in ASCII. ``command`` made it; ``said`` is what else a user is told, as
    what the traces cover."""
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8"><title>sockwatch report</title>',
        f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>Who sent to whom</h1>\n<p><code>{_text(command)}</code></p>",
        *(f'<p class="faint">{_text(one)}</p>' for one in [*said, _time_zone(found.timeline)]),
        *_chart(found, view),
        *_table(found, view),
        f"<script>{_SCRIPT}</script></body></html>\n",
    ]
    return "\n".join(parts).encode("ascii", "xmlcharrefreplace").decode()


def _time_zone(timeline: Timeline) -> str:
    """Says how far local time is from UTC: in summer it may be another hour."""
    begin, end = timeline.span()
    seconds = [begin + (end - begin) * part // BUCKETS for part in range(BUCKETS + 1)]
    times = map(datetime.fromtimestamp, seconds if begin < end else [time.time()])
    offsets = dict.fromkeys(f"UTC{one.astimezone():%z}" for one in times)
    return f"times are of {' and '.join(offsets)}"


def _policy() -> str:
    style, script = map(_source, (_STYLE, _SCRIPT))
    return f"default-src 'none'; style-src {style}; script-src {script}"


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _text(text: str) -> str:
    return escape(safe(text))


def _chart(found: Report, view: View) -> Iterator[str]:
    """Yields the chart and what its colours stand for."""
    series = _series(found, view)
    yield f"<h2>{_MEASURES.get(found.order, 'Events')} over time</h2>"
    if not series:
        yield '<p class="faint">None.</p>'
        return
    yield chart(series, found.timeline)
    yield "<ul>"
    for number, one in enumerate(series):
        sign = f'<svg viewBox="0 0 8 8"><rect class="c{number}" width="8" height="8"/></svg>'
        yield f"<li>{sign}{escape(one.name)}</li>"
    yield "</ul>"


def _series(found: Report, view: View) -> list[Series]:
    """Returns the most active groups, and the others as one."""
    groups = [group for group in found.groups if any(group.activity.values())]
    shown, others = groups[:_COLOURS], merged(groups[_COLOURS:], found.rest)
    parts = found.timeline.parts
    series = [Series(_label(group, view), parts(group.activity)) for group in shown]
    if others:
        series.append(Series(f"{others.number} others", parts(others.sums.activity)))
    return series


def _label(group: Group, view: View) -> str:
    """Names a group in a line."""
    columns = {column.name: column for column in columns_of(view, str, "")}
    names = [key.upper() for key in view.keys if key not in ("role", "process")]
    who = [fit_who(group.who, _SHOWN)] if says_who(view.keys) else []
    texts = (fit_middle(safe(columns[name].text(group)), _SHOWN) for name in names)
    return " → ".join([*who, *texts])


def _table(found: Report, view: View) -> Iterator[str]:
    shown, others = view.groups(found)
    columns = columns_of(view, str, "%Y-%m-%d %H:%M:%S")
    yield "<h2>Who, to whom, how much, when</h2>"
    yield '<div class="wide"><table><thead><tr>'
    yield "".join(f'<th class="{_class(column)}">{column.name}</th>' for column in columns)
    yield "</tr></thead><tbody>"
    for group in shown:
        yield f"<tr>{''.join(_cell(column, group) for column in columns)}</tr>"
    yield "</tbody></table></div>"
    if others:
        yield f'<p class="faint">… and {others.number:,} more.</p>'


def _class(column: Column[Group]) -> str:
    if column.name in ("FIRST", "LAST"):
        return "time"
    return "right" if column.right else column.name.lower()


def _cell(column: Column[Group], group: Group) -> str:
    text = column.text(group)
    if column.name in _SUMS and text.isdigit():
        return f'<td class="right" data-sort="{text}" title="{text}">{quantity(int(text))}</td>'
    sort = f' data-sort="{escape(text.lstrip("×"))}"' if column.right else ""
    return f'<td class="{_class(column)}"{sort}>{_text(text)}</td>'
