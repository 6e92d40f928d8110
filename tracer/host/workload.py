# SPDX-License-Identifier: Apache-2.0
"""Tells by a cgroup's path what runs in it: systemd units, containers, Kubernetes pods."""

import re
from functools import lru_cache
from typing import Final

from tracer.model.process import Container, Delegation

_UNIT: Final = re.compile(r"[^/]+\.(?:service|scope|socket|mount|swap|timer|path|automount|target)")
# An id of 64 hexadecimal digits, and the runtime if it stands before it, as in systemd's scopes
# (docker-ID.scope) and containerd's own cgroups (kubepods…:cri-containerd:ID).
_CONTAINER: Final = re.compile(r"(?:(?:.*:)?([a-z-]+)[-:])?([0-9a-f]{64})(?:\.scope)?")
_POD: Final = re.compile(r"pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})")
_RUNTIMES: Final = {
    "docker": "docker",
    "cri-containerd": "containerd",
    "containerd": "containerd",
    "nerdctl": "containerd",
    "crio": "cri-o",
    "libpod": "podman",
}
_FOLDERS: Final = {"docker": "docker", "libpod_parent": "podman"}


@lru_cache(maxsize=1024)
def units(path: str, delegation: Delegation | None) -> tuple[str, ...]:
    """Returns the systemd units of a path, outermost first. What is not root's choice stands behind
    the unit that it is in, as ``user@1000.service/app.scope``."""
    depth = delegation.depth if delegation else len(path)
    found: list[str] = []
    above = ""
    for at, part in enumerate(path.split("/")):
        if _UNIT.fullmatch(part):
            if at < depth:
                above = part
            found.append(part if at < depth else f"{above}/{part}")
    return tuple(found)


@lru_cache(maxsize=1024)
def container(path: str, delegation: Delegation | None) -> Container | None:
    """Returns the innermost container that root has made, or else a user's; its runtime is None if
    the path does not tell it."""
    parts = path.split("/")
    depth, uid = delegation or (len(parts), None)
    ours = _innermost(parts[:depth])
    if ours or uid is None:
        return ours
    theirs = _innermost(parts)
    return theirs and theirs._replace(user=uid)


def _innermost(parts: list[str]) -> Container | None:
    for at in range(len(parts) - 1, 0, -1):
        found = _CONTAINER.fullmatch(parts[at])
        if found:
            prefix, number = found.groups()
            if prefix and prefix not in _RUNTIMES:
                continue  # a container's monitor, as libpod-conmon-ID.scope
            runtime = _RUNTIMES[prefix] if prefix else _FOLDERS.get(parts[at - 1])
            return Container(number, runtime, _pod("/".join(parts[: at + 1])))
    return None


def _pod(path: str) -> str | None:
    """Returns the pod's uid as Kubernetes writes it; systemd's names have ``_`` for ``-``."""
    found = _POD.search(path)
    return found[1].replace("_", "-") if found else None
