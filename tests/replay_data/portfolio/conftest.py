from datetime import date

import pytest

from replay_data.portfolio.book import simulate_book

RATING_DATE = date(2026, 1, 1)


@pytest.fixture(scope="session")
def big_book():
    """Enough drivers for figures of the whole book."""
    return simulate_book(1, 60_000, RATING_DATE)


@pytest.fixture(scope="session")
def small_book():
    return simulate_book(1, 60, RATING_DATE)
