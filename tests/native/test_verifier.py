# SPDX-License-Identifier: Apache-2.0
"""How much work each program is for this kernel's verifier, as this machine's compiler makes it.

A program that one compiler makes may be refused where another one's loads: the verifier walks
through all paths, and the optimiser decides how many there are.
"""

import json
import os
import struct
import subprocess
import sys

import pytest

from tests.cases import PROBE_NAMES
from tests.native.conftest import DEADLINE
from tracer.errors import ProbeError
from tracer.host import cgroup
from tracer.kernel import loader
from tracer.kernel.compiler import Object
from tracer.kernel.probes import PROBES, TRACEPOINT, with_received

LIMIT = 60_000  # of the kernel's 1,000,000
EXIT = "b700000000000000 9500000000000000"  # r0 = 0; exit
# r0 = 0; again: r0 += 1; if r0 < 2000000 goto again
ENDLESS = bytes.fromhex(f"b700000000000000 0700000001000000 a500feff80841e00 {EXIT}")
# r0 = bpf_get_prandom_u32(); if r0 == 0 goto the next; if r0 == 1 goto the next; ...
JUMPS = "".join(f"15000000{struct.pack('<I', number).hex()}" for number in range(9000))
BRANCHES = bytes.fromhex(f"8500000007000000 {JUMPS} {EXIT}")


@pytest.mark.parametrize("probe", PROBE_NAMES)
def test_every_program_is_easy_to_verify(probe, verified):
    argv = [sys.executable, "-m", "tests.verify", probe]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=DEADLINE)
    said = json.loads(done.stdout)
    if "refused" in said:
        assert "not permitted" in said["refused"], said
        assert probe not in os.environ.get("SOCKWATCH_PROBES", ""), said
        pytest.skip(f"this kernel refuses {probe}: {said['refused']}")
    verified[probe] = said
    assert max(said["programs"].values()) <= LIMIT, said


@pytest.mark.native
@pytest.mark.parametrize("instructions", [ENDLESS, BRANCHES])
@pytest.mark.parametrize("probes", [(TRACEPOINT,), PROBES])
def test_a_program_that_is_too_large(monkeypatch, probes, instructions):
    """Nothing of it is the kernel's fault, nor is it the probe's."""
    functions = (hook.function for probe in PROBES for hook in probe.hooks)
    made = Object({}, dict.fromkeys(functions, instructions), "XCC 1")
    monkeypatch.setattr(loader.compiler, "compiled", lambda *_: made)
    with pytest.raises(ProbeError) as caught:
        loader.load(loader.Request(probes, {}, 1, 1))
    first = TRACEPOINT.hooks[0].function
    reason = f"does not get through what XCC 1 made of {first}"
    assert f"tracepoint: the verifier of Linux {os.uname().release} {reason}" in str(caught.value)
    assert "this compiler and this kernel's verifier do not go together" in caught.value.hint
    assert "upgrade python3-bpfcc" in caught.value.hint


@pytest.mark.native
def test_an_optional_program_that_is_too_large(monkeypatch):
    """It is left out alone, and what it would have seen is said."""
    root = cgroup.root()
    if root is None:
        pytest.skip("there is no root of cgroup v2 here")
    probe, compiled = with_received(TRACEPOINT, root), loader.compiler.compiled

    def with_too_large(text, flags, functions):
        made = compiled(text, flags, functions)
        return made._replace(functions=made.functions | {"ingress": ENDLESS})

    monkeypatch.setattr(loader.compiler, "compiled", with_too_large)
    attached = loader.load(loader.Request((probe,), {}, 1, 1))
    try:
        assert attached.probe.hooks == TRACEPOINT.hooks
        assert len(attached.links) == len(TRACEPOINT.hooks)
        said = (*TRACEPOINT.blind_spots, "what sockets other than TCP's receive")
        assert attached.probe.blind_spots == said
    finally:
        attached.close()
