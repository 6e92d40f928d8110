# SPDX-License-Identifier: Apache-2.0
"""``sockwatch top``: who talks to what now, on the whole screen."""
