# SPDX-License-Identifier: Apache-2.0
"""What ``sockwatch`` shows while it traces."""
