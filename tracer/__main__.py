# SPDX-License-Identifier: Apache-2.0
"""Entry point of ``python -m tracer`` and of the console script."""

import os
import signal
import sys
from typing import Final

from tracer import errors
from tracer.host import fd_holders
from tracer.output import stdio
from tracer.trace import hangup

_BUG: Final = 70  # EX_SOFTWARE of sysexits.h: a service may restart after it
# Tracing holds some 70 at once; with too few, what cannot be opened would look as if it were gone.
_DESCRIPTORS: Final = 100


def main() -> None:
    """Runs the command line. For a listing of sockets, the holder search takes longest, so it
    starts before the rest is imported. Until a tracer has its log, SIGHUP does nothing: the
    default would end it."""
    stdio.fill()
    try:
        if sys.argv[1:2] not in (["sockets"], ["report"], ["ship"]):
            hangup.handle(lambda: None, lambda: sys.exit(128 + signal.SIGHUP))
        _check_limit()
        held_by = fd_holders.find_meanwhile() if sys.argv[1:2] == ["sockets"] else None
        from tracer.cli import main as command_line  # noqa: PLC0415

        command_line.main(held_by)
    except KeyboardInterrupt:  # Ctrl-C before there was anything to stop
        sys.exit(errors.interrupted(sys.argv[1:]))
    except Exception:  # noqa: BLE001  shown, as ever
        _show_bug()
        sys.exit(_BUG)
    finally:
        # Python removes its handlers when it exits; a late SIGHUP must not kill it then
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _check_limit() -> None:
    """Ends with a message if there are too few descriptors."""
    opened: list[int] = []
    try:
        while len(opened) < _DESCRIPTORS:
            opened.append(os.dup(2))
    except OSError as error:
        reason = str(error.strerror)
    else:
        return
    finally:
        for descriptor in opened:
            os.close(descriptor)
    from tracer.warn import warn  # noqa: PLC0415 (see above)

    warn(
        f"only {len(opened)} more files can be opened, and it takes {_DESCRIPTORS} ({reason}): "
        "raise the limit, as with 'ulimit -n 1024', or LimitNOFILE= of a service"
    )
    sys.exit(errors.failed(sys.argv[1:]))


def _show_bug() -> None:
    """Shows the traceback; a message in it may have any text."""
    import traceback  # noqa: PLC0415 (see above)

    from tracer.printable import safe  # noqa: PLC0415
    from tracer.warn import to_stderr  # noqa: PLC0415

    to_stderr("".join(f"{safe(line)}\n" for line in traceback.format_exc().splitlines()))


if __name__ == "__main__":
    main()
