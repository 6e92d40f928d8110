# SPDX-License-Identifier: Apache-2.0
"""Devices that processes drive themselves: tun and tap, vhost-net, and hardware of their own."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tracer.host import tun
from tracer.host.open_files import Device, OpenFile
from tracer.inventory.bypasses.bypass import Way
from tracer.inventory.bypasses.here import Machine, entries, first_line, owners

# what /proc/misc and /proc/devices call the drivers
_TAP: Final = frozenset({"macvtap", "ipvtap"})
_VHOST: Final = frozenset({"vhost-net", "vhost-vdpa"})
_VFIO: Final = "vfio"
_UIO: Final = "uio"
_VERBS: Final = "infiniband_verbs"
_CONTAINER: Final = "/vfio"  # /dev/vfio/vfio: no device, but what those of a guest are put into
_GROUPS: Final = Path("/sys/kernel/iommu_groups")
# the class of a PCI device, include/linux/pci_ids.h: network controllers, InfiniBand
_SENDERS: Final = ("0x02", "0x0c06")

_Found = dict[Way, list[OpenFile]]


def held_devices(machine: Machine) -> Iterator[Way]:
    """Finds the processes that hold such devices, each device once."""
    found: _Found = {}
    for device in machine.opened.devices:
        way = _way(machine, device)
        if way is not None:
            found.setdefault(way, []).append(device.by)
    for way, files in found.items():
        yield way._replace(owners=owners(files))


def _way(machine: Machine, device: Device) -> Way | None:
    if tun.is_tun(device):
        return _tun(machine, device)
    if device.driver in _TAP:
        return Way("macvtap", device.path)
    if device.driver in _VHOST:
        return Way("vhost_net", device.path)
    if device.driver.startswith(_VFIO) and _is_sender(device.path):
        return Way("vfio", device.path)
    if device.driver == _UIO:
        return Way("uio", device.path)
    return Way("rdma", device.path) if device.driver == _VERBS else None


def _tun(machine: Machine, device: Device) -> Way | None:
    """Names the interface, and its namespace where only one has such a name. Without one, nothing
    can be sent by it."""
    name = tun.interface(device.by)
    if name is None:
        return None
    places = [
        netns
        for netns, links in machine.links.items()
        if any(link.name == name and link.kind == "tun" for link in links)
    ]
    return Way("tun", f"{device.path} ({name})", netns=places[0] if len(places) == 1 else None)


def _is_sender(path: str) -> bool:
    """Says whether a group of devices may send to a network: one of them is of such a class, or
    that is not known."""
    if path.endswith(_CONTAINER):
        return False
    with contextlib.suppress(OSError):
        devices = entries(str(_GROUPS / Path(path).name / "devices"))
        classes = [first_line(device / "class") for device in devices]
        return not classes or any(one.startswith(_SENDERS) for one in classes)
    return True


def virtual_functions(_: Machine) -> Iterator[Way]:
    """Finds network cards that are split up for guests (sriov_numvfs_show(), drivers/pci)."""
    for device in entries("/sys/bus/pci/devices"):
        count = first_line(device / "sriov_numvfs")
        if count not in ("", "0") and first_line(device / "class").startswith(_SENDERS):
            what = f"virtual functions of {device.name}: {count}"
            yield Way("sriov", what, None)
