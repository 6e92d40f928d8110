# SPDX-License-Identifier: Apache-2.0
"""``sockwatch doctor``: what does each probe of this kernel see?"""
