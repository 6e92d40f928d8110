# SPDX-License-Identifier: Apache-2.0
"""What tests of several modules need."""

import time

import pytest


@pytest.fixture
def utc(monkeypatch):
    """Local time is UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
