# SPDX-License-Identifier: Apache-2.0
"""What an interpreter runs: of `python3 -u /opt/query.py --all` that is `/opt/query.py`."""

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Final, NamedTuple

_DESCRIPTORS: Final = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")  # they name no file
_BUSYBOX: Final = "busybox"  # many programs in one file: the first argument says which


class Script(NamedTuple):
    """What an interpreter runs: a file, a class, or an option with what comes next, as ``-m
    http.server``; ``-c`` for code that is an argument itself. ``at`` is the argument of a file."""

    name: str
    at: int | None = None

    @property
    def short(self) -> str:
        """Returns the name without a file's folders."""
        return self.name if self.at is None else PurePath(self.name).name or self.name


class _Syntax(NamedTuple):
    """How an interpreter reads its arguments. ``code``, ``modules`` and ``files`` are options
    that say what it runs; ``valued`` are others that the next argument belongs to."""

    code: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    valued: tuple[str, ...] = ()


_SHELL: Final = _Syntax(("-c",), valued=("-o", "+o", "-O", "+O", "--rcfile", "--init-file"))
_SYNTAX: Final = (
    (re.compile(r"(?:python|pypy)[\d.]*"),
     _Syntax(("-c",), ("-m",), valued=("-W", "-X", "--check-hash-based-pycs"))),
    (re.compile(r"(?:ba|da|a|k|mk|z)?sh"), _SHELL),
    (re.compile(r"perl[\d.]*"), _Syntax(("-e", "-E"), valued=("-I",))),
    (re.compile(r"ruby[\d.]*"), _Syntax(("-e",), valued=("-I", "-r", "-C", "-E"))),
    (re.compile(r"node|nodejs"),
     _Syntax(("-e", "--eval", "-p", "--print"), valued=("-r", "--require", "--import"))),
    (re.compile(r"php[\d.]*"), _Syntax(("-r",), files=("-f",), valued=("-d", "-c", "-z"))),
    (re.compile(r"java"),
     _Syntax((), ("-m", "--module"), ("-jar",),
             ("-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-modules",
              "--add-opens", "--add-exports"))),
)  # fmt: skip


def script(exe: str | None, args: Sequence[str] | None) -> Script | None:
    """Returns what a process's interpreter runs; None if it runs none, or that is not known."""
    if not exe or not args:
        return None
    name = PurePath(exe.removesuffix(" (deleted)")).name
    if name == _BUSYBOX:
        name = PurePath(args[0]).name
    for pattern, syntax in _SYNTAX:
        if pattern.fullmatch(name):
            return _named(args, syntax)
    return None


def _named(args: Sequence[str], syntax: _Syntax) -> Script | None:
    at = 1
    while at < len(args):
        word = args[at]
        option = _option(word, syntax)
        following = args[at + 1] if at + 1 < len(args) else ""
        if option in syntax.code:
            return Script(option)
        if option in syntax.modules:
            return Script(f"{option} {following}".rstrip())
        if option in syntax.files:
            return Script(following, at + 1) if following else None
        if word == "-" or word.startswith(_DESCRIPTORS):
            return None
        if not word.startswith(("-", "+")):
            return Script(word, at)
        at += 2 if word in syntax.valued else 1
    return None


def _option(word: str, syntax: _Syntax) -> str:
    """Returns the option that a word is, or that a word of several short ones ends with: ``-lc`` is
    ``-c``. What is no such option is returned as it is."""
    if re.fullmatch(r"-[A-Za-z]+", word) and f"-{word[-1]}" in (*syntax.code, *syntax.modules):
        return word if word in syntax.files else f"-{word[-1]}"
    return word
