# SPDX-License-Identifier: Apache-2.0
"""Another user, in a folder that he may write to, against the files that root makes there."""

import contextlib
import json
import os
import pwd
import signal
import subprocess
import sys
import time

import pytest

from tests.logs import put, stream_to, text_of
from tests.native.conftest import DEADLINE, generate, sockwatch, wait_for
from tracer.errors import SockwatchError
from tracer.folder import place_of
from tracer.kernel import cache
from tracer.output.backups import backups_of
from tracer.output.logfile import LogFile, Rotation

pytestmark = pytest.mark.native

WATCHED = "127.0.0.5"
NOBODY = pwd.getpwnam("nobody")
PRECIOUS = b"precious\n"
NEVER = Rotation(0, 1 << 20, 30, compress=False)
# at each name in turn, puts a link there and takes it away, then a file
SWAP = """
import os, sys, time
parent, elsewhere, *names = sys.argv[1:]
end = time.monotonic() + 60
print(flush=True)
while os.getppid() == int(parent) and time.monotonic() < end:
    for name in names:
        for make in (os.symlink, lambda _, name: os.close(os.open(name, 66, 0o640))):
            try:
                make(elsewhere, name)
                os.unlink(name)
            except OSError:
                pass
"""
IDS = {"user": NOBODY.pw_uid, "group": NOBODY.pw_gid, "extra_groups": []}


@contextlib.contextmanager
def swapping(folder, victim, *names):
    argv = [sys.executable, "-c", SWAP, str(os.getpid()), str(victim), *names]
    with subprocess.Popen(argv, cwd=folder, stdout=subprocess.PIPE, **IDS) as swapper:
        assert swapper.stdout.read(1) == b"\n"
        try:
            yield
        finally:
            swapper.kill()


def mallory(folder, script, *arguments):
    """Does something in a folder as another user."""
    argv = ["sh", "-ec", script, "sh", *map(str, arguments)]
    subprocess.run(argv, check=True, cwd=folder, timeout=DEADLINE, **IDS)


@pytest.fixture(params=[0o777, 0o1777], ids=["open", "sticky"])
def shared(tmp_path, request):
    """A folder of root's where everybody may write."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(request.param)
    return folder


@pytest.fixture
def open_folder(tmp_path):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


@pytest.fixture
def victim(tmp_path):
    """A file and a folder of root's that must stay as they are."""
    (tmp_path / "victim").mkdir()
    file = tmp_path / "victim" / "file"
    file.write_bytes(PRECIOUS)
    file.chmod(0o640)
    yield file
    assert file.read_bytes() == PRECIOUS
    assert (file.stat().st_mode & 0o777, file.stat().st_uid) == (0o640, 0)
    assert [path.name for path in file.parent.iterdir()] == ["file"]


def line(number):
    return f'{{"number":{number:06}}}\n'  # 18 bytes


def fail(message):
    raise AssertionError(message)


@pytest.mark.parametrize("target", ["file", "new"])
def test_a_link_at_the_logs_name(shared, victim, target):
    mallory(shared, 'ln -s "$1" log', victim.with_name(target))
    with pytest.raises(SockwatchError, match="a symbolic link of another user leads there"):
        LogFile(shared / "log", NEVER, fail)


def test_a_link_on_the_way(shared, victim):
    mallory(shared, 'ln -s "$1" logs', victim.parent)
    with pytest.raises(SockwatchError, match="a symbolic link of another user leads there"):
        LogFile(shared / "logs" / "log", NEVER, fail)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ("umask 0; echo > log", "it belongs to user 65534"),
        ("umask 027; echo > log", "it belongs to user 65534"),
        ("mkfifo log", "it belongs to user 65534"),
    ],
)
def test_what_another_user_made(shared, made, reason):
    mallory(shared, made)
    with pytest.raises(SockwatchError, match=reason):
        LogFile(shared / "log", NEVER, fail)


def test_hard_links(shared, victim):
    """Root stands in for mallory where fs.protected_hardlinks is set."""
    (shared / "log").hardlink_to(victim)
    with pytest.raises(SockwatchError, match="it is a hard link"):
        LogFile(shared / "log", NEVER, fail)
    (shared / "log").unlink()


