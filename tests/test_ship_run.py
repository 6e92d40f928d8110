# SPDX-License-Identifier: Apache-2.0
"""A log is shipped once, whatever happens: to the connection, the server, ship itself, the log."""

import contextlib
import json
import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.log_writer import LogWriter
from tests.servers import scripted
from tests.servers.process import free_ports
from tests.servers.scripted import AFTER, BEFORE, LATE, OLDER, Scripted
from tracer.errors import SockwatchError
from tracer.output.clickhouse import Access, Target
from tracer.ship import block, cursor, run
from tracer.ship.cursor import Store


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """Nobody waits; the seconds that would be are kept."""
    slept = []
    monkeypatch.setattr(run.time, "sleep", slept.append)
    return slept


@pytest.fixture
def server():
    return Scripted()


@pytest.fixture
def port(server):
    with scripted.running(server) as found:
        yield found


@pytest.fixture
def writer(tmp_path):
    writer = LogWriter(tmp_path / "log")
    writer.start()
    return writer


@pytest.fixture
def ship(port, tmp_path):
    """Ships what is there, to these ports, and ends."""

    def all_of_it(*ports, once=True, password="", **changes):
        hosts = tuple(("127.0.0.1", number) for number in ports or (port,))
        options = run.Options(
            log=tmp_path / "log", cursor=tmp_path / "cursor", host="here", every=10.0, once=once,
            metrics=tmp_path / "metrics.prom",
        )._replace(**changes)  # fmt: skip
        run.ship(Target(hosts, "net", "default", {}), Access(password, None), options)

    return all_of_it


@pytest.fixture
def service(ship, monkeypatch):
    """Ships until all is, as a service does, which tries again and again."""

    class Idle(BaseException):
        pass

    def sleep(seconds):
        if seconds == 10.0:  # --every: there is nothing to do
            raise Idle

    def go_on(*ports):
        monkeypatch.setattr(run.time, "sleep", sleep)
        with contextlib.suppress(Idle):
            ship(*ports, once=False)

    return go_on


def numbers(writer):
    return list(range(1, writer.events + 1))


def metrics(tmp_path):
    lines = (tmp_path / "metrics.prom").read_text().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name.removeprefix("sockwatch_ship_"): float(value) for name, _, value in pairs}


def test_a_log_with_its_backups(ship, server, writer):
    writer.send(5)
    writer.rotate()
    writer.send(5)
    writer.rotate(compress=False)
    writer.send(5)
    ship()
    assert server.events() == numbers(writer)
    assert [row["event"] for row in server.rows["runs"]] == ["start", "alive", "alive"]
    assert len(server.rows["processes"]) == 3
    writer.send(5)
    writer.rotate()
    ship()
    assert server.events() == numbers(writer)


def test_a_run_is_told_of_last(ship, writer, monkeypatch):
    """An `alive` says that all before it is there."""
    tables = []
    insert = Scripted.insert
    monkeypatch.setattr(
        Scripted, "insert", lambda *given: (tables.append(given[1]), insert(*given))[1]
    )
    writer.send()
    ship()
    assert tables == ["processes", "events", "runs"]


def test_the_host_is_that_of_the_log(ship, server, writer):
    for _ in range(2):
        writer.send()
        ship()
    assert {row["host"] for rows in server.rows.values() for row in rows} == {"web1"}


def test_an_insert_says_what_it_takes_to_be_exact(ship, server, writer):
    writer.send()
    ship()
    for parameters in server.inserts:
        assert parameters["async_insert"] == "0"
        assert parameters["input_format_parallel_parsing"] == "0"
        assert parameters["wait_end_of_query"] == "1"
        assert parameters["insert_deduplication_token"].endswith(":0 2026-11-29")


def test_a_server_is_asked_for_nothing_that_it_does_not_know(ship, server, writer):
    server.lacks = {"async_insert", "insert_deduplication_token"}
    server.type = "DateTime('UTC')"
    writer.send()
    ship()
    assert not any(server.lacks & set(parameters) for parameters in server.inserts)
    assert server.rows["events"][0]["time"] == "2026-11-29 10:00:00"


def test_blocks_are_bounded(ship, server, writer, monkeypatch):
    monkeypatch.setattr(block, "MAX_ROWS", 50)
    writer.send(200)
    ship()
    assert server.events() == numbers(writer)
    tokens = [row["token"] for rows in server.rows.values() for row in rows]
    assert max(map(tokens.count, set(tokens))) <= 50


