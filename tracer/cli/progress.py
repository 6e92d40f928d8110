# SPDX-License-Identifier: Apache-2.0
"""A progress bar for what takes a while to read."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

import click

_FIRST: Final = 0.5  # seconds after which it is judged how long all will take
_LONG: Final = 2.0  # and from how many on there is a bar


@contextlib.contextmanager
def progress(total: int) -> Iterator[Callable[[int], None]]:
    """Yields what is told the bytes read of a ``total``; shows a bar on standard error, if that is
    a terminal, once it is clear that all will take more than two seconds."""
    if not (total and sys.stderr.isatty()):
        yield lambda _: None
        return
    began, done = time.monotonic(), 0
    with contextlib.ExitStack() as cleanup:
        bar = click.progressbar(length=total, label="reading", file=sys.stderr)
        shown = False

        def advance(size: int) -> None:
            nonlocal done, shown
            done += size
            took = time.monotonic() - began
            if shown:
                bar.update(size)
            elif took > _FIRST and took * total > _LONG * done and done < total:
                shown = True
                cleanup.enter_context(bar)
                bar.update(done)

        yield advance
