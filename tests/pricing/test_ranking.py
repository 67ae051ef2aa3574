"""What came after a rating, on a book small enough to count by hand."""

from __future__ import annotations

import math
from datetime import date

import polars as pl
import pytest

from pricing.ranking import ranking_afterwards

START, END = date(2026, 1, 1), date(2027, 1, 1)


def factors(relativities: list[float]) -> pl.DataFrame:
    names = [f"d{k}" for k in range(len(relativities))]
    return pl.DataFrame(
        {
            "policy_id": [f"{name}-2026" for name in names],
            "driver_id": names,
            "period_start": [START] * len(names),
            "period_end": [END] * len(names),
            "rateable": [True] * len(names),
            "tariff_expected_claims": [0.05] * len(names),
            "indicated_relativity": relativities,
        }
    )


def truth(frequencies: list[float]) -> pl.DataFrame:
    return pl.DataFrame({"driver_id": [f"d{k}" for k in range(len(frequencies))], "true_frequency": frequencies})


def claims(*rows: tuple[str, date]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"policy_id": pl.String, "occurred_on": pl.Date}, orient="row")


def test_a_right_order_ranks_like_the_truth_and_the_flat_tariff_not_at_all():
    found = ranking_afterwards(factors([0.5, 1.0, 2.0]), claims(("d2-2026", START)), truth([0.02, 0.05, 0.11]))
    assert (found.drivers, found.claims) == (3, 1)
    assert found.sure_tariff == pytest.approx(0.0)
    assert found.sure_telematics == pytest.approx(found.sure_truth)
    assert found.gini_telematics == pytest.approx(1 - 1 / 3)  # the only claim is the last driver's
    assert found.deviance_telematics < found.deviance_tariff


def test_claims_before_and_after_the_period_are_not_counted():
    rows = claims(("d0-2026", date(2025, 12, 31)), ("d0-2026", END), ("d1-2026", END.replace(year=2026, month=12)))
    assert ranking_afterwards(factors([1.0, 1.0]), rows, truth([0.1, 0.1])).claims == 1


def test_a_driver_who_cannot_be_rated_is_left_out():
    book = factors([1.0, 2.0, 3.0]).with_columns(rateable=pl.Series([True, False, True]))
    found = ranking_afterwards(book, claims(("d1-2026", START)), truth([0.1, 0.1, 0.1]))
    assert (found.drivers, found.claims) == (2, 0)
    assert math.isnan(found.gini_tariff)
