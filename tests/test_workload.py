# SPDX-License-Identifier: Apache-2.0
"""Paths of cgroups as real machines have them."""

import pytest

from tracer.host.delegation import by_names
from tracer.host.workload import container, units
from tracer.model.process import Container, Delegation

ID = "3d1f8e5c0b7a4d2e9f6c1a8b5e2d7f4093c6b1a8e5d2f7c4b9a6e3d0f5c2b7a4"
POD = "8dbc5577-d0e2-4706-8787-57d52c03ddf2"
_POD = POD.replace("-", "_")
PODS = f"kubepods-burstable-pod{_POD}.slice"

PATHS = {
    "/": ((), None),
    "/init.scope": (("init.scope",), None),
    "/system.slice/ssh.service": (("ssh.service",), None),
    "/system.slice/system-getty.slice/getty@tty1.service": (("getty@tty1.service",), None),
    "/system.slice/systemd-udevd.service/udev": (("systemd-udevd.service",), None),
    r"/system.slice/system-openvpn\x2dclient.slice/openvpn-client@a\x2db.service": (
        (r"openvpn-client@a\x2db.service",),
        None,
    ),
    "/user.slice/user-1000.slice/session-3.scope": (("session-3.scope",), None),
    "/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-77.scope": (
        ("user@1000.service", "user@1000.service/app-firefox-77.scope"),
        None,
    ),
    # Docker: cgroupfs and systemd drivers
    f"/docker/{ID}": ((), Container(ID, "docker", None)),
    f"/system.slice/docker-{ID}.scope": (
        (f"docker-{ID}.scope",),
        Container(ID, "docker", None),
    ),
    f"/system.slice/docker-{ID}.scope/init": (
        (f"docker-{ID}.scope",),
        Container(ID, "docker", None),
    ),
    # Docker in Docker: the inner one
    f"/docker/{'f' * 64}/docker/{ID}": ((), Container(ID, "docker", None)),
    # containerd by nerdctl, and Podman, with and without root
    f"/system.slice/nerdctl-{ID}.scope": (
        (f"nerdctl-{ID}.scope",),
        Container(ID, "containerd", None),
    ),
    f"/machine.slice/libpod-{ID}.scope/container": (
        (f"libpod-{ID}.scope",),
        Container(ID, "podman", None),
    ),
    f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container": (
        ("user@1000.service", f"user@1000.service/libpod-{ID}.scope"),
        Container(ID, "podman", None, 1000),
    ),
    f"/libpod_parent/libpod-{ID}": ((), Container(ID, "podman", None)),
    f"/machine.slice/libpod-conmon-{ID}.scope": ((f"libpod-conmon-{ID}.scope",), None),
    # Kubernetes: systemd driver with containerd, CRI-O and Docker; cgroupfs; containerd's own
    f"/kubepods.slice/kubepods-burstable.slice/{PODS}/cri-containerd-{ID}.scope": (
        (f"cri-containerd-{ID}.scope",),
        Container(ID, "containerd", POD),
    ),
    f"/kubepods.slice/kubepods-burstable.slice/{PODS}/crio-{ID}.scope": (
        (f"crio-{ID}.scope",),
        Container(ID, "cri-o", POD),
    ),
    f"/kubepods.slice/kubepods-burstable.slice/{PODS}/crio-conmon-{ID}.scope": (
        (f"crio-conmon-{ID}.scope",),
        None,
    ),
    f"/kubepods.slice/kubepods-pod{_POD}.slice/docker-{ID}.scope": (
        (f"docker-{ID}.scope",),
        Container(ID, "docker", POD),
    ),
    f"/kubepods/besteffort/pod{POD}/{ID}": ((), Container(ID, None, POD)),
    f"/system.slice/containerd.service/kubepods-burstable-pod{_POD}.slice:cri-containerd:{ID}": (
        ("containerd.service",),
        Container(ID, "containerd", POD),
    ),
    f"/kubelet.slice/kubelet-kubepods.slice/{PODS}/cri-containerd-{ID}.scope/init.scope": (
        (f"cri-containerd-{ID}.scope", f"cri-containerd-{ID}.scope/init.scope"),
        Container(ID, "containerd", POD),
    ),
    # what only looks like one, or like a unit of the system: a service's, or a user's
    f"/system.slice/app.service/docker-{ID}.scope": (
        ("app.service", f"app.service/docker-{ID}.scope"),
        None,
    ),
    f"/user.slice/user-1000.slice/user@1000.service/docker-{ID}.scope": (
        ("user@1000.service", f"user@1000.service/docker-{ID}.scope"),
        Container(ID, "docker", None, 1000),
    ),
    "/user.slice/user-1000.slice/user@1000.service/nginx.service": (
        ("user@1000.service", "user@1000.service/nginx.service"),
        None,
    ),
    # a user's in root's: root's
    f"/system.slice/docker-{ID}.scope/libpod-{'f' * 64}.scope": (
        (f"docker-{ID}.scope", f"docker-{ID}.scope/libpod-{'f' * 64}.scope"),
        Container(ID, "docker", None),
    ),
    f"/system.slice/backup-{ID}.service": ((f"backup-{ID}.service",), None),
    f"/system.slice/{ID[:63]}": ((), None),
}


@pytest.mark.parametrize("path", PATHS)
def test_what_a_path_says(path):
    delegated = by_names(path)
    assert (units(path, delegated), container(path, delegated)) == PATHS[path]


def test_by_owners_if_they_are_known():
    """A service of root's makes containers, a user's folder is the user's wherever it is."""
    path = f"/system.slice/app.service/docker-{ID}.scope"
    of_root = container(path, None)
    assert of_root == Container(ID, "docker", None)
    assert units(path, None) == ("app.service", f"docker-{ID}.scope")
    assert container(path, Delegation(3, 1000)) == of_root._replace(user=1000)
