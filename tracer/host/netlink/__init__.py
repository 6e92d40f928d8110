# SPDX-License-Identifier: Apache-2.0
"""Asks the kernel over netlink: sockets (sock_diag), routes, addresses."""
