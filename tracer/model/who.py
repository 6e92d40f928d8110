# SPDX-License-Identifier: Apache-2.0
"""Who that is, for a person: a program in its role, as ``python3 query.py ← cronjob.sh``."""

import functools
import re
import shlex
from pathlib import PurePath
from typing import Final, NamedTuple

from tracer.model.process import Parent, Process
from tracer.model.script import script

_INIT: Final = 1  # a pid; the unit says more
_SHELLS: Final = re.compile(r"(?:ba|da|a|k|mk|z)?sh|busybox")
_SHIMS: Final = re.compile(r"containerd-shim.*|conmon|runc|crun|crio")
_NO_ROLE: Final = re.compile(r"session-.*\.scope|init\.scope")  # who is logged in, not what it is
_ID_SHOWN: Final = 12  # letters of a container's id, as docker shows it


class Role(NamedTuple):
    """What processes that do the same have in common, whatever their pids and arguments.
    ``program`` is the executable's path, or the process's name if that is not known; ``script``
    what it runs if it is an interpreter; ``place`` its container or systemd unit."""

    program: str
    script: str | None
    parent: str | None
    place: str | None
    user: str


class Who(NamedTuple):
    """A role in words: the command as in a shell, what started it (``← cronjob.sh``), and the
    container or unit that it is in (``[cron.service]``); the last two may be empty. ``script`` is
    the command without its interpreter, if it has one; ``name`` the first word of what is left."""

    command: str
    parent: str = ""
    place: str = ""
    script: str = ""
    name: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.command, self.parent, self.place)))


@functools.lru_cache(maxsize=1024)
def role(process: Process) -> Role:
    """Returns the role of a process."""
    runs = script(process.exe, process.args)
    return Role(
        (process.shown_exe or process.comm).removesuffix(" (deleted)"),
        runs and runs.name,
        _parent(process),
        _place(process),
        process.shown_user,
    )


def who(process: Process) -> Who:
    """Names a process. What another may have chosen stands in quotes, if it could be misread."""
    parent, place = _parent(process), _place(process)
    words, at = _command(process)
    return Who(
        " ".join(words),
        f"← {parent}" if parent else "",
        f"[{place}]" if place else "",
        " ".join(words[at:]) if at else "",
        words[at],
    )


def who_of(process: Process | None, sender: str) -> Who:
    """Names a process; where there is none, what is known of the ``sender``."""
    return who(process) if process else Who(sender)


def common(one: Process, other: Process) -> Process:
    """Returns ``one`` with the arguments that both begin with; ``args_truncated`` if there are
    more."""
    if one.args == other.args:
        return one
    shared = 0
    for mine, others in zip(one.args or (), other.args or (), strict=False):
        if mine != others:
            break
        shared += 1
    return one._replace(args=(one.args or ())[:shared], args_truncated=True)


def parents_name(parent: Parent) -> str | None:
    """Returns the script that a parent runs, else its program, as in a shell; None: not known."""
    program = _name(parent.exe) if parent.exe else parent.comm
    if not parent.script or parent.script.startswith("-"):
        option, _, module = (parent.script or "").partition(" ")
        words = [option, module] if module else []  # code, as of sh -c, has no name
        return program and shlex.join([program, *words])
    return shlex.quote(_name(parent.script))


def _command(process: Process) -> tuple[list[str], int]:
    """Returns the words of the command, and which of them is the script; 0: there is none."""
    args = process.args or ()
    words = [_program(process), *args[1:]]
    runs = script(process.exe, args)
    if runs and runs.at:
        words[runs.at] = runs.short
    words = [*map(shlex.quote, words)]
    words[0] += " (not here)" * (process.exe_here is False)
    words += ["…"] * process.args_truncated
    return words, (runs and runs.at) or 0


def _program(process: Process) -> str:
    """Returns the program's name: the executable's, or what it was called by, if that is only
    another form of the same, as ``python3`` for ``python3.11``, or ``nginx: worker process``."""
    if not process.exe:
        return process.comm
    name = _name(process.exe)
    called = PurePath(process.args[0].lstrip("-")).name if process.args else name
    is_form = name.startswith(called) or called.startswith(f"{name}:")
    is_shell = _SHELLS.fullmatch(name) and _SHELLS.fullmatch(called)
    return called if called and (is_form or is_shell) else name


def _name(exe: str) -> str:
    return PurePath(exe.removesuffix(" (deleted)")).name or exe


def _parent(process: Process) -> str | None:
    """Returns the parent's name, unless what it is goes without saying."""
    parent = next(iter(process.parents), None)
    name = parent and parents_name(parent)
    if not parent or not name or parent.pid == _INIT:
        return None
    is_manager = name == "systemd" and process.units
    is_shim = process.container and _SHIMS.fullmatch(name)
    return None if is_manager or is_shim else name


def _place(process: Process) -> str | None:
    container = process.container
    if container:
        whose = "" if container.user is None else f" of uid {container.user}"
        return f"{container.runtime or 'container'} {container.id[:_ID_SHOWN]}{whose}"
    unit = next(iter(process.units), None)
    return None if unit and _NO_ROLE.fullmatch(unit) else unit
