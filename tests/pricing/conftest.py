"""The small book and the model trained on it, which nobody may change."""

from __future__ import annotations

import pytest

from tests.pricing.book import trained


@pytest.fixture(scope="session")
def book():
    return trained().book


@pytest.fixture(scope="session")
def model():
    return trained().model
