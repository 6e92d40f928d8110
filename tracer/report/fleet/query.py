# SPDX-License-Identifier: Apache-2.0
"""The questions of a report, as SQL."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from tracer.filter.filters import Filters
from tracer.report.fleet import conditions, keys, senders
from tracer.report.fleet.conditions import IS_WHOLE, UNKNOWN, YES, within
from tracer.report.fleet.tables import Tables
from tracer.report.group import measured_by
from tracer.report.times import Period

# As tracer.report.decode.numbers() reads a line: of a close, what no line before tells of.
_SIZE: Final = "if(event = 'close', ifNull(bytes_since, 0), ifNull(bytes, 0))"
_RECEIVED: Final = (
    "if(event = 'close', if(isNull(bytes_since), NULL, bytes_received_since), bytes_received)"
)
_LAST: Final = "ifNull(last_time, time)"
_MEASURES: Final = (_SIZE, f"ifNull({_RECEIVED}, 0)", "count")
_ORDERS: Final = {
    "events": "n_events DESC",
    "bytes": "n_bytes DESC",
    "received": "has_received DESC, n_received DESC",
    "last": "last_seen DESC",
}


class Question(NamedTuple):
    """What is asked of a server."""

    tables: Tables
    keys: Sequence[str]
    filters: Filters
    period: Period
    order: str

    @property
    def asks_who(self) -> bool:
        """Says whether groups are made of what each process did."""
        return not {*self.keys}.isdisjoint(senders.KEYS)

    def among(self) -> str:
        """Asks for the hosts, runs and numbers of processes that match."""
        who = conditions.of_process(self.tables, self.filters)
        return (
            "SELECT toString(host), toString(run), ifNull(process_id, 0) "
            f"FROM {self.tables.events} WHERE {self._certain()} AND ({who}) = {YES}"
        )

    def totals(self) -> str:
        """Asks how many rows may match, when the first and the last of them were, and of how many
        events it is not known."""
        who = conditions.of_process(self.tables, self.filters)
        doubt = f"({who}) = {UNKNOWN}"
        return (
            f"SELECT count() AS n_rows, toString(min(time)) AS first_seen, "
            f"toString(max(time)) AS last_seen, sum(if({doubt}, count, 0)) AS n_undecided, "
            f"max({doubt}) AS is_undecided "
            f"FROM {self.tables.events} WHERE {self._certain()} AND ({who}) > 0"
        )

    def still_open(self) -> str:
        """Asks how many TCP connections of each run had not ended before the period."""
        ends = "event IN ('close', 'connect_failed')"
        others = f"maxIf(time, NOT {ends}) >= maxIf(time, {ends})"
        each = (
            "SELECT toString(host) AS t_host, toString(run) AS t_run, "
            "ifNull(cookie, 0) AS t_cookie "
            f"FROM {self.tables.events} WHERE {self._earlier()} AND proto = 'tcp' "
            f"GROUP BY t_host, t_run, t_cookie HAVING countIf(NOT {ends}) > 0 "
            f"AND (t_cookie = 0 OR {others})"
        )
        return f"SELECT t_host, t_run, count() AS number FROM ({each}) GROUP BY t_host, t_run"

    def reaching(self) -> str:
        """Asks how many lines from before the period count events of it, too."""
        since = self.tables.time(self.period.since)
        return (
            f"SELECT count() AS number FROM {self.tables.events} "
            f"WHERE {self._earlier()} AND ifNull(last_time, time) >= {since}"
        )

    def _earlier(self) -> str:
        """Asks for what may match, but was before."""
        who = conditions.of_process(self.tables, self.filters)
        certain = conditions.certain(self.tables, self.filters, Period("", ""))
        return f"time < {self.tables.time(self.period.since)} AND {certain} AND ({who}) > 0"

    def damaged(self) -> str:
        """Asks for how many lines the server has not taken the values."""
        asked = (f"NOT ({IS_WHOLE})", *within(self.tables, self.period))
        return f"SELECT count() AS n_rows FROM {self.tables.events} WHERE {' AND '.join(asked)}"

    def groups(self, length: int, number: int) -> str:
        """Asks for the first groups; their activity in parts of so many seconds."""
        return f"{self._grouped(length)} ORDER BY {self._order()} LIMIT {number}"

    def rest(self, length: int, number: int) -> str:
        """Asks for what the groups after the first have in common."""
        grouped = f"{self._grouped(length)} ORDER BY {self._order()} LIMIT {number}, {1 << 62}"
        return (
            "SELECT count() AS n_groups, sum(n_events) AS n_events, sum(n_bytes) AS n_bytes, "
            "sum(n_received) AS n_received, max(has_received) AS has_received, "
            "min(first_seen) AS first_seen, max(last_seen) AS last_seen, "
            "sumMap(activity.1, activity.2) AS activity "
            f"FROM ({grouped})"
        )

    def _grouped(self, length: int) -> str:
        named = self._named()
        keyed = "".join(f"{expression} AS {name}, " for name, expression in named.items())
        measure = _MEASURES[measured_by(self.order)]
        part = f"intDiv(toUInt64(toUnixTimestamp(time)), {length})"
        who = conditions.of_process(self.tables, self.filters)
        return (
            f"SELECT {keyed}"
            f"sum(count) AS n_events, sum({_SIZE}) AS n_bytes, "
            f"sum(ifNull({_RECEIVED}, 0)) AS n_received, "
            f"max(isNotNull({_RECEIVED}) OR {self._is_counted()}) AS has_received, "
            f"toString(min(time)) AS first_seen, toString(max({_LAST})) AS last_seen, "
            f"sumMap([{part}], [toUInt64({measure})]) AS activity "
            f"FROM {self.tables.events} WHERE {self._certain()} AND ({who}) = {YES} "
            f"GROUP BY {', '.join(named)}"
        )

    def _named(self) -> dict[str, str]:
        """Returns what rows are grouped by."""
        if not self.asks_who:
            return keys.expressions(self.tables, self.keys)
        own = keys.expressions(self.tables, [key for key in ("dst", "port") if key in self.keys])
        return {**own, **senders.EXPRESSIONS}

    def _is_counted(self) -> str:
        """Says whether a run has counted what comes back to such an event: then nothing is 0."""
        return (
            "(via IN ('socket', 'raw') AND event NOT IN ('existing', 'forward') AND proto != 'tcp' "
            f"AND NOT {conditions.HAS_NAT_DST} AND ({self._counts('all')} "
            f"OR proto = 'udp' AND {self._counts('udp')}))"
        )

    def _counts(self, received_of: str) -> str:
        return (
            "(toString(host), toString(run)) GLOBAL IN (SELECT toString(host), toString(run) "
            f"FROM {self.tables.runs} WHERE received_of = '{received_of}')"
        )

    def _certain(self) -> str:
        return conditions.certain(self.tables, self.filters, self.period)

    def _order(self) -> str:
        return f"{_ORDERS[self.order]}, first_seen"
