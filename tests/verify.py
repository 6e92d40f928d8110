# SPDX-License-Identifier: Apache-2.0
"""Loads every program of a probe and says how much work each was for the verifier.

    verify.py PROBE

A process of its own, since LLVM stays in one. Prints a JSON object: ``compiler``, and ``programs``,
the instructions that were processed for each, the more of what is made for the initial pid
namespace and for another one; or ``refused``, the kernel's reason.
"""

import json
import os
import sys
from collections import Counter

from tracer.kernel import attach, btf, loader, probes, syscall
from tracer.kernel.compiler import Object
from tracer.kernel.loader import Request
from tracer.kernel.probes import PROBES, HookKind, Probe
from tracer.kernel.session import FILTER_ENTRIES


def verified(types: btf.Btf, probe: Probe, made: Object) -> dict[str, int]:
    """Raises OSError where one does not load."""
    maps = list(loader.create_maps(made).values())
    programs = [
        attach.to_load(types, hook, made.instructions(hook.function, maps))
        for hook in probe.hooks
        if hook.kind is HookKind.INGRESS
        or not hook.blind_spot
        or types.find(hook.target, btf.KIND_FUNC) is not None
    ]
    if loader.TRACERS_LEVEL in made.functions:
        programs.append(loader.tracers_level(made, maps))
    found = {one.name: syscall.verified_instructions(one) for one in programs}
    for descriptor in maps:
        os.close(descriptor)
    return found


def first_that_loads(types: btf.Btf, probe: Probe, request: Request) -> tuple[str, dict[str, int]]:
    """Of the variants, as the tracer tries them. Raises the last one's OSError."""
    declarations = btf.declarations(types, probes.KERNEL_STRUCTS)
    refusal = None
    for made in loader.variants(types, probe, declarations, request):
        try:
            return made.compiler, verified(types, probe, made)
        except OSError as error:
            refusal = error
    assert refusal
    raise refusal


def main(name: str) -> dict[str, object]:
    loader.lift_memory_limit()
    types = btf.Btf()
    named = next(probe for probe in PROBES if probe.name == name)
    probe = probes.with_received(probes.with_forwarded(named), "")
    most: Counter[str] = Counter()
    for namespace in (None, 1):
        request = Request((probe,), {}, 1024, FILTER_ENTRIES, namespace)
        try:
            compiler, found = first_that_loads(types, probe, request)
        except OSError as error:
            return {"refused": str(error)}
        most |= Counter(found)
    return {"compiler": compiler, "programs": most}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
