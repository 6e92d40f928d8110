# SPDX-License-Identifier: Apache-2.0
"""What the kernel itself talks to: file systems and block devices on servers, netconsole."""

import contextlib
import re
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from tracer.host import exe_view, procfs
from tracer.host.mounts import Mount, mounts
from tracer.inventory.bypasses.bypass import Way, single
from tracer.inventory.bypasses.here import Machine, entries, first_line
from tracer.model.address import Address

_FILE_SYSTEMS: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "ceph", "afs", "lustre", "9p"})
_CLUSTERS: Final = frozenset({"gfs2", "ocfs2"})  # their locks go over the network
_SERVER: Final = re.compile(r"(?:^|,)addr=([^,]+)")  # nfs_show_mount_options(), cifs_show_options()
# an NFS of these versions may read from other servers (pNFS), a CIFS with these options, too
_ELSEWHERE: Final = re.compile(r"(?:^|,)(vers=4\.[1-9]|multichannel|witness|max_channels=)")
_NOT_NETWORK: Final = re.compile(r"(?:^|,)trans=(virtio|fd|xen|rdma|usbg)(?:,|$)")  # of a 9p
_TRADDR: Final = re.compile(r"traddr=([^,\s]+)")


def mounted(_: Machine) -> Iterator[Way]:
    """Finds file systems on servers, in the mount namespaces of all processes, each once."""
    seen = set()
    for folder in _mount_namespaces():
        with contextlib.suppress(OSError):
            for at in mounts(folder):
                if at.dev not in seen and at.kind in _FILE_SYSTEMS | _CLUSTERS:
                    seen.add(at.dev)
                    yield from of_mount(at)


def _mount_namespaces() -> Iterator[str]:
    """Yields the folder of one process in each; those of processes that cannot be read are
    missing, which the search says of all that they have."""
    seen = set()
    for pid in procfs.pids():
        with contextlib.suppress(OSError):
            inode = Path(f"/proc/{pid}/ns/mnt").stat().st_ino
            if inode not in seen:
                seen.add(inode)
                yield f"/proc/{pid}"


def of_mount(at: Mount) -> Iterator[Way]:
    """Decodes a mount; a ceph's source has its monitors only, it reads from others, too."""
    if _NOT_NETWORK.search(at.options):
        return
    server = _SERVER.search(at.options)
    what = f"{at.kind} of {at.source} on {at.path}"
    to = single(_addresses(server[1])) if server else None
    only = not _ELSEWHERE.search(at.options)
    yield Way("kernel_client", what, (), None, to, only=only)


def iscsi(_: Machine) -> Iterator[Way]:
    """Finds iSCSI connections (iscsi_conn_attrs, drivers/scsi/scsi_transport_iscsi.c)."""
    for connection in entries("/sys/class/iscsi_connection"):
        address = first_line(connection / "address") or first_line(
            connection / "persistent_address"
        )
        yield Way("kernel_client", f"iSCSI {connection.name} to {address or '?'}", (), None,
                  single(_addresses(address)))  # fmt: skip


def nvme(_: Machine) -> Iterator[Way]:
    """Finds NVMe over a network (nvme_sysfs_show_transport(), drivers/nvme/host/sysfs.c)."""
    for controller in entries("/sys/class/nvme"):
        transport = first_line(controller / "transport")
        if transport in ("tcp", "rdma"):
            address = _TRADDR.search(first_line(controller / "address"))
            to = single(_addresses(address[1])) if address else None
            what = f"nvme-{transport} {controller.name} to {address[1] if address else '?'}"
            yield Way("kernel_client", what, (), None, to)


def block_devices(_: Machine) -> Iterator[Way]:
    """Finds nbd, drbd and rbd, which do not tell their servers here."""
    for device in entries("/sys/block"):
        pid = first_line(device / "pid") if device.name.startswith("nbd") else ""
        if pid.isdecimal():  # pid_show(), drivers/block/nbd.c: while it is connected
            yield Way("kernel_client", f"nbd {device.name}", (exe_view.holder(int(pid)),))
        elif device.name.startswith("drbd"):
            yield Way("kernel_client", f"drbd {device.name}")
    for device in entries("/sys/bus/rbd/devices"):
        yield Way("kernel_client", f"rbd{device.name}")


def netconsole(_: Machine) -> Iterator[Way]:
    """Finds what netconsole sends the kernel's messages to. What it was given when it was loaded is
    not told before Linux 6.7; what it has by configfs is."""
    known = entries("/sys/kernel/config/netconsole")
    for target in known:
        if first_line(target / "enabled") == "1":
            address = first_line(target / "remote_ip")
            what = f"netconsole {target.name} to {address or '?'}"
            yield Way("netconsole", what, (), None, single(_addresses(address)), "udp")
    if not known and _may_have_targets():
        yield Way("netconsole", "netconsole, to what it was loaded with", (), None, None, "udp")


def _may_have_targets() -> bool:
    """Says whether it is loaded as a module, or the kernel was started with targets for it."""
    modules = Path("/proc/modules").read_text() if Path("/proc/modules").exists() else ""
    as_module = any(line.startswith("netconsole ") for line in modules.splitlines())
    return as_module or "netconsole=" in Path("/proc/cmdline").read_text()


def _addresses(text: str) -> tuple[Address, ...] | None:
    """Returns an address without its zone; None if it is none."""
    try:
        return (ip_address(text.strip("[]").partition("%")[0]),)
    except ValueError:
        return None
