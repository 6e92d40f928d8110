# SPDX-License-Identifier: Apache-2.0
"""Logs of 500 hosts in one ClickHouse server: what it costs to ship them, and to ask.

``sockwatch ship`` ships the logs of some simulated hosts to Debian's server on 127.0.0.1. There a
part of these rows is copied for each of 30 days and each host, with other times, ports, cookies and
so on, until there are as many as asked for. All of it is on the machine that this runs on.
"""

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import fleet_hosts
import measure
from fleet_hosts import Host

from tests.servers import clickhouse

HOSTS: Final = 500
SHIPPED: Final = 10  # hosts; each stands for HOSTS / SHIPPED
LINES: Final = 20_000  # of each: events of one day
DAYS: Final = 30
WHOLE: Final = 10_000_000  # rows; with fewer, there are as much fewer about processes and runs
FIRST: Final = 1000  # a host's number
DAY: Final = 86_400  # seconds
TABLES: Final = ("events", "processes", "runs")
NOT_WATCHING: Final = 5  # hosts, since the last noon
RUNS: Final = 3  # of each question
# The tests' servers have less room; smaller blocks are joined with 50 hosts.
ROOM: Final = {"max_memory_usage": 4_000_000_000, "max_block_size": 4096}

# What is another one in a copy: `n` is its host's number, `h` a hash of the flow and the day, and
# `shift` so many seconds, which lead to another time of that day. A block is what came in a minute.
_OTHER: Final = {
    "host": "concat('host', toString(n))",
    "run": "lower(hex(cityHash64(n, 'run')))",
    "token": "concat(lower(hex(cityHash64(n, 1))), lower(hex(cityHash64(n, 2))), ':', "
             "toString(intDiv(toUInt32(time) + shift, 60) % 43200 * 3001))",
}  # fmt: skip
_OF_EVENTS: Final = {
    **_OTHER,
    "time": "addSeconds(time, shift)",
    "last_time": "addSeconds(last_time, shift)",
    "start_time": "addSeconds(start_time, shift)",
    "bytes": "if(bytes > 0, bytes + h % 97, bytes)",
    "bytes_since": "if(bytes_since > 0, bytes_since + h % 97, bytes_since)",
    "bytes_received": "if(bytes_received > 0, bytes_received + h % 911, bytes_received)",
    "bytes_received_since":
        "if(bytes_received_since > 0, bytes_received_since + h % 911, bytes_received_since)",
    "latency_us": "latency_us + h % 89",
    "duration": "duration + h % 1000 / 1000",
    "pid": "pid + n",
    "sport": "if(isNull(sport), sport, 32768 + h % 28000)",
    "cookie": "cookie + 1000003 * n + 100003 * {back}",
    "dst": "if({is_last} AND h % 1000 = 0, "
           "concat('::ffff:10.9.', toString(intDiv(n, 256)), '.', toString(n % 256)), dst)",
    "src": "if(src LIKE '::ffff:%', "
           "concat('::ffff:10.1.', toString(intDiv(n, 256)), '.', toString(n % 256)), "
           "concat('fd01::', lower(hex(toUInt16(n)))))",
    "container": "if(container = '', '', lower(concat("
                 + ", ".join(f"hex(cityHash64(n, unit, {part}))" for part in range(4)) + ")))",
    "more": "if(position(more, '\"inode\":') > 0, concat(extract(more, '^(.*\"inode\":)'), "
            "toString(90000 + h % 9000000), extract(more, '\"inode\":[0-9]+(.*)$')), more)",
}  # fmt: skip
_OF_PROCESSES: Final = {
    **_OTHER,
    "pid": "pid + n",
    "initial_pid": "initial_pid + n",
    "start_time": "addSeconds(start_time, shift)",
    "time": "addSeconds(time, shift)",
    "container": _OF_EVENTS["container"],
}
_OF_RUNS: Final = {
    **_OTHER,
    "time": "toDateTime(at)",
    "machine_id": "lower(hex(cityHash64(n, 1, 1)))",
    "boot_id": "lower(hex(cityHash64(n, 2, 2)))",
    "lines": "intDiv(at - {midnight}, 7)",
    "seen": "intDiv(at - {midnight}, 2)",
    "matched": "intDiv(at - {midnight}, 8)",
}
_SOURCES: Final = {
    "events": """
        SELECT *, {n} AS n, cityHash64(ifNull(cookie, 0), n, {back}) AS h,
            toInt32((toUInt32(time) + n * 7919 + h % 61) % 86400) - toInt32(toUInt32(time) % 86400)
                - {back} * 86400 AS shift
        FROM (
            SELECT * FROM shipped.events
            WHERE cityHash64(ifNull(cookie, 0), {back}) % 1000000 < {first}
        ) ARRAY JOIN range({copies}) AS copy
        WHERE cityHash64(h, 'kept') % 1000000 < {kept}""",
    "processes": """
        SELECT *, {n} AS n, -{back} * 86400 AS shift
        FROM shipped.processes ARRAY JOIN range({copies}) AS copy
        WHERE cityHash64(id, n) % 1000000 < {share}""",
    "runs": """
        SELECT *, {n} AS n, 0 AS shift, {midnight} + 60 * minute + n % 60 AS at
        FROM (
            SELECT *, copy FROM (SELECT * FROM shipped.runs WHERE event = 'alive' LIMIT 1 BY host)
            ARRAY JOIN range({copies}) AS copy
        ) ARRAY JOIN range(1440) AS minute
        WHERE minute >= {from} AND NOT ({is_last} AND minute >= 720 AND n < {quiet})""",
}
_COLUMNS: Final = {"events": _OF_EVENTS, "processes": _OF_PROCESSES, "runs": _OF_RUNS}

