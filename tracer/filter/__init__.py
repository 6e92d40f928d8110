# SPDX-License-Identifier: Apache-2.0
"""The user's filter: parsed, evaluated in Python, and compiled for the kernel and sock_diag."""
