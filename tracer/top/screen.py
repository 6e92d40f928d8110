# SPDX-License-Identifier: Apache-2.0
"""What ``sockwatch top`` shows: lines of text for a terminal's size."""

import enum
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from tracer.host.resolver import Names
from tracer.model.counts import counted, in_words
from tracer.model.fields import LOSSES
from tracer.model.flow import destination
from tracer.model.who import Who, common, who
from tracer.output import columns
from tracer.output.columns import Column, quantity
from tracer.output.terminal import fit, fit_end
from tracer.output.who_cell import fit_who
from tracer.printable import safe
from tracer.top.keys import Page, State
from tracer.top.rows import Amounts, By, Row, Talk, place, sender
from tracer.trace.totals import OTHERS

_ABOVE: Final = 3  # lines above the rows' header, or a text
_HINTS: Final = {
    Page.ROWS: "a group  s sort  / filter  space pause  enter details  ? help  q quit",
    Page.DETAILS: "up, down scroll  space pause  escape back",
    Page.HELP: "up, down scroll  escape back",
}
_NOT_SAID: Final = ("seen", "matched", "existing", "coalesced", *LOSSES)
HELP: Final = (
    "Who talks to what now: a row for each program, the highest rate first.",
    "",
    "  a            group by program, process, destination, or container (or unit)",
    "  s            sort by what was sent, by what was received, by events",
    "  /            show only what matches options as of the command line:",
    "               --dst 10.0.0.5 -u ann; empty shows all",
    "  space        pause: the screen stays as it is, and all is counted on",
    "  up, down     choose a row; also j, k, Page Up, Page Down, Home, End",
    "  enter        details of the row: arguments, parents, sockets, routes",
    "  escape       back",
    "  q, Ctrl-C    quit",
    "",
    "Rates are of the last second. EVENTS, SENT and RECV are sums since the start;",
    "? is what is not measured. A row with + is new, one with - has no living",
    "process any more. missed is what was lost on the way, unread what could not be",
    "read; each is said.",
)


class Style(enum.Enum):
    """How a line looks."""

    PLAIN = enum.auto()
    BOLD = enum.auto()
    DIM = enum.auto()
    REVERSE = enum.auto()


class Line(NamedTuple):
    """A line of the screen, safe to show and not longer than it is wide."""

    text: str
    style: Style = Style.PLAIN


class View(NamedTuple):
    """What there is to be shown. ``numbers`` are those of the log's stop line; ``text`` the (safe)
    lines of a page that has no rows; ``message`` stands at the bottom, instead of the hints."""

    title: str
    numbers: Mapping[str, int | None]
    state: State
    rows: Sequence[Row]
    text: Sequence[str] = ()
    message: str = ""
    names: Names | None = None


def room(state: State, height: int) -> int:
    """Returns how many rows, or lines of a text, a screen of that height shows."""
    return max(1, height - _ABOVE - 1 - (state.page is Page.ROWS))


def frame(view: View, width: int, height: int) -> list[Line]:
    """Returns the lines of a screen."""
    state = view.state
    lines = [
        Line(safe(view.title), Style.BOLD),
        _proof(view.numbers),
        Line(safe(_status(view))),
        *(_table(view, width, height) if state.page is Page.ROWS else _text(view, height)),
    ][: height - 1]
    lines += [Line("")] * (height - 1 - len(lines))
    return [line._replace(text=fit(line.text, width)) for line in [*lines, _bottom(view, width)]]


def who_of(row: Row) -> tuple[Who, int]:
    """Names the busiest program of a row by what its processes have in common; and says how many
    other programs there are."""
    first, *others = dict.fromkeys(sender(talk.flow) for talk in row.talks)
    same = [talk.process for talk in row.talks if talk.process and sender(talk.flow) == first]
    return who(functools.reduce(common, same)) if same else Who(str(first)), len(others)


def destination_of(talk: Talk, names: Names | None = None) -> str:
    """Names a talk's destination, and what NAT made of it."""
    flow = talk.flow
    if flow is None:
        return OTHERS
    return destination(flow.dst, flow.nat.dst, flow.proto, *([names.of] if names else []))


def _proof(numbers: Mapping[str, int | None]) -> Line:
    losses = {name: numbers[name] for name in LOSSES if name != "unread"}
    lost = [count for count in losses.values() if count is not None]
    missed = f"{sum(lost):,}" if len(lost) == len(losses) else "unknown"
    which, unread = in_words(losses), numbers["unread"]
    rest = in_words({name: count for name, count in numbers.items() if name not in _NOT_SAID})
    text = f"missed {missed}{f' ({which})' if which else ''}, unread {unread:,}"
    text += f", {numbers['seen']:,} events looked at{f'; {rest}' if rest else ''}"
    return Line(text, Style.REVERSE if which or unread else Style.PLAIN)


