# SPDX-License-Identifier: Apache-2.0
"""What a program of a cgroup replaces matches as the process has named it, and as its packet has
it."""

import pytest

from tests.cases import HERE, SERVICE, expected
from tests.native.conftest import assert_same, generate
from tests.native.rewriting import rewriting_cgroup

PORT = 9100


@pytest.fixture(scope="module")
def cgroup():
    with rewriting_cgroup() as folder:
        yield folder


@pytest.mark.parametrize(
    ("options", "replaced", "others"),
    [
        (("--dst", SERVICE), True, False),
        (("--dst", HERE), True, True),
        (("--dst", f"{HERE}:{PORT}"), True, False),
        (("--dst", SERVICE, "--not-dst", HERE), False, False),
    ],
)
def test_a_destination_matches_as_named_and_as_sent(
    start, cgroup, probe, options, replaced, others
):
    """By tracepoint, as sent; then it is as what was sent to that destination itself."""
    tracer = start("--probe", probe, *options)
    sent = [
        line
        for case in ("rewritten", "rewritten_connected", "rewritten_corked", "tcp_rewritten")
        for line in generate(case, SERVICE, f"port={PORT}", f"cgroup={cgroup}", f"to={HERE}")
    ]
    run = tracer.finish()
    matches = replaced if probe != "tracepoint" else others
    wanted = [line for line in sent if (matches if line["nat_dst"] else others)]
    if wanted:
        assert_same(run, expected(probe, wanted))
    else:
        assert run.events == []
