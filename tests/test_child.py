# SPDX-License-Identifier: Apache-2.0
import os
import signal
import sys
import time

import pytest

from tracer.errors import UsageError
from tracer.trace.child import Command

DEADLINE = 60


def python(text):
    return [sys.executable, "-c", text]


def run(argv):
    command = Command(argv)
    command.go()
    return command.wait(lambda: False)


@pytest.fixture
def end_of_patience():
    end = time.monotonic() + DEADLINE
    return lambda: time.monotonic() > end


@pytest.mark.parametrize(("text", "status"), [("pass", 0), ("raise SystemExit(7)", 7)])
def test_its_status(text, status):
    assert run(python(text)) == status


def test_a_signal_that_ended_it():
    assert run(python("import os; os.kill(os.getpid(), 9)")) == 128 + 9


def test_it_begins_when_it_is_told_to(tmp_path, end_of_patience):
    made = tmp_path / "made"
    command = Command(python(f"open({str(made)!r}, 'w')"))
    before = os.readlink(f"/proc/{command.pid}/exe"), made.exists(), command.ended()
    command.go()
    assert command.wait(end_of_patience) == 0
    assert before == (os.readlink("/proc/self/exe"), False, False)
    assert made.exists()


def test_it_ends_if_it_is_never_told(end_of_patience):
    command = Command(python("raise SystemExit(1)"))
    os.close(command._write_end)
    assert command.wait(end_of_patience) == 126


def test_a_signal_is_passed_on(end_of_patience):
    command = Command(["sleep", "100"])
    command.go()
    command.signal(signal.SIGTERM)
    assert command.wait(end_of_patience) == 128 + signal.SIGTERM
    command.signal(signal.SIGTERM)  # of one that is gone


def test_patience_ends():
    command = Command(["sleep", "100"])
    command.go()
    assert command.wait(lambda: True) is None
    assert not command.ended()
    command.signal(signal.SIGKILL)
    assert command.wait(lambda: False) == 128 + 9


def test_signals_that_python_ignores_are_as_ever():
    """SIGPIPE (13) and SIGXFSZ (25): bits 12 and 24."""
    even = "[02468ace]"
    assert run(["grep", "-q", f"SigIgn:.*{even}..{even}...$", "/proc/self/status"]) == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no-such-program", "there is no program 'no-such-program': see what stands behind --"),
        ("/etc/passwd", "'/etc/passwd' is not executable: see what stands behind --"),
        ("/etc", "there is no program '/etc': see what stands behind --"),
    ],
)
def test_what_cannot_be_run(name, said):
    with pytest.raises(UsageError) as caught:
        Command([name])
    assert str(caught.value) == said


def test_what_cannot_be_run_after_all(tmp_path, capfd):
    program = tmp_path / "program"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    assert run([str(program)]) == 126
    assert (
        f"sockwatch: cannot run '{program}' (No such file or directory)" in capfd.readouterr().err
    )