def test_what_comes_meanwhile_waits_for_the_next_block(ship, server, writer, tmp_path):
    """Else a log that is written all the time would be shipped in blocks of a few lines."""
    insert = server.insert

    def and_more(*given):
        writer.send(1)
        return insert(*given)

    server.insert = and_more
    writer.send(5)
    ship()
    assert metrics(tmp_path)["blocks_total"] == 1
    assert server.events() == [1, 2, 3, 4, 5]


def test_a_part_is_one_days(ship, server, writer):
    writer.send(3)
    writer.now = writer.now.replace(day=30)
    writer.send(3)
    writer.now = writer.now.replace(day=29)  # the clock was set back
    writer.send(3)
    ship()
    assert sorted(server.events()) == numbers(writer)
    days = [parameters["insert_deduplication_token"][-10:] for parameters in server.inserts]
    assert days == ["2026-11-29", "2026-11-29", "2026-11-30", "2026-11-29"]


@pytest.mark.parametrize("fault", [BEFORE, AFTER, LATE, 241, 319, 999])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_each_line_once_though_a_server_fails(service, server, writer, fault, at):
    writer.send(20)
    server.faults = [None] * at + [fault]
    service()
    assert server.events() == numbers(writer)
    assert [len(server.rows[table]) for table in ("processes", "runs")] == [1, 1]


class Killed(BaseException):
    """Ends ship as kill -9 does: nothing of it is done after that."""


@pytest.fixture
def killed(ship, monkeypatch):
    """Ships, and is killed at a moment: before or after a save of the cursor or an insert."""

    def at(moment):
        steps = []

        def watched(function):
            def stepwise(*args, **options):
                if len(steps) == moment:
                    raise Killed
                steps.append(function)
                done = function(*args, **options)
                if len(steps) == moment:
                    raise Killed
                steps.append(function)
                return done

            return stepwise

        with monkeypatch.context() as patched:
            patched.setattr(Store, "save", watched(Store.save))
            patched.setattr(run.Fleet, "deliver", watched(run.Fleet.deliver))
            with contextlib.suppress(Killed, SockwatchError):
                ship()

    return at


@pytest.mark.parametrize("fault", [None, BEFORE, AFTER])
@pytest.mark.parametrize("moment", range(12))
def test_each_line_once_though_ship_is_killed(ship, killed, server, writer, moment, fault):
    writer.send(20)
    server.faults = [None, fault] if fault else []
    killed(moment)
    server.faults = []
    writer.send(20)
    writer.rotate()
    writer.send(20)
    ship()
    assert server.events() == numbers(writer)


@pytest.mark.parametrize("seed", range(40))
def test_each_line_once_whatever_happens(ship, killed, server, writer, monkeypatch, seed):
    """Many things, one after the other, in any order."""
    monkeypatch.setattr(block, "MAX_ROWS", 7)
    chance = random.Random(seed)

    def half_a_line():
        whole = writer.path.stat().st_size
        writer.send()
        content = writer.path.read_bytes()
        writer.path.write_bytes(content[: whole + chance.randrange(len(content) - whole)])
        ship()
        writer.path.write_bytes(content)

    def fail():
        server.faults = [None] * chance.randrange(4) + [chance.choice([BEFORE, AFTER, LATE, 241])]
        with contextlib.suppress(SockwatchError):
            ship()
        server.faults = []

    happenings = (
        lambda: writer.send(chance.randrange(20)),
        lambda: writer.rotate(compress=False),
        lambda: writer.rotate(compress=True),
        writer.alive,
        half_a_line,
        fail,
        lambda: killed(chance.randrange(30)),
    )
    for _ in range(25):
        chance.choice(happenings)()
    ship()
    assert server.events() == numbers(writer)
    assert not [row for row in server.rows["runs"] if row["event"] in ("missing", "damaged")]


def test_a_block_that_was_sent_is_asked_for_not_sent(ship, server, writer, monkeypatch):
    writer.send(20)
    with monkeypatch.context() as patched:
        patched.setattr(run._Shipper, "_count", lambda *_: (_ for _ in ()).throw(Killed))
        patched.setattr(Store, "save", _only_intents(Store.save))
        with pytest.raises(Killed):
            ship()
    inserts = len(server.inserts)
    ship()
    assert len(server.inserts) == inserts
    assert server.events() == numbers(writer)


