# SPDX-License-Identifier: Apache-2.0
"""Imports go one way only; each heavy library has one home."""

import ast
import graphlib
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What stands on one line never imports one another; each imports only from lines above its own.
LAYERS = (
    {"printable"},
    {"errors", "clock", "warn", "capabilities", "folder"},
    {"model"},
    {"filter"},
    {"kernel", "host", "output"},
    {"inventory"},
    {"trace"},
    {"live", "top", "doctor", "prove", "sockets", "report", "ship"},
    {"cli"},
)
PACKAGE = {"", "__main__"}  # the version, which all may have; and what starts the command line
HOMES = {"bcc": "tracer.kernel.compiler", "pyroute2": "tracer.host.netlink", "click": "tracer.cli",
         "wcwidth": "tracer.printable"}  # fmt: skip


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


def room(module):
    """The folder, or a module of the top."""
    return module.partition(".")[2].partition(".")[0]


def level(module):
    (found,) = (number for number, rooms in enumerate(LAYERS) if room(module) in rooms)
    return found


def test_imports_go_one_way():
    for name, path in modules():
        if room(name) in PACKAGE:
            continue
        for target in imports(path):
            if target.split(".")[0] == "tracer" and room(target) not in {*PACKAGE, room(name)}:
                assert level(target) < level(name), f"{name} imports {target}"


def test_no_circle():
    graph = {name: {target for target in imports(path) if target.startswith("tracer.")}
             for name, path in modules()}  # fmt: skip
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


def test_heavy_libraries_have_one_home():
    for name, path in modules():
        for target in imports(path):
            home = HOMES.get(target.split(".")[0])
            assert home is None or f"{name}.".startswith(f"{home}."), f"{name} imports {target}"


def test_every_source_file_names_its_licence():
    for folder, licence in (("tracer", "Apache-2.0"), ("bpf", "GPL-2.0-only OR BSD-2-Clause")):
        for path in (ROOT / folder).rglob("*.[chp]*"):
            if path.suffix in (".py", ".c", ".h"):
                assert f"SPDX-License-Identifier: {licence}" in path.read_text(), path