@pytest.mark.parametrize("mode", [0o640, 0o666])
def test_his_own_folder(tmp_path, victim, mode):
    """What is made there is his, and what is his is taken; but nothing of root's."""
    folder = tmp_path / "his"
    folder.mkdir()
    os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
    LogFile(folder / "made", NEVER, fail).close()
    assert (folder / "made").stat().st_uid == NOBODY.pw_uid
    mallory(folder, "umask 0; echo > log; chmod $1 log", f"{mode:o}")
    if mode == 0o640:
        LogFile(folder / "log", NEVER, fail).close()
    else:
        with pytest.raises(SockwatchError, match="other users may write to it"):
            LogFile(folder / "log", NEVER, fail)
    (folder / "linked").hardlink_to(victim)
    with pytest.raises(SockwatchError, match="it is a hard link"):
        LogFile(folder / "linked", NEVER, fail)
    (folder / "linked").unlink()


def test_a_folder_that_he_put_there_is_given_nothing(shared):
    mallory(shared, "mkdir logs")
    LogFile(shared / "logs" / "log", NEVER, fail).close()
    status = (shared / "logs" / "log").stat()
    assert (status.st_uid, status.st_mode & 0o777) == (0, 0o640)


@pytest.mark.parametrize("compress", [False, True])
def test_links_at_the_names_that_a_rotation_uses(shared, victim, compress):
    said = []
    rotation = Rotation(90, 1 << 20, 30, compress=compress)
    log = LogFile(shared / "log", rotation, said.append)
    stream = stream_to(log)
    inode = (shared / "log").stat().st_ino
    names = ["log.1", "log.2.gz", "log.4.gz", f"log.{inode}.gz.tmp", "log.1.gz"]
    for name in names:
        mallory(shared, 'ln -s "$1" "$2"', victim, name)
    for number in range(50):
        put(stream, line(number))
    log.close()
    own = [path for path in shared.iterdir() if not path.is_symlink()]
    assert "".join(sorted(map(text_of, own))) == "".join(map(line, range(50)))
    assert {(path.stat().st_uid, path.stat().st_mode & 0o777) for path in own} == {(0, 0o640)}
    assert len(own) == 10
    assert said == ["cannot compress a backup of the log (File exists)"] * compress


def test_a_link_at_the_new_logs_name(shared, victim):
    said = []
    log = LogFile(shared / "log", Rotation(90, 1 << 20, 30, compress=False), said.append)
    stream = stream_to(log)
    mallory(shared, 'ln -s "$1" log.new', victim)
    for number in range(50):
        put(stream, line(number))
    log.close()
    assert text_of(shared / "log") == "".join(map(line, range(50)))
    assert said == [f"cannot rotate the log {shared}/log (File exists): it goes on growing"]


def test_a_file_of_his_in_the_logs_place_is_no_backup(open_folder):
    said = []
    log = LogFile(open_folder / "log", Rotation(90, 90, 30, compress=False), said.append)
    stream = stream_to(log)
    mallory(open_folder, "mv log taken; echo his > log")
    for number in range(50):
        put(stream, line(number))
    log.close()
    assert text_of(open_folder / "log") == "his\n"
    assert text_of(open_folder / "taken") == "".join(map(line, range(50)))
    assert len(said) == 1
    assert "cannot rotate the log" in said[0]
    assert "another file has its name" in said[0]


def test_a_folder_that_is_swapped(open_folder, victim):
    said = []
    (open_folder / "logs").mkdir()
    path = open_folder / "logs" / "log"
    log = LogFile(path, Rotation(90, 1 << 20, 30, compress=True), said.append)
    stream = stream_to(log)
    mallory(open_folder, 'mv logs taken; ln -s "$1" logs', victim.parent)
    for number in range(20):
        put(stream, line(number))
    assert said == []
    log.reopen()
    put(stream, line(20))
    log.close()
    files = [*backups_of(open_folder / "taken" / "log"), open_folder / "taken" / "log"]
    assert "".join(map(text_of, files)) == "".join(map(line, range(21)))
    (message,) = said
    assert message.startswith("cannot open a new log (a symbolic link of another user leads there)")


