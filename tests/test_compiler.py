# SPDX-License-Identifier: Apache-2.0
"""What was compiled is kept; what is kept and is no such thing is made anew."""

import json
import struct

import pytest

from tracer.kernel import cache, compiler
from tracer.kernel.compiler import Object
from tracer.kernel.syscall import MapInfo

FUNCTIONS = ["first", "second"]
# BPF_LD_IMM64 of the map at a place (src_reg: BPF_PSEUDO_MAP_FD), and BPF_EXIT
LOAD = struct.Struct("=BBhi")
CODE = {
    name: LOAD.pack(0x18, 0x10, 0, place) + LOAD.pack(0, 0, 0, 0) + LOAD.pack(0x95, 0, 0, 0)
    for place, name in enumerate(FUNCTIONS)
}
MADE = Object({"a": MapInfo(1, 0, 4, 8, 1, 0), "b": MapInfo(2, 0, 4, 8, 1, 0)}, CODE, "BCC 1")


@pytest.fixture
def compiled(monkeypatch, tmp_path):
    """Asks for a program; how often it was compiled, by a stand-in for LLVM."""
    made = []
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))
    monkeypatch.setattr(compiler, "_compile", lambda *asked: made.append(asked) or MADE)
    monkeypatch.setattr(compiler, "_name", lambda *_: "name")

    def ask():
        assert compiler.compiled("text", [], FUNCTIONS) == MADE
        return len(made)

    return ask


def test_it_is_compiled_once(compiled):
    assert [compiled(), compiled(), compiled()] == [1, 1, 1]


def changed(**parts):
    maps, functions, name = json.loads(compiler._encode(MADE))
    whole = {"maps": maps, "functions": functions, "compiler": name} | parts
    return json.dumps(list(whole.values()))


HEX = {name: code.hex() for name, code in CODE.items()}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        "[1, 2, 3]",
        "null",
        "[" * 100_000,
        changed(functions={}),
        changed(functions={"first": HEX["first"]}),
        changed(functions={**HEX, "third": ""}),
        changed(functions=FUNCTIONS),
        changed(functions={**HEX, "second": HEX["second"][:-2]}),
        changed(functions={**HEX, "second": "no hex"}),
        changed(functions={**HEX, "second": None}),
        changed(maps={}),
        changed(maps={"a": [1, 0, 4, 8, 1, 0]}),
        changed(maps={"a": [1, 0, 4, 8, 1], "b": [1, 0, 4, 8, 1]}),
        changed(maps={"a": [1, 0, 4, 8, 1, "x"], "b": [1, 0, 4, 8, 1, None]}),
        changed(maps=[1, 2]),
    ],
    ids=lambda content: content[:40],
)
def test_another_shape_is_made_anew(compiled, content):
    """Whole, and so no damage: of another version, or of nobody knows what."""
    cache.write("name", content.encode())
    assert [compiled(), compiled()] == [1, 1]
