# SPDX-License-Identifier: Apache-2.0
"""``sockwatch doctor``: what does each probe of this kernel see?"""

import sys
from typing import Final

import click

from tracer.cli.help import Command, Group
from tracer.cli.options import CONTEXT, help_option
from tracer.cli.probes import chosen, probe_option
from tracer.doctor import verdict
from tracer.doctor.run import examine
from tracer.output.stdout import Screen, fail

_FAILED: Final = 1  # exit status
_EXAMPLES: Final = {
    "sockwatch doctor": "a table of all probes",
    "sockwatch doctor --probe tracepoint": "of one of them",
}


@click.command(cls=Command, context_settings=CONTEXT, examples=_EXAMPLES)
@probe_option("all", "which to try.")
@Group.SHOW.option("--json", is_flag=True, help="The result as a line of JSON.")
@help_option
def command(probe: str, *, json: bool) -> None:
    """What does each probe of this kernel see, and what does it cost?

    Sends in many ways to an address in network namespaces that it makes for that, and that lead
    nowhere, and shows a table of what each probe saw: seen; whose? (but not which process it was);
    blind (it cannot be seen, for the reason below the table); lacks (the kernel has no such way);
    MISSED. The kernel loads its modules of SCTP and DCCP for it, if it has them. Exit status: 1 if
    anything was missed that should have been seen.
    """
    found = examine(chosen(probe))
    shown = verdict.as_json if json else verdict.as_text
    Screen(sys.stdout, fail).write(shown(found))
    sys.exit(_FAILED if verdict.failures(found) else 0)
