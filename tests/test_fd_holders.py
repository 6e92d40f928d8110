# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

WITHOUT_DESCRIPTORS = """
import resource
from tracer.host import fd_holders

pids = fd_holders._pids()
fd_holders._pids = lambda: pids
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
found = fd_holders.find()
print(found.unreadable - len(pids), found.by_inode)
"""


def test_a_process_that_cannot_be_read_is_not_taken_for_one_that_has_ended():
    argv = [sys.executable, "-c", WITHOUT_DESCRIPTORS]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "0 {}\n"
