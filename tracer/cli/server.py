# SPDX-License-Identifier: Apache-2.0
"""The options by which a command reaches ClickHouse."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tracer.cli.help import Group
from tracer.cli.options import FILE
from tracer.errors import SockwatchError, UsageError

if TYPE_CHECKING:
    import ssl

    from tracer.output.clickhouse import Access

_PASSWORD: Final = "SOCKWATCH_CLICKHOUSE_PASSWORD"  # in the environment
_OPTIONS: Final = (
    Group.SERVER.option(
        "--password-file",
        type=FILE,
        metavar="FILE",
        help=f"What has the user's password; else ${_PASSWORD}.",
    ),
    Group.SERVER.option(
        "--ca", type=FILE, metavar="FILE", help="Who may sign its certificate; else the system's."
    ),
    Group.SERVER.option("--no-tls", is_flag=True, help="Over a network that nobody listens to."),
)


def access_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options to a command, above those that follow."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def access_of(given: dict[str, Any]) -> "Access":
    """Returns what the options say. Raises SockwatchError."""
    from tracer.output.clickhouse import Access  # noqa: PLC0415 (few reports need it)

    return Access(_password(given["password_file"]), _tls(given["ca"], given["no_tls"]))


def _password(path: Path | None) -> str:
    """Returns the password; empty if none is given. Raises SockwatchError."""
    if path is None:
        return os.environ.get(_PASSWORD, "")
    try:
        return path.read_text().rstrip("\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise SockwatchError(
            f"cannot read the password file {path} ({reason})", "see --password-file"
        ) from None


def _tls(ca: Path | None, no_tls: bool) -> "ssl.SSLContext | None":
    """Returns how a server's certificate is checked; None: not at all. Raises UsageError."""
    if no_tls:
        if ca:
            raise UsageError("--no-tls and --ca exclude each other")
        return None
    import ssl  # noqa: PLC0415 (it takes a while)

    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"cannot take certificates from {ca} ({error.strerror})", "give a PEM file with --ca"
        ) from None
