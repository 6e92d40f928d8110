# SPDX-License-Identifier: Apache-2.0
"""A proof that runs, and its verdict."""

import contextlib
import json
import subprocess

from tests.native.conftest import DEADLINE, sockwatch, wait_for
from tracer.host import open_files


class Proof:
    """A running proof."""

    def __init__(self, process):
        self.process = process

    def finish(self, number=2):
        """Ends it by a signal (None: waits); returns its exit status and the verdict."""
        if number:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=DEADLINE)
        assert out, err
        return as_readable(self.process.returncode, json.loads(out))


def as_readable(status, verdict):
    """The same where root may look into all processes. In some sandboxes it may not look into
    their first one, and nothing is proven."""
    if not open_files.find().unreadable:
        return status, verdict
    reasons = [reason for reason in verdict["reasons"] if not reason["text"].endswith(" has open")]
    assert len(reasons) == len(verdict["reasons"]) - 1
    nobody = verdict["verdict"] == "not_proven" and not reasons
    changed = {"verdict": "nobody" if nobody else verdict["verdict"], "reasons": reasons}
    return 0 if nobody else status, {**verdict, **changed}


@contextlib.contextmanager
def starting_proofs(tmp_path):
    """Yields what starts a proof with the given options, and returns once all is attached."""
    with contextlib.ExitStack() as cleanup:

        def start(*arguments):
            ready = tmp_path / f"ready{len(list(tmp_path.iterdir()))}"
            argv = sockwatch("prove", *arguments, "--json", "--ready-file", ready)
            process = subprocess.Popen(
                argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            for end in (process.stdout.close, process.stderr.close, process.wait, process.kill):
                cleanup.callback(end)
            wait_for(lambda: ready.exists() or process.poll() is not None)
            assert ready.exists(), process.communicate()[1]
            return Proof(process)

        yield start
