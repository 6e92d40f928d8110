# SPDX-License-Identifier: Apache-2.0
"""The keys of ``sockwatch top``: what a terminal sends, and what each key changes."""

import codecs
import enum
import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from tracer.top.rows import By, Sort

Choice = TypeVar("Choice", By, Sort)

# What terminals send for a key (console_codes(4), xterm's control sequences).
_SEQUENCE: Final = re.compile(r"\x1b(?:\[[0-9;?]*[@-~]|O[@-~])")
_UNFINISHED: Final = re.compile(r"\x1b(?:\[[0-9;?]*|O)?")
_SEQUENCES: Final = {
    **dict.fromkeys(("\x1b[A", "\x1bOA"), "up"),
    **dict.fromkeys(("\x1b[B", "\x1bOB"), "down"),
    **dict.fromkeys(("\x1b[H", "\x1bOH", "\x1b[1~", "\x1b[7~"), "home"),
    **dict.fromkeys(("\x1b[F", "\x1bOF", "\x1b[4~", "\x1b[8~"), "end"),
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
}
_NAMES: Final = {
    "\r": "enter",
    "\n": "enter",
    "\x1b": "escape",
    "\x7f": "backspace",
    "\b": "backspace",
    "\x15": "erase",
    "k": "up",
    "j": "down",
}
_MOST_TYPED: Final = 1000  # letters of a filter


class Page(enum.Enum):
    """What is on the screen."""

    ROWS = enum.auto()
    DETAILS = enum.auto()
    HELP = enum.auto()


class State(NamedTuple):
    """What the keys change. ``selected`` is the key of a row, ``scrolled`` by how many lines a text
    is, ``typed`` a filter that is being typed, and ``filter`` the one that was typed last."""

    by: By = By.PROGRAM
    sort: Sort = Sort.SENT
    page: Page = Page.ROWS
    selected: object = None
    scrolled: int = 0
    paused: bool = False
    typed: str | None = None
    filter: str = ""
    done: bool = False


class Keys:
    """Makes keys of what a terminal sends; it may send half of one."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""

    def of(self, data: bytes) -> list[str]:
        """Returns the keys in it: letters as they are, others by name. Without data, what is left
        of an unfinished key is Escape, and what was typed behind it."""
        text = self._rest + self._decoder.decode(data)
        self._rest = ""
        found: list[str] = []
        at = 0
        while at < len(text):
            sequence = _SEQUENCE.match(text, at)
            if not sequence and data and _UNFINISHED.fullmatch(text, at):
                self._rest = text[at:]
                break
            one = sequence[0] if sequence else text[at]
            found.append(one)
            at += len(one)
        return found


def press(state: State, key: str, rows: Sequence[object], page: int) -> State:
    """Returns what a key (of :class:`Keys`) makes of the state. ``rows`` are the keys of the rows
    as shown, or the lines of a text, ``page`` how many of them there is room for."""
    name = _SEQUENCES.get(key) or _NAMES.get(key, key)
    if state.typed is not None:
        return _type(state, state.typed, key, name)
    if state.page is not Page.ROWS:
        return _read(state, name, len(rows), page)
    if name in _MOVES:
        return state._replace(selected=_moved(state.selected, rows, _MOVES[name](page)))
    if name == "enter":
        selected = state.selected if state.selected in rows else next(iter(rows), None)
        shown = Page.DETAILS if rows else Page.ROWS
        return state._replace(selected=selected, page=shown, scrolled=0)
    return _CHANGES[name](state) if name in _CHANGES else state


def _type(state: State, typed: str, key: str, name: str) -> State:
    """Returns the state after a key while a filter is typed."""
    if name == "enter":
        return state._replace(typed=None, filter=typed.strip())
    if name == "escape":
        return state._replace(typed=None)
    if name in ("backspace", "erase"):
        return state._replace(typed=typed[:-1] if name == "backspace" else "")
    is_letter = key.isprintable() and len(typed) < _MOST_TYPED
    return state._replace(typed=typed + key) if is_letter else state


def _read(state: State, name: str, lines: int, page: int) -> State:
    """Returns the state after a key while a text of so many lines is read."""
    if name in _MOVES:
        wanted = state.scrolled + _MOVES[name](page)
        return state._replace(scrolled=max(0, min(wanted, lines - page)))
    if name == "?" and state.page is Page.DETAILS:
        return _CHANGES[name](state)
    if name in ("escape", "enter", "q", "?"):
        return state._replace(page=Page.ROWS)
    return state._replace(paused=not state.paused) if name == " " else state


def _moved(selected: object, rows: Sequence[object], by: int) -> object:
    """Returns the row that is so many below the selected one; if none is, the first."""
    if not rows:
        return None
    if selected not in rows:
        return rows[0]
    return rows[min(max(rows.index(selected) + by, 0), len(rows) - 1)]


def _next(value: Choice) -> Choice:
    """Returns the value behind it, or the first."""
    all_of = list(type(value))
    return all_of[(all_of.index(value) + 1) % len(all_of)]


_ALL: Final = 1 << 30  # more than any number of rows
_MOVES: Final[dict[str, Callable[[int], int]]] = {
    "up": lambda _: -1,
    "down": lambda _: 1,
    "page up": lambda page: -page,
    "page down": lambda page: page,
    "home": lambda _: -_ALL,
    "end": lambda _: _ALL,
}
_CHANGES: Final[dict[str, Callable[[State], State]]] = {
    "a": lambda state: state._replace(by=_next(state.by), selected=None),
    "s": lambda state: state._replace(sort=_next(state.sort)),
    " ": lambda state: state._replace(paused=not state.paused),
    "/": lambda state: state._replace(typed=state.filter),
    "?": lambda state: state._replace(page=Page.HELP, scrolled=0),
    "q": lambda state: state._replace(done=True),
    "escape": lambda state: state._replace(selected=None),
}
