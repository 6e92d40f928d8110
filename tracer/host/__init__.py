# SPDX-License-Identifier: Apache-2.0
"""What this machine reports about itself: /proc, cgroups, namespaces, netlink, names."""
