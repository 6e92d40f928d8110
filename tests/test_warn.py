# SPDX-License-Identifier: Apache-2.0
"""Messages on a terminal, which is made here, and elsewhere."""

import os
import subprocess
import sys
import termios

import pytest

SAYS = "from tracer.warn import warn; warn('ten letters ' * 10)"
LINE = "sockwatch: " + "ten letters " * 10


def on_terminal(columns):
    """What is written to a terminal of so many columns."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    try:
        subprocess.run([sys.executable, "-c", SAYS], stderr=theirs, check=True, timeout=60)
        return os.read(ours, 4096).decode().splitlines()
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_long_message_is_broken_between_words():
    first, second = on_terminal(80)
    assert first == "sockwatch: ten letters ten letters ten letters ten letters ten letters ten"
    assert second == "  letters ten letters ten letters ten letters ten letters"


@pytest.mark.parametrize("columns", [0, 2, 200])
def test_a_message_that_fits_or_cannot_fit_is_one_line(columns):
    assert on_terminal(columns) == [LINE]


def test_what_is_no_terminal_gets_one_line():
    argv = [sys.executable, "-c", SAYS]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60)
    assert done.stderr == f"{LINE}\n"
