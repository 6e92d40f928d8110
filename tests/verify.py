# SPDX-License-Identifier: Apache-2.0
"""Loads every program of a probe and says how much work each was for the verifier.

    verify.py PROBE

A process of its own, since LLVM stays in one. Prints a JSON object: ``compiler``, and ``programs``,
the instructions that were processed for each; or ``refused``, the kernel's reason.
"""

import json
import os
import sys

from tracer.kernel import bpf, btf, hooks, loader, program
from tracer.kernel.compiler import Object
from tracer.kernel.loader import Request
from tracer.kernel.probes import FILTER_ENTRIES
from tracer.kernel.program import LADDER, Rung


def verified(types: btf.Btf, rung: Rung, made: Object) -> dict[str, int]:
    """Raises OSError where one does not load."""
    maps = list(loader.create_maps(made).values())
    found = {}
    for hook in rung.hooks:
        instructions = made.instructions(hook.function, maps)
        found[hook.function] = bpf.verified_instructions(hooks.to_load(types, hook, instructions))
    for descriptor in maps:
        os.close(descriptor)
    return found


def main(name: str) -> dict[str, object]:
    """With the first variant that loads, as the tracer does it."""
    loader.lift_memory_limit()
    types = btf.Btf()
    declarations = btf.declarations(types, program.KERNEL_STRUCTS)
    rung = next(rung for rung in LADDER if rung.name == name)
    # with what a container's own pid namespace adds: the most that there can be
    request = Request((rung,), {}, 1024, FILTER_ENTRIES, pid_namespace=1)
    refused = ""
    for made in loader.variants(types, rung, declarations, request):
        try:
            return {"compiler": made.compiler, "programs": verified(types, rung, made)}
        except OSError as error:
            refused = str(error)
    return {"refused": refused}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