def _only_intents(save):
    return lambda store, at: save(store, at) if at.is_pending else None


def test_another_server_takes_over(ship, server, writer, port):
    (closed,) = free_ports(1)
    writer.send(5)
    ship(closed, port)
    assert server.events() == numbers(writer)


def test_a_block_that_may_be_on_a_shard_goes_to_no_other(ship, server, writer, port):
    """The first one takes it and is gone before it says so; its replica knows of it."""
    first = Scripted(shard="a")
    server.shard = "b"
    writer.send(5)
    with scripted.running(first) as gone:
        first.faults = [None, AFTER, BEFORE]
        with pytest.raises(SockwatchError):
            ship(gone)
    with pytest.raises(SockwatchError, match="is not shard a, where a block may be"):
        ship(port)
    assert server.events() == []
    server.shard, server.rows = "a", first.rows
    ship(port)
    assert server.events() == numbers(writer)


def test_servers_without_replicas_are_places_of_their_own(ship, writer, port):
    first = Scripted()
    writer.send(5)
    with scripted.running(first) as gone:
        first.faults = [None, AFTER, BEFORE]
        with pytest.raises(SockwatchError):
            ship(gone)
    with pytest.raises(SockwatchError, match=f"is not 127.0.0.1:{gone}"):
        ship(port)


def test_waits_grow_and_end_when_a_server_is_back(service, server, writer, monkeypatch):
    waited = []
    pause = run._Shipper._pause
    monkeypatch.setattr(
        run._Shipper, "_pause", lambda *given: (waited.append(given[1]), pause(*given))[1]
    )
    monkeypatch.setattr(block, "MAX_ROWS", 5)
    writer.send(5)
    server.faults = [241] * 8 + [None] * 3 + [241]
    service()
    assert server.events() == numbers(writer)
    longest = (1, 2, 4, 8, 16, 32, 60, 60, 1)
    assert len(waited) == len(longest)
    for seconds, most in zip(waited, longest, strict=True):
        assert most / 2 <= seconds <= most


def test_what_is_wrong_is_said_once(service, server, writer, capsys):
    writer.send(5)
    server.faults = [241] * 4
    service()
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "cannot ship now, the log keeps it" in said[0]
    assert said[1] == "sockwatch: shipping again"


@pytest.mark.parametrize("bad", [{7}, {1, 2, 40}, set(range(1, 41)) - {20}])
def test_a_row_that_is_refused_stops_no_other(ship, server, writer, tmp_path, capsys, bad):
    writer.send(40)
    server.is_bad = lambda row: row.get("bytes") in bad
    ship()
    assert server.events() == numbers(writer)
    tokens = [row["token"] for row in server.rows["events"]]
    for token in set(tokens):
        begin, _, end = token.rpartition("/")[2].partition("-")
        assert tokens.count(token) == int(end) - int(begin)
    kept = [row for row in server.rows["events"] if "bytes" not in row]
    assert len(kept) == len(bad)
    assert json.loads(kept[0]["more"])["dst"] in ("fd00::5", "::ffff:10.0.0.5")
    assert metrics(tmp_path)["refused_rows_total"] == len(bad)
    assert "refused by the server" in capsys.readouterr().err
    writer.send(1)
    ship()
    (told,) = (row for row in server.rows["runs"] if row["event"] == "refused")
    assert told["lines"] == len(bad)


def test_refused_rows_are_the_same_after_a_kill(ship, server, writer, monkeypatch):
    writer.send(40)
    server.is_bad = lambda row: row.get("bytes") == 7
    with monkeypatch.context() as patched:
        patched.setattr(run._Shipper, "_count", lambda *_: (_ for _ in ()).throw(Killed))
        patched.setattr(Store, "save", _only_intents(Store.save))
        with pytest.raises(Killed):
            ship()
    ship()
    assert server.events() == numbers(writer)


def test_a_table_that_takes_no_row_is_no_rows_fault(ship, server, writer):
    """Nothing is left out: it waits until the table fits."""
    writer.send(40)
    server.is_bad = lambda row: "pid" in row or "more" in row
    with pytest.raises(SockwatchError, match="Cannot parse input"):
        ship()
    server.is_bad = lambda row: False  # noqa: ARG005
    writer.send(40)
    ship()
    assert server.events() == numbers(writer)