def test_a_race_for_a_name(open_folder, victim):
    """Whatever is there when, what is opened is root's own file, or nothing is."""
    opened = refused = 0
    with swapping(open_folder, victim, "log"):
        end = time.monotonic() + DEADLINE
        while (opened < 100 or refused < 100) and time.monotonic() < end:
            try:
                folder, name = place_of(open_folder / "log")
                descriptor = folder.open_or_make(name)
            except PermissionError:
                refused += 1
            else:
                opened += 1
                status = os.fstat(descriptor)
                assert (status.st_uid, status.st_mode & 0o777) == (0, 0o640)
                os.write(descriptor, b"written\n")
                os.close(descriptor)
                (open_folder / "log").unlink(missing_ok=True)
    assert min(opened, refused) >= 100


@pytest.mark.parametrize("compress", [False, True])
def test_a_race_while_it_is_rotated(open_folder, victim, compress):
    """He may take away what is in such a folder; what he may not read is not copied there."""
    said = []
    log = LogFile(open_folder / "log", Rotation(90, 1 << 20, 30, compress=compress), said.append)
    stream = stream_to(log)
    with swapping(open_folder, victim, "log.new", "log.1", "log.1.gz", "log.2", "log"):
        for number in range(1000):
            put(stream, line(number))
    log.close()
    assert log.lost_lines == 0
    assert all(message.startswith("cannot ") for message in said)
    files = [path for path in open_folder.iterdir() if path.is_file() and not path.is_symlink()]
    assert not any(PRECIOUS.decode() in text_of(path) for path in files if path.stat().st_size)


def test_the_cache(open_folder, victim, monkeypatch):
    (open_folder / "cache").mkdir()
    monkeypatch.setenv("CACHE_DIRECTORY", str(open_folder / "cache"))
    cache.write("a", b"kept")
    assert cache.read("a") == b"kept"
    mallory(open_folder, 'mv cache taken; ln -s "$1" cache', open_folder / "taken")
    assert cache.read("a") is None
    mallory(open_folder, 'rm cache; ln -s "$1" cache', victim.parent)
    cache.write("b", b"kept")
    mallory(open_folder, "rm cache; mkdir -m 755 cache; echo his > cache/a; chmod 600 cache/a")
    cache.write("b", b"kept")
    assert cache.read("a") is None
    assert [path.name for path in (open_folder / "cache").iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("option", "made"),
    [
        ("--log", 'ln -s "$1" name'),
        ("--log", "umask 0; echo > name"),
        ("--ready-file", 'ln -s "$1" name'),
        ("--ready-file", 'ln -s "$1/none" name'),
        ("--ready-file", "umask 0; echo > name"),
        ("--ready-file", "mkfifo name"),
    ],
)
def test_a_run_says_why_it_does_not_begin(shared, victim, option, made):
    mallory(shared, made, victim)
    others = () if option == "--log" else ("--no-log",)
    argv = sockwatch(option, shared / "name", *others, "--duration", "0", "--dst", WATCHED)
    run = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)
    assert (run.returncode, run.stderr.count("\n")) == (2, 1)
    assert f"{shared}/name (" in run.stderr
    assert "name another place with" in run.stderr


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o1777])
@pytest.mark.parametrize("owner", [0, NOBODY.pw_uid])
def test_a_run_without_its_privileges_rotates(start, tmp_path, owner, mode):
    folder = tmp_path / "folder"
    folder.mkdir()
    os.chown(folder, owner, owner)
    folder.chmod(mode)
    log = folder / "log"
    limits = ("--log-max-size", "5K", "--log-keep", "100M")
    tracer = start("--dst", WATCHED, "-q", "--log", str(log), *limits)
    generate("sendto", WATCHED, "count=23")
    wait_for(lambda: len(backups_of(log)) > 1)
    tracer.process.send_signal(signal.SIGHUP)
    generate("sendto", WATCHED, "count=23")
    run = tracer.finish()
    assert "cannot" not in run.err
    files = [*backups_of(log), log]
    events = [json.loads(one)["event"] for file in files for one in text_of(file).splitlines()]
    assert (events[0], events[-1], events.count("send")) == ("start", "stop", 46)
    owners = {(file.stat().st_uid, file.stat().st_mode & 0o777) for file in files}
    assert owners == {(0 if mode == 0o1777 else owner, 0o640)}
