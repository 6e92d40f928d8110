# SPDX-License-Identifier: Apache-2.0
"""``python -m tracer``, and the console script."""

import signal
import sys

from tracer import hangup, standard
from tracer.process import holders


def main() -> None:
    """A listing of sockets needs their holders, which takes longest: they are looked for while
    the rest is imported. A tracer that is told to open its log anew has none yet."""
    standard.fill()
    try:
        if sys.argv[1:2] not in (["sockets"], ["report"]):
            hangup.handle(lambda: None, lambda: sys.exit(128 + signal.SIGHUP))
        held_by = holders.find_meanwhile() if sys.argv[1:2] == ["sockets"] else None
        from tracer import cli  # noqa: PLC0415

        cli.main(held_by)
    except KeyboardInterrupt:  # Ctrl-C before there was anything to end
        sys.exit(0)
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a handler goes before the process does


if __name__ == "__main__":
    main()