# Of docs/fleet.md, in the words of a server that has addresses as text. The time is the end of what
# is simulated.
_QUESTIONS: Final = {
    "who talks to one address, in 30 days": """
        SELECT host, exe, min(time), max(time), sum(count) FROM events
        WHERE dst = '::ffff:10.0.0.7' AND time >= toDateTime({end}) - 30 * 86400
        GROUP BY host, exe""",
    "new pairs of program and destination since yesterday": """
        SELECT exe, dst, min(time) AS first, any(host), uniq(host), sum(count) FROM events
        WHERE time >= toDateTime({end}) - 86400
            AND (exe, dst) NOT IN
                (SELECT exe, dst FROM daily WHERE day < toDate(toDateTime({end}) - 86400))
        GROUP BY exe, dst ORDER BY first""",
    "who talks to a /24, by day": """
        SELECT host, exe, user, unit, min(day), max(day), sum(events) AS number FROM daily
        WHERE dst LIKE '::ffff:10.0.0.%'
        GROUP BY host, exe, user, unit ORDER BY number DESC""",
    "what one host did in one hour": """
        SELECT time, event, error, comm, args, parent, dst, dport, sent, received FROM events
        WHERE host = 'host1234' AND time >= toDateTime({end}) - 3600 ORDER BY time""",
    "which hosts are not watching": """
        SELECT host, max(time) AS last, argMax(event, time) AS latest FROM runs
        WHERE event IN ('start', 'alive', 'stop')
        GROUP BY host HAVING last < toDateTime({end}) - 180 OR latest = 'stop' ORDER BY last""",
}