def test_a_table_of_an_older_version_takes_no_row(ship, server, writer):
    writer.send(2)
    server.faults = [None, OLDER]
    with pytest.raises(SockwatchError, match="Unknown field"):
        ship()
    assert server.events() == []
    ship()
    assert server.events() == numbers(writer)


def test_damaged_lines_are_counted_and_told(ship, server, writer, tmp_path, capsys):
    writer.send(2)
    writer.raw("{damaged")
    writer.raw("x" * ((1 << 20) + 1))
    writer.send(2)
    writer.raw('{"time":"2026', end="")
    writer.rotate()
    ship()
    assert server.events() == numbers(writer)
    told = [row["lines"] for row in server.rows["runs"] if row["event"] == "damaged"]
    assert told == [2, 1]
    assert metrics(tmp_path)["damaged_lines_total"] == 2
    assert "2 lines of the log damaged" in capsys.readouterr().err
    assert not any(row["event"] == "missing" for row in server.rows["runs"])


def test_half_a_line_is_shipped_when_it_is_whole(ship, server, writer):
    writer.send(2)
    whole = writer.path.read_bytes()
    writer.path.write_bytes(whole[:-30])
    ship()
    assert server.events() == [1]
    writer.path.write_bytes(whole)
    ship()
    assert server.events() == [1, 2]


def missing(server):
    return [row for row in server.rows["runs"] if row["event"] == "missing"]


def test_what_retention_removed_is_told(ship, server, writer, tmp_path, capsys):
    writer.send(5)
    ship()
    last = writer.time()
    for _ in range(3):
        writer.send(5)
        writer.rotate()
    writer.send(5)
    writer.backup(3).unlink()
    writer.backup(2).unlink()
    ship()
    assert server.events() == [*range(1, 6), *range(16, 26)]
    (row,) = missing(server)
    assert row["lines"] == 10 + 2  # ten events; what the second file begins with
    assert row["since"] == last.replace("T", " ")[:-1]
    assert row["run"] == writer.run
    assert metrics(tmp_path)["gaps_total"] == 1
    assert f"lines are gone from the log ({last} to" in capsys.readouterr().err


def test_lines_that_are_gone_from_the_middle(ship, server, writer):
    writer.send(5)
    before = writer.time()
    writer.lines += 3
    writer.mark("lost", lost=1)
    ship()
    (row,) = missing(server)
    assert (row["lines"], row["since"]) == (3, before.replace("T", " ")[:-1])


def test_what_is_gone_of_another_run_is_not_known_how_much(ship, server, writer):
    writer.send(5)
    ship()
    writer.path.unlink()
    writer.start(run="other")
    writer.send(5)
    ship()
    (row,) = missing(server)
    assert "lines" not in row
    assert server.events() == numbers(writer)


def test_nothing_is_missing_where_the_counts_agree(ship, server, writer):
    """The file was shipped to its end, and removed then."""
    writer.send(5)
    ship()
    writer.rotate()
    writer.backup(1).unlink()
    writer.send(5)
    ship()
    assert missing(server) == []
    assert server.events() == numbers(writer)


def test_files_that_were_shipped_are_not_shipped_again_when_the_log_is_gone(ship, server, writer):
    for _ in range(3):
        writer.send(5)
        writer.rotate()
    writer.send(5)
    ship()
    writer.path.unlink()
    writer.start(run="other")
    writer.send(5)
    ship()
    assert server.events() == numbers(writer)


def test_a_log_that_is_truncated(ship, server, writer):
    writer.send(5)
    ship()
    os.truncate(writer.path, 0)
    writer.alive()
    writer.send(5)
    ship()
    assert server.events() == numbers(writer)


def test_a_log_that_is_cut_keeps_its_name_but_no_token(ship, server, writer, monkeypatch):
    """A block that begins where an earlier one did is another one."""
    monkeypatch.setattr(block, "MAX_ROWS", 5)
    writer.send(20)
    ship()
    tokens = {row["token"] for row in server.rows["events"]}
    places = sorted(int(token.partition(":")[2]) for token in tokens)
    os.truncate(writer.path, places[1])
    ship()
    writer.send(20)
    ship()
    assert server.events() == numbers(writer)
    assert not tokens & {row["token"] for row in server.rows["events"][20:]}


def test_copytruncate(ship, server, writer):
    writer.send(5)
    ship()
    writer.send(5)
    writer.path.with_name("log.1").write_bytes(writer.path.read_bytes())
    os.truncate(writer.path, 0)
    writer.alive()
    writer.send(5)
    ship()
    assert server.events() == numbers(writer)
    assert missing(server) == []


