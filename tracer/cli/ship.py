# SPDX-License-Identifier: Apache-2.0
"""``sockwatch ship``: the log to ClickHouse."""

import os
import ssl
import sys
from pathlib import Path
from typing import Any, Final

import click

from tracer.cli.durations import Duration
from tracer.cli.help import Command, Group
from tracer.cli.options import CONTEXT, FILE, help_option
from tracer.errors import SockwatchError, UsageError
from tracer.output import logfile
from tracer.output.clickhouse import Access, target_of
from tracer.output.stdout import Screen, fail
from tracer.ship import cursor, run, schema

_PASSWORD: Final = "SOCKWATCH_CLICKHOUSE_PASSWORD"  # in the environment
_EXAMPLES: Final = {
    "sockwatch ship --to clickhouse://ann@db:8443/net --create": "make the tables",
    "sockwatch ship --to clickhouse://host@db:8443/net": "ship the log, and go on",
}


@click.command(cls=Command, context_settings=CONTEXT, examples=_EXAMPLES)
@Group.SERVER.option(
    "--to",
    required=True,
    metavar="URL",
    help="clickhouse://USER@HOST:PORT,HOST:PORT/DATABASE; the next one when one is gone.",
)
@Group.SERVER.option(
    "--password-file",
    type=FILE,
    metavar="FILE",
    help=f"What has the user's password; else ${_PASSWORD}.",
)
@Group.SERVER.option(
    "--ca", type=FILE, metavar="FILE", help="Who may sign its certificate; else the system's."
)
@Group.SERVER.option("--no-tls", is_flag=True, help="Over a network that nobody listens to.")
@Group.SERVER.option(
    "--create", is_flag=True, help="Make the tables (or what they lack) on each server, and end."
)
@Group.SERVER.option("--schema", is_flag=True, help="Print what --create would run, and end.")
@Group.LOG.option(
    "--log", type=FILE, metavar="FILE", help=f"The log.  [default: {logfile.DEFAULT}]"
)
@Group.LOG.option(
    "--cursor",
    type=FILE,
    metavar="FILE",
    help=f"How far it is shipped.  [default: {cursor.DEFAULT}]",
)
@Group.LOG.option("--host", metavar="NAME", help="This host, where the log does not name it.")
@Group.WHEN.option(
    "--every",
    type=Duration(0.1),
    default=10.0,
    metavar="DURATION",
    help="Look for new lines so often.  [default: 10]",
)
@Group.STOP.option("--once", is_flag=True, help="End when all is shipped, or cannot be.")
@Group.OTHER.option(
    "--metrics", type=FILE, metavar="FILE", help="Write its lag there, for node_exporter."
)
@help_option
def command(**given: Any) -> None:
    """Ships the log to ClickHouse, each line exactly once.

    The log is the queue: nothing else is kept, and the tracer never waits. It is followed through
    rotation, compression and restarts; what a server that was gone has not got is sent when it is
    back, as long as the log still has it. What is missing then is said here, and in the table of
    runs. It needs no root, only to read the log.

    Blocks of up to 10,000 rows are sent; the cursor says beforehand which one, so that after a
    crash the same one is asked for, and sent again if it is not there.
    """
    target = target_of(given["to"], tls=not given["no_tls"])
    access = Access(_password(given["password_file"]), _tls(given["ca"], given["no_tls"]))
    if given["create"] and given["schema"]:
        raise UsageError("--create and --schema exclude each other")
    if given["create"]:
        schema.create(target, access)
    elif given["schema"]:
        Screen(sys.stdout, fail).write(schema.text(target, access))
    else:
        run.ship(
            target,
            access,
            run.Options(
                log=given["log"] or logfile.DEFAULT,
                cursor=given["cursor"] or cursor.DEFAULT,
                host=given["host"] or os.uname().nodename,
                every=given["every"],
                once=given["once"],
                metrics=given["metrics"],
            ),
        )


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


def _tls(ca: Path | None, no_tls: bool) -> ssl.SSLContext | None:
    """Returns how a server's certificate is checked; None: not at all. Raises UsageError."""
    if no_tls:
        if ca:
            raise UsageError("--no-tls and --ca exclude each other")
        return None
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"cannot take certificates from {ca} ({error.strerror})", "give a PEM file with --ca"
        ) from None
