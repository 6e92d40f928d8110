# SPDX-License-Identifier: Apache-2.0
"""The doctor on this kernel: it is well, and it leaves nothing behind."""

import json
import subprocess

import pytest

from tests.cases import PROBE_NAMES
from tests.native.conftest import DEADLINE, ip, sockwatch
from tracer.doctor import place
from tracer.doctor.run import examine
from tracer.host import netns
from tracer.kernel.probes import PROBES


def test_every_probe_sees_what_it_should(refusals):
    before = ip("-o", "link"), ip("netns", "list")
    done = subprocess.run(
        sockwatch("doctor", "--json"), check=False, capture_output=True, text=True, timeout=DEADLINE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    taken = {one["name"]: one["refused"] is None for one in said["probes"]}
    assert taken == {probe: refusals[probe] is None for probe in PROBE_NAMES}
    assert all(one["ns"] > 0 for one in said["probes"] if taken[one["name"]])
    assert (ip("-o", "link"), ip("netns", "list")) == before


@pytest.mark.native
def test_probes_in_turn_send_by_the_same_ports(best_probe):
    """A connection of the first must not be in the way of the second."""
    (probe,) = (one for one in PROBES if one.name == best_probe)
    first, second = examine((probe, probe))
    assert first.lacks == second.lacks
    assert first.seen == second.seen


@pytest.mark.native
def test_it_sends_in_a_namespace_of_its_own():
    with place.made() as made:
        assert made.netns != netns.own()
        refused = {way for way, reason in made.send_all().items() if reason}
        assert refused <= {"SCTP", "DCCP"}  # what a kernel need not have
