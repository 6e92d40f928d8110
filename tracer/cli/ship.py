# SPDX-License-Identifier: Apache-2.0
"""``sockwatch ship``: the log to ClickHouse."""

import os
import sys
from typing import Any, Final

import click

from tracer.cli.durations import Duration
from tracer.cli.help import Command, Group
from tracer.cli.options import CONTEXT, FILE, help_option
from tracer.cli.server import access_of, access_options
from tracer.errors import UsageError
from tracer.output import logfile
from tracer.output.clickhouse import target_of
from tracer.output.stdout import Screen, fail
from tracer.ship import cursor, run, schema

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
@access_options
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
    access = access_of(given)
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