def main() -> None:
    """Argument: how many rows there are to be in ``events``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="?", type=int, default=10_000_000)
    rows = parser.parse_args().rows
    if not clickhouse.is_installed():
        sys.exit("bench: fleet needs Debian's clickhouse-server (scripts/test installs it)")
    end = int(datetime.now(UTC).timestamp()) // DAY * DAY
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # nothing is left behind
    with tempfile.TemporaryDirectory() as folder:
        server = clickhouse.alone(Path(folder) / "server")
        try:
            server.start()
            results = measured(server, Path(folder), rows, end)
        finally:
            server.kill()
    tell(results)
    measure.save("fleet", results)


def measured(server: Any, folder: Path, rows: int, end: int) -> dict[str, Any]:
    """Ships, copies, and asks."""
    for database in ("shipped", "fleet"):
        server.query(f"CREATE DATABASE {database}")
        measure.run([*ship_to(server, database), "--create"])
    shipped = ship(server, folder, end)
    copied = copy(server, rows, end)
    disk = on_disk(server)
    return {
        "asked for": rows, "hosts": HOSTS, "days": DAYS, "shipped": shipped, "copied": copied,
        "disk": disk, "questions": ask(server, end),
    }  # fmt: skip


def ship_to(server: Any, database: str) -> list[str]:
    """Returns the command but for what is to be shipped."""
    to = f"clickhouse://127.0.0.1:{server.port}/{database}"
    return [measure.SOCKWATCH, "ship", "--to", to, "--no-tls"]


def ship(server: Any, folder: Path, end: int) -> list[dict[str, Any]]:
    """Ships a log of each of some hosts, and once more when there is nothing: that is what a start
    takes. Returns what it cost, the server included."""
    found = []
    for host in (Host(FIRST + n, end - DAY) for n in range(SHIPPED)):
        log = folder / f"{host.name}.jsonl"
        with ProcessPoolExecutor(1) as writer:  # what is begun counts as big as we are
            lines = writer.submit(fleet_hosts.write, log, host, LINES).result()
        argv = [*ship_to(server, "shipped"), "--log", str(log), "--once",
                "--cursor", str(folder / f"{host.name}.cursor")]  # fmt: skip
        before = cpu_of(server.pid)
        cost = measure.run(argv)
        busy = cpu_of(server.pid) - before
        start = measure.run(argv)
        found.append({"lines": lines, "bytes": log.stat().st_size, "server_cpu": busy,
                      **cost._asdict(), "start": start._asdict()})  # fmt: skip
        log.unlink()
    there = sum(count(server, "shipped", table) for table in TABLES)
    if there != sum(one["lines"] for one in found):
        sys.exit(f"bench: {there:,} rows are there of {sum(one['lines'] for one in found):,} lines")
    return found


def cpu_of(pid: int) -> float:
    """CPU seconds of a process so far, proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def count(server: Any, database: str, table: str) -> int:
    """Returns how many rows a table has."""
    ((number,),) = server.query(f"SELECT count() FROM {table}", database)
    return int(number)


def copy(server: Any, rows: int, end: int) -> dict[str, float]:
    """Copies what was shipped to all hosts, day by day, and has a line ``alive`` each minute.
    Returns how long it took, and then until all was merged."""
    began = time.monotonic()
    for day in range(DAYS):
        for statement in copies(server, rows, end - (DAYS - day) * DAY, end):
            server.query(statement, "fleet", **ROOM)
    copied = time.monotonic()
    for table, partition in server.query(
        "SELECT DISTINCT table, partition FROM system.parts WHERE active AND database = 'fleet'"
    ):
        server.query(f"OPTIMIZE TABLE {table} PARTITION {partition} FINAL", "fleet", **ROOM)
    return {"seconds": copied - began, "merging": time.monotonic() - copied}


