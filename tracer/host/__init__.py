# SPDX-License-Identifier: Apache-2.0
"""What this machine says of itself: /proc, cgroups, namespaces, netlink, names."""
