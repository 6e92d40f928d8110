# SPDX-License-Identifier: Apache-2.0
"""sockwatch: which process on this machine is talking to that address?"""

__version__ = "0.1.0"
