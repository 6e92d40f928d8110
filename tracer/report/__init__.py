# SPDX-License-Identifier: Apache-2.0
"""``sockwatch report``: what the logs say."""