def test_the_block_of_a_log_that_is_gone_cannot_be_sent_again(ship, server, writer):
    """Whether it is there, nobody can tell: so it is said."""
    writer.send(5)
    ship()
    writer.send(5)
    server.faults = [BEFORE]
    with pytest.raises(SockwatchError):
        ship()
    writer.rotate()
    writer.backup(1).unlink()
    writer.send(5)
    ship()
    assert server.events() == [*range(1, 6), *range(11, 16)]
    (row,) = missing(server)
    assert "lines" not in row


def test_a_backup_that_is_cut_short_is_told(ship, server, writer):
    writer.send(300)
    writer.rotate()
    backup = writer.backup(1)
    backup.write_bytes(backup.read_bytes()[:-300])
    writer.send(5)
    ship()
    got = server.events()
    whole = len(got) - 5
    assert got == [*range(1, whole + 1), *range(301, 306)]
    (row,) = missing(server)
    assert row["lines"] == 300 - whole


def test_nobody_knows_how_much_a_backup_that_is_cut_short_had(ship, server, writer):
    writer.send(300)
    writer.rotate()
    writer.path.unlink()
    backup = writer.backup(1)
    backup.write_bytes(backup.read_bytes()[:-300])
    writer.start(run="other")
    ship()
    (row,) = missing(server)
    assert "lines" not in row


def test_a_run_that_begins_in_another_file(ship, server, writer):
    writer.send(5)
    writer.stop()
    writer.path.rename(writer.path.with_name("log.1"))
    writer.start(run="other")
    writer.send(5)
    ship()
    assert server.events() == numbers(writer)
    assert missing(server) == []


def test_what_is_written_just_before_the_log_gets_another_name(ship, server, writer, monkeypatch):
    is_youngest = run.Log.is_youngest

    def and_rotate(log, file):
        if not writer.backup(1):
            writer.send()
            writer.rotate()
        return is_youngest(log, file)

    monkeypatch.setattr(run.Log, "is_youngest", and_rotate)
    writer.send()
    ship()
    ship()
    assert server.events() == numbers(writer)
    assert missing(server) == []


def test_a_name_that_another_file_has_when_it_is_opened(ship, server, writer, monkeypatch):
    writer.send(5)
    ship()
    writer.send(5)
    writer.rotate()
    writer.send(5)
    opened = run.Log.open
    tries = []
    monkeypatch.setattr(
        run.Log,
        "open",
        lambda log, found: opened(log, found) if tries or tries.append(found) else None,
    )
    ship()
    ship()
    assert server.events() == numbers(writer)


