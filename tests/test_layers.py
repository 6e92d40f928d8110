# SPDX-License-Identifier: Apache-2.0
"""Imports go one way only; each heavy library has one home; the fields are documented."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAYERS = ["errors", "record", "event", "filters", "siblings", "pipeline", "trace", "cli"]
LEVELS = {
    "tracer.say": "errors",
    "tracer.notify": "errors",
    "tracer.hangup": "errors",
    "tracer.standard": "errors",
    "tracer.mounts": "errors",
    "tracer.capabilities": "errors",
    "tracer.clock": "event",
    "tracer.losses": "event",
    "tracer.command": "pipeline",
    "tracer.names": "event",
    "tracer.flows": "filters",
    "tracer.sockets": "filters",
    "tracer.enrich": "pipeline",
    "tracer.snapshot": "pipeline",
    "tracer.stop": "pipeline",
    "tracer.existing": "trace",
    "tracer.logs": "pipeline",
    "tracer.report": "pipeline",
    "tracer.sinks.report": "pipeline",
    "tracer.listing": "trace",
    "tracer.watch": "trace",
}
SIBLINGS = {"kernel", "netlink", "process", "sinks"}
HOMES = {"bcc": "tracer.kernel", "pyroute2": "tracer.netlink", "click": "tracer.cli"}


def modules():
    for path in (ROOT / "tracer").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                is_module = (ROOT / full.replace(".", "/")).with_suffix(".py").exists()
                yield full if is_module else node.module


def level(module):
    part = module.split(".")[1]
    return LAYERS.index(LEVELS.get(module, "siblings" if part in SIBLINGS else part))


def test_imports_go_one_way():
    for name, path in modules():
        if name in ("tracer", "tracer.__main__"):
            continue
        for target in imports(path):
            if not target.startswith("tracer.") or target == "tracer.record":
                continue
            assert level(target) <= level(name), f"{name} imports {target}"
            parts = {name.split(".")[1], target.split(".")[1]}
            assert len(parts & SIBLINGS) < 2, f"{name} imports its sibling {target}"


def test_heavy_libraries_have_one_home():
    for name, path in modules():
        for target in imports(path):
            home = HOMES.get(target.split(".")[0])
            assert home is None or name.startswith(home), f"{name} imports {target}"


def test_every_source_file_names_its_licence():
    for folder, licence in (("tracer", "Apache-2.0"), ("bpf", "GPL-2.0-only OR BSD-2-Clause")):
        for path in (ROOT / folder).rglob("*.[chp]*"):
            if path.suffix in (".py", ".c", ".h"):
                assert f"SPDX-License-Identifier: {licence}" in path.read_text(), path
