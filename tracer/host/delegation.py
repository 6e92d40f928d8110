# SPDX-License-Identifier: Apache-2.0
"""Finds out from where on a cgroup's path is somebody else's choice than root's. Whoever owns a
cgroup's folder may make others in it, with any name: cgroups(7), "Delegating a hierarchy"."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Final

from tracer.host.mounts import mounts
from tracer.model.process import Delegation

_USER: Final = re.compile(r"user@([0-9]+)\.service")
_UNIT: Final = re.compile(r".+\.(?:service|scope)")
# services that make containers' cgroups in their own
_RUNTIMES: Final = {"containerd.service", "crio.service", "docker.service", "kubelet.service"}


@lru_cache(maxsize=1024)
def of(path: str) -> Delegation | None:
    """Tells by the owners of the folders; if they are gone, by the names."""
    root = next((root for root in _roots() if Path(f"{root}{path}").is_dir()), None)
    return by_names(path) if root is None else _by_owners(root, path)


@lru_cache(maxsize=1024)
def by_names(path: str) -> Delegation | None:
    """Tells by the names alone: what is below a unit, that unit has made, and below a user's
    manager the user."""
    for depth, name in enumerate(path.split("/")):
        user = _USER.fullmatch(name)
        if user:
            return Delegation(depth + 1, int(user[1]))
        if _UNIT.fullmatch(name) and name not in _RUNTIMES:
            return Delegation(depth + 1, None)
    return None


def _by_owners(root: str, path: str) -> Delegation | None:
    folder = root
    for depth, name in enumerate(path.split("/")):
        if depth:
            try:
                uid = Path(folder).stat().st_uid
            except OSError:  # it has gone meanwhile
                return by_names(path)
            if uid:
                return Delegation(depth, uid)
            folder = f"{folder}/{name}"
    return None


@lru_cache(maxsize=1)
def _roots() -> list[str]:
    """Returns where hierarchies are mounted, v2's first."""
    found = [at for at in mounts() if at.kind in ("cgroup2", "cgroup") and at.root == "/"]
    return [at.path for at in sorted(found, key=lambda at: at.kind != "cgroup2")]
