# SPDX-License-Identifier: Apache-2.0
"""What the kernel answers over netlink: sockets (sock_diag), routes, addresses."""
