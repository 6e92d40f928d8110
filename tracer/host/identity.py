# SPDX-License-Identifier: Apache-2.0
"""What tells this machine, and this boot of it, from others."""

import os
from pathlib import Path
from typing import Any, Final

from tracer.clock import boot_id

_MACHINE_ID: Final = Path("/etc/machine-id")


def host() -> dict[str, Any]:
    """Returns its name, its machine-id(5), and the id of this boot."""
    return {"name": os.uname().nodename, "machine_id": _machine_id(), "boot_id": boot_id()}


def _machine_id() -> str | None:
    """Returns it; None: there is none, or not yet (``uninitialized``)."""
    try:
        found = _MACHINE_ID.read_text().strip()
    except OSError:
        return None
    return found if len(found) == 32 and found.isalnum() else None
