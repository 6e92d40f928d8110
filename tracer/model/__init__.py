# SPDX-License-Identifier: Apache-2.0
"""The data types: addresses, processes, sockets, flows, and the fields of an event."""
