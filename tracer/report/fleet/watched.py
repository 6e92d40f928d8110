# SPDX-License-Identifier: Apache-2.0
"""When which host was watched, and what was lost there: from the rows about runs, by the code that
reads it from a log (:mod:`tracer.report.runs`)."""

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from tracer.filter.filters import Filters
from tracer.model.counts import in_words
from tracer.model.fields import LOSSES
from tracer.output.jsonl import to_json
from tracer.report import decode, times
from tracer.report.coverage import missed_in
from tracer.report.decode import DAMAGE
from tracer.report.fleet.tables import Tables
from tracer.report.runs import NEVER, Missed, Runs, Segment, Span

Row = Mapping[str, Any]

_KEPT: Final = dt.timedelta(days=89)  # the tables keep 90; a day's rows do not go at one moment
_SECOND: Final = dt.timedelta(seconds=1)
_COUNTS: Final = ("existing", "undecided", "unfinished", "log_lines_lost")
_FAULTS: Final = {"missing": "lines_missing", "damaged": "damaged", "refused": "damaged"}
_ORDER: Final = {"start": 0, "stop": 2}  # of rows of one moment
_NEVER: Final = Segment(NEVER, None, 0)  # of a host that has not watched
_COLUMNS: Final = (
    "toString(host) AS t_host, toString(run) AS t_run, toString(event) AS t_event, "
    "toString(time) AS t_time, toString(machine_id) AS t_machine, toString(boot_id) AS t_boot, "
    "filter, blind_spots, toString(received_of) AS t_received_of, lines, more, "
    "if(isNull(since), '', toString(assumeNotNull(since))) AS t_since, "
    + ", ".join((*_COUNTS, *LOSSES))
)


def queries(tables: Tables) -> Iterator[str]:
    """Asks for all rows but those that say each minute that a run is alive: of these for the first
    of each hour, and the last. What was lost is known less exactly when, then."""
    select = f"SELECT {_COLUMNS} FROM {tables.runs}"
    yield f"{select} WHERE event != 'alive'"
    hourly = f"SELECT {_COLUMNS}, toStartOfHour(time) AS t_hour FROM {tables.runs}"
    alive = "WHERE event = 'alive' ORDER BY t_host, t_run, time"
    yield f"{hourly} {alive} LIMIT 1 BY t_host, t_run, t_hour"
    yield f"{select} {alive} DESC LIMIT 1 BY t_host, t_run"


class Watched:
    """The runs of all hosts that have ever told of one; ``numbers`` has each one's number.
    ``names`` are of those that have lost something of what is asked."""

    def __init__(self, rows: Iterable[Row], *, has_fractions: bool) -> None:
        self.runs = Runs()
        self.numbers: dict[tuple[str, str], int] = {}
        self._lost: dict[str, list[Missed]] = defaultdict(list)
        self._shift = dt.timedelta() if has_fractions else _SECOND
        self._oldest = times.as_logged(dt.datetime.now(dt.UTC) - _KEPT)
        by_run = defaultdict(list)
        for row in rows:
            by_run[row["t_host"], row["t_run"]].append(row)
        names = _names(by_run)
        for place, found in by_run.items():
            self.numbers[place] = self.runs.number = len(self.numbers) + 1
            self._take(sorted(found, key=_when), names[place])

    def lost(self, period: Span, asked: Filters) -> list[str]:
        """Says by name which hosts have lost something."""
        sums = {host: missed_in(self._lost[host], period, asked) for host in sorted(self._lost)}
        return [f"on {host}: {in_words(missed)}" for host, missed in sums.items() if missed]

    def _take(self, rows: Sequence[Row], host: str) -> None:
        """Takes the rows of a run."""
        run, before = Runs(), ""
        for row in rows:
            time = _time(row)
            try:
                if row["t_event"] in _FAULTS:
                    run.missed.append(_fault(row, before))
                else:
                    run.mark(_mark(row), 0)
            except DAMAGE:
                run.missed.append(Missed("damaged", 1, Span(before, time)))
            before = time
        run.end_log()
        self.runs.segments += [self._placed(one, host) for one in run.segments or [_NEVER]]
        self.runs.missed += run.missed
        self._lost[host] += run.missed

    def _placed(self, segment: Segment, host: str) -> Segment:
        """Returns a segment of the latest run, without what is too old: of its events, some may be
        gone. A server that keeps seconds only has a beginning too early."""
        since, until = segment.span
        if since:
            begun = dt.datetime.fromisoformat(f"{since[:26]}+00:00")
            since = times.as_logged(begun + self._shift) if self._shift else since
        span = Span(min(max(since, self._oldest), until), until)
        return segment._replace(span=span, run=self.runs.number, host=host)


def _names(by_run: Mapping[tuple[str, str], Sequence[Row]]) -> dict[tuple[str, str], str]:
    """Names the host of each run; of several machines of one name, each by its id, too."""
    machines = {
        place: next((row["t_machine"] for row in rows if row["t_machine"]), "")
        for place, rows in by_run.items()
    }
    of_name = defaultdict(set)
    for (host, _), machine in machines.items():
        if machine:
            of_name[host].add(machine)
    return {
        (host, run): f"{host} ({machine[:8] or '?'})" if len(of_name[host]) > 1 else host
        for (host, run), machine in machines.items()
    }


def _when(row: Row) -> tuple[str, int]:
    return row["t_time"], _ORDER.get(row["t_event"], 1)


def _time(row: Row) -> str:
    return times.logged(row["t_time"]).decode()


def _fault(row: Row, before: str) -> Missed:
    """Returns what ship has found; ``before`` is the row's before it."""
    since = times.logged(row["t_since"]).decode() if row["t_since"] else ""
    begin = since if row["t_event"] == "missing" else before
    number = None if row["lines"] is None else int(row["lines"])
    return Missed(_FAULTS[row["t_event"]], number, Span(begin, _time(row)))


def _mark(row: Row) -> decode.Mark:
    """Returns what the line has said. Raises DAMAGE."""
    line: dict[str, Any] = {"time": _time(row), "event": row["t_event"]}
    line |= {name: int(row[name]) for name in (*_COUNTS, *LOSSES) if row[name] is not None}
    if row["t_event"] in ("start", "alive"):
        machine = row["t_machine"] or None
        line["host"] = {"name": row["t_host"], "machine_id": machine, "boot_id": row["t_boot"]}
    if row["filter"]:
        line["filter"] = json.loads(row["filter"])
        line["blind_spots"] = json.loads(row["blind_spots"] or "[]")
        line["received_of"] = row["t_received_of"]
    if row["t_event"] == "netns":
        line |= {"before": None, "netns": None, **json.loads(row["more"] or "{}")}
    return decode.mark(to_json(line).encode())