def copies(server: Any, rows: int, midnight: int, end: int) -> Iterator[str]:
    """Yields what copies a day, which begins at midnight."""
    first = min(1.0, rows / WHOLE)  # spares hashing all of them for few
    values = {
        "copies": HOSTS // SHIPPED,
        "n": f"toUInt32(substring(toString(host), 5)) + {SHIPPED} * copy",
        "back": (end - midnight) // DAY - 1,
        "first": round(first * 1_000_000),
        "kept": round(rows / HOSTS / DAYS / LINES / first * 1_000_000),
        "share": round(rows / WHOLE * 1_000_000),
        "midnight": midnight,
        "from": max(0, round(1440 - 1440 * rows / WHOLE)),
        "is_last": int(midnight + DAY == end),
        "quiet": FIRST + NOT_WATCHING,
    }
    for table in TABLES:
        names = [name for (name,) in server.query(
            f"SELECT name FROM system.columns WHERE database = 'fleet' AND table = '{table}' "
            "AND default_kind != 'ALIAS'"
        )]  # fmt: skip
        taken = ", ".join(_COLUMNS[table].get(name, name).format(**values) for name in names)
        source = _SOURCES[table].format(**values)
        yield f"INSERT INTO {table} ({', '.join(names)}) SELECT {taken} FROM ({source})"


def on_disk(server: Any) -> dict[str, dict[str, int]]:
    """Returns the rows of each table and its bytes."""
    rows = server.query(
        "SELECT table, sum(rows), sum(bytes_on_disk), count() FROM system.parts "
        "WHERE active AND database = 'fleet' GROUP BY table ORDER BY table"
    )
    return {
        table: {"rows": int(number), "bytes": int(size), "parts": int(parts)}
        for table, number, size, parts in rows
    }


def ask(server: Any, end: int) -> dict[str, dict[str, Any]]:
    """Asks each question, several times. Returns the seconds until the answer was here."""
    found: dict[str, dict[str, Any]] = {}
    for question, query in _QUESTIONS.items():
        seconds = []
        for _ in range(RUNS):
            began = time.monotonic()
            answer = server.query(query.format(end=end), "fleet", **ROOM)
            seconds.append(time.monotonic() - began)
        found[question] = {"seconds": seconds, "rows": len(answer)}
    return found


def tell(results: dict[str, Any]) -> None:
    """Prints them."""
    shipped = results["shipped"]
    lines = [one["lines"] for one in shipped]
    print(
        f"{sum(lines):,} lines of {len(shipped)} hosts shipped, median (least to most) of a host:"
    )
    print(f"  lines a second, start included   {measure.spread(per(lines, shipped, 'wall'), 0)}")
    print(f"  µs of CPU a line, start included {measure.spread(cpu(shipped), 1)}")
    print(f"  and without the start            {measure.spread(cpu(shipped, start=False), 1)}")
    print(f"  µs of the server's CPU a line    {measure.spread(cpu(shipped, 'server_cpu'), 1)}")
    print(f"  memory, MB                       "
          f"{measure.spread([one['memory'] / 1e6 for one in shipped], 1)}")  # fmt: skip
    took, disk = results["copied"], results["disk"]
    copied = sum(disk[table]["rows"] for table in TABLES)
    print(f"{copied:,} rows of {results['hosts']} hosts copied in {took['seconds']:.0f} s, "
          f"merged in {took['merging']:.0f} s")  # fmt: skip
    for table, of in disk.items():
        print(f"  {table}: {of['rows']:,} rows, {of['bytes'] / 1e6:,.0f} MB, "
              f"{of['bytes'] / max(1, of['rows']):.1f} bytes a row")  # fmt: skip
    print(f"seconds until the answer, median of {RUNS} (least to most), and its rows:")
    for question, answer in results["questions"].items():
        print(f"  {question}: {measure.spread(answer['seconds'], 3)}, {answer['rows']:,}")


def per(lines: list[int], shipped: list[dict[str, Any]], what: str) -> list[float]:
    """Lines in a second of it."""
    return [number / one[what] for number, one in zip(lines, shipped, strict=True)]


def cpu(shipped: list[dict[str, Any]], what: str = "cpu", *, start: bool = True) -> list[float]:
    """Microseconds a line."""
    base = 0.0 if start else statistics.median(one["start"][what] for one in shipped)
    return [(one[what] - base) / one["lines"] * 1e6 for one in shipped]


if __name__ == "__main__":
    main()
