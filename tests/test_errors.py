# SPDX-License-Identifier: Apache-2.0
"""The exit status of what fails or is stopped: of a proof, 0 and 1 are verdicts."""

import pytest

from tracer import errors


@pytest.mark.parametrize(
    ("words", "failed", "interrupted"),
    [
        (["--dst", "10.0.0.5"], 2, 0),
        (["sockets"], 2, 0),
        (["report", "log"], 2, 0),
        (["report", "log", "--prove"], 4, 4),
        (["prove", "--dst", "10.0.0.5"], 4, 4),
        (["--comm", "prove"], 2, 0),
        ([], 2, 0),
    ],
)
def test_status_without_a_verdict(words, failed, interrupted):
    assert errors.failed(words) == failed
    assert errors.interrupted(words) == interrupted
