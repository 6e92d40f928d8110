# SPDX-License-Identifier: Apache-2.0
"""The command line: connects options to a run, and decides nothing itself."""

import importlib
import os
import sys
from collections.abc import Callable
from typing import Final

import click
from click.shell_completion import CompletionItem

from tracer import errors
from tracer.errors import SockwatchError, UsageError
from tracer.host.fd_holders import Holders
from tracer.warn import warn

# The first word of a command line that asks for something else than tracing. Each is a module
# with a ``command``, imported only when it is asked for.
SUBCOMMANDS: Final = {
    "top": "who talks to what now, on the whole screen",
    "sockets": "what is open now, and who holds it",
    "report": "what the logs say, summed up",
    "ship": "the log to ClickHouse, each line once",
    "prove": "nobody sent to an address, and the proof",
    "doctor": "what does each probe of this kernel see?",
}

_COMPLETE: Final = "_SOCKWATCH_COMPLETE"  # what packaging/completion/ sets


def main(held_by: Callable[[], Holders] | None = None) -> None:
    """Runs the command; shows errors as one line, and bugs with their traceback. ``held_by``: the
    holder search that ``__main__`` started."""
    if os.environ.get(_COMPLETE):
        _complete()
    name = sys.argv[1] if sys.argv[1:] and sys.argv[1] in SUBCOMMANDS else None
    prog_name = f"sockwatch {name}" if name else "sockwatch"
    try:
        _run(command_of(name), prog_name, sys.argv[2:] if name else sys.argv[1:], held_by)
    except UsageError as error:
        _fail(str(error), errors.FAILED)
    except SockwatchError as error:
        _fail(str(error), errors.failed(sys.argv[1:]))
    except KeyboardInterrupt:  # before there was anything to stop
        sys.exit(errors.interrupted(sys.argv[1:]))
    except click.UsageError as error:
        message = error.format_message().rstrip(".")
        _fail(f"{message}: see '{prog_name} --help'", errors.FAILED)
    except click.ClickException as error:
        _fail(error.format_message(), errors.failed(sys.argv[1:]))


def _run(
    command: click.Command, name: str, words: list[str], held_by: Callable[[], Holders] | None
) -> None:
    """Does what click's own ``main`` does, but for Ctrl-C: that one writes to standard error then,
    and waits for its reader."""
    try:
        with command.make_context(name, words, obj=held_by) as context:
            command.invoke(context)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)


def _complete() -> None:
    """Answers the shell's completion, which expects one command with subcommands. Says nothing if
    it fails: that would stand in the line that is being typed."""
    words = os.environ.get("COMP_WORDS", "").split()
    try:
        params = [] if words[1:2] and words[1] in SUBCOMMANDS else command_of(None).params
        options = [option for option in params if isinstance(option, click.Option)]
        _Commands("sockwatch", params=[*options]).main(
            prog_name="sockwatch", complete_var=_COMPLETE
        )
    except Exception:  # noqa: BLE001
        sys.exit(errors.FAILED)


class _Commands(click.Group):
    """The subcommands, each imported only when it is asked for."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        return command_of(cmd_name) if cmd_name in SUBCOMMANDS else None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Returns the names that begin so, and the options of tracing."""
        found = [
            CompletionItem(name, help=what)
            for name, what in SUBCOMMANDS.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)


def command_of(name: str | None) -> click.Command:
    """Returns the command of a subcommand; for None, that of tracing."""
    command = importlib.import_module(f"tracer.cli.{name or 'live'}").command
    assert isinstance(command, click.Command)
    return command


def _fail(message: str, status: int) -> None:
    warn(message)
    sys.exit(status)
