# SPDX-License-Identifier: Apache-2.0
"""``--help`` in groups: each option says which one it is in; the man page has the same."""

import enum
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

import click

_TERM: Final = 24  # columns for an option's names and value; longer ones take a line of their own
_EXAMPLE: Final = 45  # columns for an example


class Group(enum.Enum):
    """The groups of options, in the order of ``--help``, with their headings."""

    SERVER = "The server"
    WHOM = "Whom to watch"
    WHOSE = "Whose"
    WHEN = "When"
    SHOW = "What to show"
    LOG = "The log"
    STOP = "When to stop"
    OTHER = "Other"

    def option(self, *names: str, **attributes: Any) -> Callable[..., Any]:
        """Returns click's decorator for an option of this group."""
        return click.option(*names, cls=Option, group=self, **attributes)


class Option(click.Option):
    """An option in a group."""

    def __init__(self, *declared: Any, group: Group, **attributes: Any) -> None:
        super().__init__(*declared, **attributes)
        self.group = group


class Command(click.Command):
    """A command that shows examples below its first paragraph, its options in their groups, and
    other ``commands``. Examples and commands have what they do."""

    def __init__(
        self,
        *declared: Any,
        examples: Mapping[str, str],
        commands: Mapping[str, str] | None = None,
        **attributes: Any,
    ) -> None:
        super().__init__(*declared, **attributes)
        self.examples = examples
        self.commands = commands or {}

    def options_of(self, group: Group) -> list[Option]:
        """Returns the options of a group that help shows, in order."""
        options = (one for one in self.params if isinstance(one, Option) and not one.hidden)
        return [option for option in options if option.group is group]

    def format_help_text(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """Writes what it is for, the examples, and more about it."""
        first, _, more = inspect.cleandoc(self.help or "").partition("\n\n")
        with formatter.indentation():
            formatter.write_paragraph()
            formatter.write_text(first)
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_dl(list(self.examples.items()), col_max=_EXAMPLE)
            if more:
                formatter.write_paragraph()
                formatter.write_text(more)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the groups, all in the same columns."""
        for group in Group:
            found = (option.get_help_record(ctx) for option in self.options_of(group))
            rows = [(f"{term:<{_TERM}}", text) for term, text in filter(None, found)]
            if rows:
                with formatter.section(group.value):
                    formatter.write_dl(rows, col_max=_TERM)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the other commands."""
        if self.commands:
            rows = [
                (f"{f'{ctx.command_path} {name}':<{_TERM}}", what)
                for name, what in self.commands.items()
            ]
            with formatter.section("Other commands, each with --help"):
                formatter.write_dl(rows, col_max=_TERM)
