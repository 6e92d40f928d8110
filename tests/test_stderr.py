# SPDX-License-Identifier: Apache-2.0
"""Standard error that nobody reads, in a process of its own."""

import os
import re
import subprocess
import sys

import pytest

WRITES = """
import sys
from tracer.output import stderr, stdio
stdio.fill()
stderr.never_wait(lambda lines: f"missing {lines}\\n")
for number in range(20_000):
    sys.stderr.write(f"{number:06} {'x' * 120}\\n")
"""


def written(more, read):
    """What is in the pipe, and the process."""
    reader, ours = os.pipe()
    with open(reader) as pipe:
        process = subprocess.Popen([sys.executable, "-c", WRITES + more], stderr=ours)
        os.close(ours)
        if not read:
            process.wait(60)
        text = pipe.read()
        process.wait(60)
    return text, process.returncode


@pytest.mark.parametrize(("more", "status"), [("sys.exit(5)", 5), ("1 / 0", 1)])
def test_nobody_reads_it(more, status):
    text, found = written(more, read=False)
    assert found == status
    assert re.fullmatch(r"(\d{6} x{120}\n)+", text)


def test_what_is_left_at_exit_is_read():
    text, _ = written("1 / 0", read=True)
    assert text.endswith("ZeroDivisionError: division by zero\n")