def test_a_log_that_is_truncated_while_it_is_followed(ship, server, writer, monkeypatch):
    def truncate():
        os.truncate(writer.path, 0)
        writer.alive()
        writer.send(300)

    def cut():
        os.truncate(writer.path, writer.path.stat().st_size // 2)

    def write():
        writer.send(5)
        writer.alive()

    happenings = [truncate, cut, write]

    def sleep(_):
        if not happenings:
            raise Killed
        happenings.pop(0)()

    monkeypatch.setattr(run.time, "sleep", sleep)
    writer.send(5)
    with pytest.raises(Killed):
        ship(once=False)
    assert server.events() == numbers(writer)


def test_a_block_that_is_cut_before_it_is_sent_again(ship, server, writer):
    """It was sent; of what is cut, nobody can tell any more whether it was."""
    writer.send(5)
    ship()
    begin = writer.path.stat().st_size
    writer.send(5)
    server.faults = [AFTER]
    with pytest.raises(SockwatchError):
        ship()
    os.truncate(writer.path, begin + 10)
    writer.raw("")
    ship()
    writer.alive()
    ship()
    assert server.events() == numbers(writer)
    (row,) = missing(server)
    assert "lines" not in row


def test_logrotate_moves_the_log_before_it_is_reopened(ship, server, writer):
    """What the tracer writes to the old file until then belongs there."""
    writer.send(5)
    ship()
    writer.path.rename(writer.path.with_name("log.1"))
    ship()
    writer.path, path = writer.path.with_name("log.1"), writer.path
    writer.send(5)
    path.touch()
    ship()
    writer.send(5)
    writer.path = path
    writer.alive()
    writer.send(5)
    ship()
    assert server.events() == numbers(writer)
    assert missing(server) == []


def test_a_log_of_format_1(ship, server, writer):
    writer.raw(
        '{"time":"2026-11-29T10:00:01.000000000Z","event":"send","proto":"udp","outcome":"sent",'
        '"error":null,"bytes":1,"count":1,"segments":1,"process":{"pid":7,"comm":"a"},'
        '"src":{"addr":"10.0.0.1","port":1,"zone":null},"dst":{"addr":"10.0.0.5","port":53}}'
    )
    writer.path.write_text(writer.path.read_text().partition("\n")[2])
    ship()
    (row,) = server.rows["events"]
    assert (row["host"], row["dst"], row["pid"]) == ("here", "::ffff:10.0.0.5", 7)
    # without a run's name, nobody knows whose lines are counted
    writer.raw('{"time":"2026-11-29T10:00:02.000000000Z","event":"alive","lines":40}')
    ship()
    assert missing(server) == []
    line = writer.path.read_text().splitlines()[0]
    writer.path.unlink()
    writer.raw(line.replace("01.0", "03.0"))
    ship()
    (row,) = missing(server)
    assert row["since"] == "2026-11-29 10:00:02.000000000"


@pytest.mark.usefixtures("writer")
def test_two_do_not_ship_with_one_cursor(ship, tmp_path):
    store = Store(tmp_path / "cursor")
    with pytest.raises(SockwatchError, match="another process ships with the cursor"):
        ship()
    store.close()
    ship()


@pytest.mark.usefixtures("writer")
def test_a_cursor_that_is_none(ship, tmp_path):
    (tmp_path / "cursor").write_text('{"format": 1}')
    with pytest.raises(SockwatchError, match="is no cursor of sockwatch ship"):
        ship()


@pytest.mark.usefixtures("writer")
def test_what_a_server_says_at_the_start_ends_it(ship, server):
    server.password = "other"
    with pytest.raises(SockwatchError, match=r"Authentication failed\): see --password-file"):
        ship(once=False)
    server.type = ""
    with pytest.raises(SockwatchError, match=r"there is no table events.*--create"):
        ship(once=False, password="other")


def test_the_lag_is_told(ship, server, writer, tmp_path):
    writer.send(5)
    ship()
    found = metrics(tmp_path)
    assert found["up"] == 1
    assert found["lines_total"] == 7
    assert found["blocks_total"] == 1
    assert found["behind_bytes"] == found["behind_files"] == found["behind_seconds"] == 0
    assert found["last_block_timestamp_seconds"] <= time.time()
    assert oct((tmp_path / "metrics.prom").stat().st_mode)[-3:] == "644"
    assert not list(tmp_path.glob("*.new"))
    server.faults = [241]
    writer.send(5)
    with pytest.raises(SockwatchError):
        ship()


def test_the_metrics_are_documented_and_prometheus_takes_them(ship, writer, tmp_path):
    table = "".join(
        f"| `sockwatch_ship_{name}` | {about} |\n" for name, _, about in run.metrics._ABOUT
    )
    assert table in (Path(__file__).parents[1] / "docs/fleet.md").read_text()
    writer.send()
    ship()
    if shutil.which("promtool") is None:
        pytest.skip("there is no promtool (Debian: prometheus)")
    text = (tmp_path / "metrics.prom").read_bytes()
    promtool = ["promtool", "check", "metrics"]
    done = subprocess.run(promtool, input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_the_cursor_is_on_the_disk_before_a_block_is_sent(ship, writer, monkeypatch):
    happened = []
    monkeypatch.setattr(os, "fsync", lambda _: happened.append("fsync"))
    insert = Scripted.insert
    monkeypatch.setattr(
        Scripted, "insert", lambda *given: (happened.append("insert"), insert(*given))[1]
    )
    writer.send(5)
    ship()
    # which file of the log it is, then which block: each time the cursor, and its folder
    assert happened[:5] == ["fsync", "fsync", "fsync", "fsync", "insert"]


def test_a_cursor_is_read_as_it_was_written(tmp_path):
    store = Store(tmp_path / "cursor")
    at = cursor.Cursor(cursor.Context("h", "r", 7, "t", True, 1, 2), "f", 1, 2, "p", ("a",), 3)
    store.save(at)
    assert store.load("other") == at
    assert oct((tmp_path / "cursor").stat().st_mode)[-3:] == "640"
