# SPDX-License-Identifier: Apache-2.0
"""What scripts/mutate breaks is there."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[1]


def mutations():
    spec = importlib.util.spec_from_file_location("mutations", ROOT / "scripts" / "mutations.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.MUTATIONS


def test_each_stands_there_once():
    counts = {
        (name, there): (ROOT / "tracer" / name).read_text().count(there)
        for name, there, _ in mutations()
    }
    assert {what: count for what, count in counts.items() if count != 1} == {}