def _status(view: View) -> str:
    state, rate = view.state, Amounts()
    for row in view.rows:
        rate = rate.plus(*row.rate)
    parts = [
        f"{counted(len(view.rows), 'row')} by {state.by.value}, most {state.sort.value} first",
        f"sent {_number(rate.sent)}/s, received {_number(rate.received)}/s",
        *([f"only {state.filter}"] if state.filter else []),
        *(["PAUSED"] if state.paused else []),
    ]
    return "; ".join(parts)


def _table(view: View, width: int, height: int) -> list[Line]:
    state, shown = view.state, room(view.state, height)
    keys = [row.key for row in view.rows]
    at = keys.index(state.selected) if state.selected in keys else 0
    rows = view.rows[max(0, at - shown + 1) :][:shown]
    header, *lines = columns.render(_columns(state.by, view.names), rows, width).splitlines()
    styled = (Line(text, _style(row, state)) for text, row in zip(lines, rows, strict=True))
    return [Line(header, Style.BOLD), *styled]


def _style(row: Row, state: State) -> Style:
    if row.key == state.selected:
        return Style.REVERSE
    return Style.DIM if row.is_gone else Style.BOLD if row.is_new else Style.PLAIN


def _text(view: View, height: int) -> list[Line]:
    shown = room(view.state, height)
    start = max(0, min(view.state.scrolled, len(view.text) - shown))  # it may be shorter by now
    return [Line(line) for line in view.text[start : start + shown]]


def _bottom(view: View, width: int) -> Line:
    if view.state.typed is not None:
        return Line(fit_end(f"filter: {safe(view.state.typed)}_", width), Style.BOLD)
    if view.message:
        return Line(safe(view.message), Style.BOLD)
    return Line(_HINTS[view.state.page], Style.DIM)


def _columns(by: By, names: Names | None) -> Sequence[Column[Row]]:
    whom = Column[Row]("DESTINATION", lambda row: _destinations(row, names), 9, least=21, enough=30)
    whose = Column[Row]("WHO", _who, least=24, enough=44, cut=_cut_who)
    where = Column[Row]("CONTAINER", _place, 9, least=12)
    ends = {By.DESTINATION: [whom, whose], By.CONTAINER: [where, whose, whom]}
    return [
        Column("", lambda row: "-" if row.is_gone else "+" if row.is_new else " "),
        Column("PID", _pid, 6, right=True),
        *ends.get(by, [whose, whom]),
        Column("USER", _user, 2, least=6),
        Column("PROTO", lambda row: _listed(_protos(row)), 3),
        Column("EVENTS/S", lambda row: _number(row.rate.events), 4, right=True),
        Column("SENT/S", lambda row: _number(row.rate.sent), 8, right=True),
        Column("RECV/S", lambda row: _number(row.rate.received), 8, right=True),
        Column("EVENTS", lambda row: _number(row.total.events), 5, right=True),
        Column("SENT", lambda row: _number(row.total.sent), 7, right=True),
        Column("RECV", lambda row: _number(row.total.received), 7, right=True),
    ]


def _number(amount: float | None) -> str:
    return "?" if amount is None else quantity(round(amount))


def _who(row: Row) -> str:
    name, others = who_of(row)
    return f"{name} +{others}" if others else str(name)


def _cut_who(row: Row, columns: int) -> str:
    name, others = who_of(row)
    more = f" +{others}" if others else ""
    return fit(fit_who(name, max(0, columns - len(more))) + more, columns)


def _pid(row: Row) -> str:
    if not row.processes:
        return "-"
    more = [talk.merged - 1 for talk in row.talks if talk.merged]
    number = len(row.processes) + sum(more)
    if number > 1:
        return f"×{'~' * bool(more)}{number}"
    return str(row.processes[0].pid or "?")


def _user(row: Row) -> str:
    return _listed(one.shown_user for one in row.processes) or "-"


def _protos(row: Row) -> Iterable[str]:
    return (talk.flow.proto for talk in row.talks if talk.flow)


def _destinations(row: Row, names: Names | None) -> str:
    return _listed(destination_of(talk, names) for talk in row.talks)


def _place(row: Row) -> str:
    return OTHERS if row.key == OTHERS else place(row.talks[0].process)


def _listed(texts: Iterable[str]) -> str:
    """Returns the first, and how many others there are."""
    first, *more = dict.fromkeys(texts) or [""]
    return f"{first} +{len(more)}" if more else first
